"""``asgi-tunnel-edge ban list``: who is banned."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.operations import bans
from asgi_tunnel_edge.operations.bans import Ban, ban_view
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, table, utc_time

__all__ = ["list_bans"]

_HEAD: Final = ("ADDRESS", "SINCE", "UNTIL", "BY", "OWNER", "REASON")


@click.command("list")
@data_option
@json_option
def list_bans(*, data_dir: Path, as_json: bool) -> None:
    """Show the bans that hold now, oldest first.

    OWNER is the token whose hostnames an address is banned from by the scanner guard or by the
    token's own app, or nobody, for names that no token has; a ban of yours is for all.
    """
    found = bans.list_bans(EdgeConfig.load(data_dir))
    if as_json:
        click.echo(json_text([ban_view(one) for one in found]))
    elif not found:
        click.echo("Nobody is banned.")
    else:
        click.echo(table([_HEAD, *map(_cells, found)]))


def _cells(ban: Ban) -> tuple[str, ...]:
    record = ban.record
    return (
        record.address,
        utc_time(record.created_at),
        "for ever" if record.expires_at is None else utc_time(record.expires_at),
        ban.by,
        "all" if ban.token_id is None else ban.token or "nobody",
        record.reason,
    )
