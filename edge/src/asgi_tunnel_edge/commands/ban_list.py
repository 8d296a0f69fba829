"""``asgi-tunnel-edge ban list``: who is banned."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .options import data_option, json_option, table, utc_second, utc_time

__all__ = ["list_bans"]

_HEAD: Final = ("ADDRESS", "SINCE", "UNTIL", "REASON")
_NOT_SHOWN: Final = (
    "Whom the scanner guard has banned for a while only the running edge knows; "
    'its access log has a line with "refused: scanner" for each.'
)


@click.command("list")
@data_option
@json_option
def list_bans(*, data_dir: Path, as_json: bool) -> None:
    """Show the bans that hold now, oldest first.

    Those of the scanner guard are not among them: they are in the running edge's memory.
    """
    config = EdgeConfig.load(data_dir)
    now = time.time()
    bans = [ban for ban in Store(config.database_path).bans() if not ban.is_over(now)]
    if as_json:
        rows = [
            {
                "address": ban.address,
                "created_at": utc_second(ban.created_at),
                "expires_at": utc_second(ban.expires_at),
                "reason": ban.reason,
            }
            for ban in bans
        ]
        click.echo(json.dumps(rows))
        return
    if bans:
        cells = [
            (
                ban.address,
                utc_time(ban.created_at),
                "for ever" if ban.expires_at is None else utc_time(ban.expires_at),
                ban.reason,
            )
            for ban in bans
        ]
        click.echo(table([_HEAD, *cells]))
    else:
        click.echo("Nobody is banned.")
    click.echo(_NOT_SHOWN)
