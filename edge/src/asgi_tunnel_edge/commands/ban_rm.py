"""``asgi-tunnel-edge ban rm``: take bans back."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.operations.bans import remove_bans
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text

__all__ = ["rm"]


@click.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@data_option
@json_option
def rm(*, addresses: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """Take bans back: all that are named, or none; those of the scanner guard too.

    A running edge knows it within a second.
    """
    wanted = remove_bans(EdgeConfig.load(data_dir), addresses)
    if as_json:
        click.echo(json_text({"removed": wanted}))
        return
    for address in wanted:
        click.echo(f"{address} is not banned any more.")
