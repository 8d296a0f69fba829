"""``asgi-tunnel-edge cluster join``: make an edge one of a cluster."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Final

import click

from asgi_tunnel_edge.cluster.membership import join_cluster
from asgi_tunnel_edge.settings.config import EdgeConfig

from .options import data_option, json_option, json_text, shell_command

__all__ = ["SECRET_VARIABLE", "join"]

SECRET_VARIABLE: Final = "ASGI_TUNNEL_EDGE_JOIN_SECRET"  # noqa: S105 - its name
"""Has the secret where nobody types it."""


@click.command()
@data_option
@json_option
def join(*, data_dir: Path, as_json: bool) -> None:
    """Join the cluster whose store edge.toml names; asks for the secret of `cluster init`.

    It is read from standard input where that is no terminal, or from the environment variable
    ASGI_TUNNEL_EDGE_JOIN_SECRET. The folder gets what the edges share: the key of their secrets,
    and the certificate that apps know.
    """
    config = EdgeConfig.load(data_dir)
    join_cluster(config, _secret())
    if as_json:
        click.echo(json_text({"node": config.node}))
        return
    click.echo(
        f"Edge {config.node} is in the cluster. Start it, or, where it runs, give it its new "
        "certificate:\n\n"
        f"   {shell_command('run', '--data', data_dir)}\n"
        f"   {shell_command('upgrade', '--data', data_dir)}"
    )


def _secret() -> str:
    found = os.environ.get(SECRET_VARIABLE)
    if found is not None:
        return found
    if sys.stdin.isatty():
        typed: str = click.prompt("The secret for joining", hide_input=True, err=True)
        return typed
    return sys.stdin.readline()
