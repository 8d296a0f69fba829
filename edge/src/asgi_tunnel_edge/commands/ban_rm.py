"""``asgi-tunnel-edge ban rm``: take bans back."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.network import normalise_network
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .options import data_option, json_option

__all__ = ["rm"]


@click.command()
@click.argument("addresses", metavar="ADDRESS...", nargs=-1, required=True)
@data_option
@json_option
def rm(*, addresses: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """Take bans back: all that are named, or none; those of the scanner guard too.

    A running edge knows it within a second.
    """
    config = EdgeConfig.load(data_dir)
    wanted = [normalise_network(address, setting="ADDRESS") for address in addresses]
    Store(config.database_path).remove_bans(wanted)
    if as_json:
        click.echo(json.dumps({"removed": wanted}))
        return
    for address in wanted:
        click.echo(f"{address} is not banned any more.")
