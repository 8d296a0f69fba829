"""``asgi-tunnel-edge host list``: which hostnames there are, and whose."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from asgi_tunnel_edge.operations.hosts import host_views
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .options import data_option, json_option, json_text, shell_command, table, utc_time

if TYPE_CHECKING:
    from asgi_tunnel_edge.maintenance import MaintenanceRecord
    from asgi_tunnel_edge.tokens import TokenRecord

__all__ = ["list_hosts"]

_HEAD: Final = ("HOSTNAME", "TOKEN", "TLS ENDS", "MAINTENANCE")


@click.command("list")
@data_option
@json_option
def list_hosts(*, data_dir: Path, as_json: bool) -> None:
    """Show all hostnames, sorted, and the token that each belongs to."""
    config = EdgeConfig.load(data_dir)
    snapshot = Store(config.database).snapshot()
    closings = {one.hostname: one for one in snapshot.maintenance}
    owned = sorted(snapshot.owners.items())
    if as_json:
        click.echo(json_text(host_views(config, snapshot)))
    elif owned:
        click.echo(table([_HEAD, *(_row(*one, closings.get(one[0])) for one in owned)]))
    else:
        command = shell_command("token", "create", "shop", "--data", data_dir)
        click.echo(f"There are no hostnames yet. Make a token, which has one:  {command}")


def _row(name: str, record: TokenRecord, closed: MaintenanceRecord | None) -> tuple[str, ...]:
    where = "in the app" if name in record.end_to_end else "at the edge"
    since = "no"
    if closed is not None:
        since = f"since {utc_time(closed.since)}"
        if closed.until is not None:
            since += f", expected until {utc_time(closed.until)}"
    return name, f"{record.name} ({record.id})", where, since
