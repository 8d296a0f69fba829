"""``asgi-tunnel-edge user create``: somebody who may log in at doors."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations import users
from asgi_tunnel_edge.operations.users import NewUser, is_let_in_nowhere
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command
from .password import read_password

__all__ = ["create_user"]


@click.command("create")
@click.argument("name")
@click.option("--email", default="", metavar="ADDRESS", help="Shown to apps, for people to read.")
@click.option(
    "--group", "groups", multiple=True, metavar="GROUP", help="One of the user's; may be repeated."
)
@click.option(
    "--password-stdin", "has_password", is_flag=True, help="Read a password from stdin, one line."
)
@data_option
@json_option
def create_user(
    *,
    name: str,
    email: str,
    groups: tuple[str, ...],
    has_password: bool,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Make a user named NAME, who may log in where a policy in edge.toml says so.

    Without a password, send an invitation (`user invite`): its owner chooses one, or a passkey.
    """
    config = EdgeConfig.load(data_dir)
    password = read_password() if has_password else None
    new = NewUser(name=name, email=email, groups=groups, password=password)
    user = users.create_user(config, new)
    if as_json:
        click.echo(json_text(user))
        return
    click.echo(f"User {name} is there.")
    if not has_password:
        click.echo(
            f"Next, a link with which to log in first:  {shell_command('user', 'invite', name)}"
        )
    if is_let_in_nowhere(config, user):
        click.echo(
            "No policy in edge.toml lets this user in: name the user, or a group of theirs, in "
            "[access.NAME]."
        )
