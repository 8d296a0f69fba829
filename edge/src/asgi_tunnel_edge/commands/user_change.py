"""``asgi-tunnel-edge user change``: another address, other groups, a new password, or no access."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations import users
from asgi_tunnel_edge.operations.users import ChangedUser
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text
from .password import read_password

__all__ = ["change_user"]


@click.command("change")
@click.argument("name")
@click.option("--email", metavar="ADDRESS", help='A new one; "" takes it away.')
@click.option(
    "--group", "groups", multiple=True, metavar="GROUP", help="All groups; may be repeated."
)
@click.option("--no-groups", "is_alone", is_flag=True, help="Take the user out of every group.")
@click.option(
    "--disable/--enable",
    "disabled",
    default=None,
    help="Refuse each login and end all sessions; or allow logins again.",
)
@click.option(
    "--password-stdin", "has_password", is_flag=True, help="Read a password from stdin, one line."
)
@data_option
@json_option
def change_user(  # noqa: PLR0913 - one for each option
    *,
    name: str,
    email: str | None,
    groups: tuple[str, ...],
    is_alone: bool,
    disabled: bool | None,
    has_password: bool,
    data_dir: Path,
    as_json: bool,
) -> None:
    """Change what is given of a user, and nothing else; a running edge follows within a second.

    A new password, --disable and --enable end all sessions of the user.
    """
    if groups and is_alone:
        raise click.UsageError("--group and --no-groups cannot be used together")
    if email is None and not groups and not is_alone and disabled is None and not has_password:
        raise click.UsageError("nothing to change is given")
    config = EdgeConfig.load(data_dir)
    change = ChangedUser(
        email=email,
        groups=groups if groups or is_alone else None,
        disabled=disabled,
        password=read_password() if has_password else None,
    )
    user = users.change_user(config, name, change)
    if as_json:
        click.echo(json_text(user))
        return
    click.echo(f"User {name} is changed.")
    if has_password or disabled is not None:
        click.echo("All sessions of the user have ended.")
