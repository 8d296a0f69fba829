"""``asgi-tunnel-edge reload``: let a running edge take its settings anew."""

from __future__ import annotations

import json
from pathlib import Path

import click

from .options import data_option, json_option
from .running import change_edge, tunnels_back

__all__ = ["reload"]


@click.command()
@data_option
@json_option
def reload(*, data_dir: Path, as_json: bool) -> None:
    """Let the running edge take edge.toml anew, without refusing a connection.

    A wrong setting changes nothing. What is in progress goes on for [limits] drain_timeout.
    """
    reply = change_edge(data_dir, "reload")
    if as_json:
        click.echo(json.dumps(reply))
    elif not reply["changed"]:
        click.echo("no setting has changed; the log files are opened again")
    else:
        names = ", ".join(reply["changed"])
        click.echo(
            f"changed: {names}; generation {reply['generation']} serves after "
            f"{reply['seconds']:.1f} s (process {reply['pid']})"
        )
        click.echo(tunnels_back(reply))
