"""``asgi-tunnel-edge cluster init``: make a cluster, or another secret for joining it."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.cluster.membership import init_cluster
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command

__all__ = ["init"]


@click.command()
@click.option(
    "--new-authority",
    is_flag=True,
    help="Make all certificates between edges worthless: every other edge has to join again.",
)
@data_option
@json_option
def init(*, new_authority: bool, data_dir: Path, as_json: bool) -> None:
    """Make this edge the first one of a cluster, and print the secret with which others join.

    Its edge.toml has `store`, `bus`, `node` and `peer_listen` before. Again: for a new secret; the
    one before it is worthless from then on, and edges that have joined stay.
    """
    config = EdgeConfig.load(data_dir)
    secret = init_cluster(config, new_authority=new_authority)
    if as_json:
        click.echo(json_text({"node": config.node, "secret": secret}))
        return
    click.echo(
        "\n".join(
            [
                f"Edge {config.node} is in the cluster. The secret for joining is shown only once:",
                "",
                f"   {secret}",
                "",
                "On each other edge:",
                "",
                f"1. Copy {data_dir / 'edge.toml'} there, and change `node`, `peer_listen` and, if",
                "   they are set, `peer_address` and `edge_address`; `listen`, too, where it",
                "   names an address. An edge that joins again keeps its own.",
                "2. Let it join:",
                "   asgi-tunnel-edge cluster join",
                "",
                "Then start this edge, or, where it runs, give it its new certificate:",
                f"   {shell_command('run', '--data', data_dir)}",
                f"   {shell_command('upgrade', '--data', data_dir)}",
            ]
        )
    )
