"""``asgi-tunnel-edge upgrade``: let a running edge go on with the version that is installed now."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import data_option, json_option
from .running import change_edge, tunnels_back

__all__ = ["upgrade"]


@click.command()
@data_option
@json_option
def upgrade(*, data_dir: Path, as_json: bool) -> None:
    """Let the running edge go on with the installed version, without refusing a connection.

    A version that does not serve within 30 s changes nothing. What is in progress goes on for
    [limits] drain_timeout.
    """
    reply = change_edge(data_dir, "upgrade")
    if as_json:
        click.echo(json.dumps(reply))
        return
    click.echo(
        f"version {reply['version']} in place of {reply['version_before']}: generation "
        f"{reply['generation']} serves after {reply['seconds']:.1f} s (process {reply['pid']})"
    )
    if "tunnels" in reply:
        click.echo(tunnels_back(reply))
