"""``asgi-tunnel-edge user list``: who may log in at doors."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.operations import users
from asgi_tunnel_edge.operations.users import UserView
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command, table

__all__ = ["list_users"]

_HEAD: Final = ("NAME", "E-MAIL", "GROUPS", "CREATED", "PASSWORD", "PASSKEYS", "STATE")


@click.command("list")
@data_option
@json_option
def list_users(*, data_dir: Path, as_json: bool) -> None:
    """Show all users of this edge, sorted. What each may see: `access list`."""
    found = users.list_users(EdgeConfig.load(data_dir))
    if as_json:
        click.echo(json_text(found))
    elif found:
        click.echo(table([_HEAD, *map(_row, found)]))
    else:
        command = shell_command("user", "create", "anna", "--data", data_dir)
        click.echo(f"There are no users yet. Make one:  {command}")


def _row(user: UserView) -> tuple[str, ...]:
    return (
        user.name,
        user.email or "-",
        ", ".join(user.groups) or "-",
        user.created_at or "-",
        "yes" if user.has_password else "no",
        str(user.passkeys),
        "active" if user.disabled_at is None else f"disabled since {user.disabled_at}",
    )
