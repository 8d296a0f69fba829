"""``asgi-tunnel-edge metrics``: the numbers of the running edge."""

from __future__ import annotations

import json
from pathlib import Path

import click

from asgi_tunnel_edge.errors import ChangeError

from .options import data_option, json_option
from .running import ask_edge

__all__ = ["metrics"]


@click.command()
@data_option
@json_option
def metrics(*, data_dir: Path, as_json: bool) -> None:
    """Print the running edge's metrics, as its Prometheus reads them.

    They are those of the process that serves now: counters begin anew with a reload or upgrade.
    """
    reply = ask_edge(data_dir, "metrics", form="json" if as_json else "text")
    if not reply.get("ok"):
        raise ChangeError(str(reply.get("error")))
    if as_json:
        click.echo(json.dumps({"metrics": reply["metrics"]}))
    else:
        click.echo(reply["text"], nl=False)
