"""``asgi-tunnel-edge user create``: somebody who may log in at doors."""

from __future__ import annotations

import json
import time
from pathlib import Path

import click

from asgi_tunnel_edge.accounts import (
    UserRecord,
    check_account_name,
    check_email,
    check_groups,
)
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore

from .access_fields import read_password, user_fields
from .options import data_option, json_option, shell_command

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
    record = UserRecord(
        name=check_account_name(name),
        email=check_email(email) if email else "",
        groups=check_groups(groups),
        created_at=int(time.time()),
    )
    password = read_password() if has_password else None
    AccessStore(config.database_path).create_user(record, password=password)
    if as_json:
        click.echo(json.dumps(user_fields(record, has_password=has_password, passkeys=0)))
        return
    click.echo(f"User {name} is there.")
    if not has_password:
        click.echo(
            f"Next, a link with which to log in first:  {shell_command('user', 'invite', name)}"
        )
    named = [one for one, policy in config.policies.items() if {name, "*"} & {*policy.users}]
    named += [one for one, policy in config.policies.items() if {*groups} & {*policy.groups}]
    if not named:
        click.echo(
            "No policy in edge.toml lets this user in: name the user, or a group of theirs, in "
            "[access.NAME]."
        )
