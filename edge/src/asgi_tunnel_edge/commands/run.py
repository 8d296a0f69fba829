"""``asgi-tunnel-edge run``: be the edge."""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.running import marked_as_running
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store

from .options import data_option

__all__ = ["run"]


@click.command()
@data_option
def run(*, data_dir: Path) -> int:
    """Run the edge until it is told to stop (SIGINT, SIGTERM)."""
    config = EdgeConfig.load(data_dir)
    _bring_up_to_date(config)
    # Here, so that the other commands do not wait for the server's modules.
    from asgi_tunnel_edge.server import run as run_server

    with marked_as_running(data_dir):
        return run_server(config)


def _bring_up_to_date(config: EdgeConfig) -> None:
    """Migrate the store of an older version; an edge can also start without its store."""
    try:
        if not config.database_path.exists():
            # Never made here: an edge without its tokens would refuse every app, quietly.
            Store(config.database_path).read()
        Store(config.database_path).migrate()
    except StorageError as error:
        if not config.snapshot_path.exists():
            raise
        click.echo(f"warning: {error}; going on with {config.snapshot_path}", err=True)
