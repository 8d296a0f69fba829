"""``asgi-tunnel-edge user list``: who may log in at doors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore

from .access_fields import user_fields
from .options import data_option, json_option, shell_command, table, utc_time

if TYPE_CHECKING:
    from asgi_tunnel_edge.accounts import UserRecord

__all__ = ["list_users"]

_HEAD: Final = ("NAME", "E-MAIL", "GROUPS", "CREATED", "PASSWORD", "PASSKEYS", "STATE")


@click.command("list")
@data_option
@json_option
def list_users(*, data_dir: Path, as_json: bool) -> None:
    """Show all users of this edge, sorted. What each may see: `access list`."""
    config = EdgeConfig.load(data_dir)
    users = AccessStore(config.database_path).users()
    if as_json:
        rows = [user_fields(one, has_password=has, passkeys=keys) for one, has, keys in users]
        click.echo(json.dumps(rows))
    elif users:
        click.echo(table([_HEAD, *(_row(*one) for one in users)]))
    else:
        command = shell_command("user", "create", "anna", "--data", data_dir)
        click.echo(f"There are no users yet. Make one:  {command}")


def _row(record: UserRecord, has_password: bool, passkeys: int) -> tuple[str, ...]:
    return (
        record.name,
        record.email or "-",
        ", ".join(record.groups) or "-",
        utc_time(record.created_at),
        "yes" if has_password else "no",
        str(passkeys),
        "active"
        if record.disabled_at is None
        else f"disabled since {utc_time(record.disabled_at)}",
    )
