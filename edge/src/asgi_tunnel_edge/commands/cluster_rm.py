"""``asgi-tunnel-edge cluster rm``: take an edge that is no more off the list."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.cluster import ClusterStore

from .options import data_option, json_option, json_text

__all__ = ["remove_edge"]


@click.command("rm")
@click.argument("name")
@data_option
@json_option
def remove_edge(*, name: str, data_dir: Path, as_json: bool) -> None:
    """Take the edge NAME off the list of `cluster status`; stop it before.

    Its certificate stays valid. If its machine is in wrong hands, make all certificates new:
    `cluster init --new-authority`.
    """
    config = EdgeConfig.load(data_dir)
    if not ClusterStore(config.database).remove_node(name):
        fix = "see `asgi-tunnel-edge cluster status` for those that there are"
        raise EdgeConfigError("NAME", f"no edge {name} has joined", fix)
    if as_json:
        click.echo(json_text({"removed": name}))
        return
    click.echo(f"Edge {name} is off the list. Its certificate stays valid until new ones are made.")
