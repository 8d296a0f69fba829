"""``asgi-tunnel-edge host rm``: take hostnames from their tokens."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.operations import hosts
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option

__all__ = ["remove_hosts"]


@click.command("rm")
@click.argument("hostnames", metavar="HOST...", nargs=-1, required=True)
@data_option
@json_option
def remove_hosts(*, hostnames: tuple[str, ...], data_dir: Path, as_json: bool) -> None:
    """Take hostnames from their tokens: all that are named, or none.

    A running edge serves them no longer within a second; requests in progress are finished. The
    tokens stay, and so do their other hostnames.
    """
    removed = hosts.remove_hosts(EdgeConfig.load(data_dir), hostnames)
    if as_json:
        click.echo(json.dumps({"removed": [name for name, _ in removed]}))
        return
    for name, token in removed:
        click.echo(f"{name} is served no longer; the token {token} had it.")
