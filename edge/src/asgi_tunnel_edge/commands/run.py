"""``asgi-tunnel-edge run``: be the edge.

As its user types it, it is the parent (``__main__``, :mod:`..parent`), which starts this again as
its serving process. Where there is no parent, as on Windows, this is all of the edge.
"""

from __future__ import annotations

from pathlib import Path

import click

from asgi_tunnel_edge.cluster.folder import read_identity
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.running import marked_as_running
from asgi_tunnel_edge.settings.cluster import MAX_WORKERS, worker_count
from asgi_tunnel_edge.settings.config import EdgeConfig, read_config
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.supervision import ParentLink

from .options import data_option

__all__ = ["run"]


@click.command()
@data_option
@click.option(
    "--workers",
    type=click.IntRange(0, MAX_WORKERS),
    default=None,
    help="Processes that serve, in place of the setting workers; 0: one for each core.",
)
def run(*, data_dir: Path, workers: int | None) -> int:
    """Run the edge until it is told to stop (SIGINT, SIGTERM)."""
    parent = ParentLink.attach()
    if parent is None:
        return _serve(data_dir, None, workers)
    with parent.reporting():
        return _serve(data_dir, parent, workers)


def _serve(data_dir: Path, parent: ParentLink | None, workers: int | None) -> int:
    if parent is None:
        config = EdgeConfig.load(data_dir)
        _warn_of_one(config, workers)
    else:
        parent.text = read_config(data_dir) if parent.config is None else parent.config
        config = EdgeConfig.from_text(parent.text, data_dir)
        if not parent.workers:
            parent.workers = worker_count(config.workers if workers is None else workers)
    read_identity(config)  # first: an edge that has not joined lacks other files, too
    _bring_up_to_date(config)
    # Here, so that the other commands do not wait for the server's modules.
    from asgi_tunnel_edge.server import run as run_server

    if parent is None:
        with marked_as_running(data_dir):
            return run_server(config)
    parent.commit()
    with marked_as_running(data_dir):
        return run_server(config, parent)


def _warn_of_one(config: EdgeConfig, workers: int | None) -> None:
    if worker_count(config.workers if workers is None else workers) > 1:
        click.echo("warning: one process serves: this system has no way to share sockets", err=True)


def _bring_up_to_date(config: EdgeConfig) -> None:
    """Migrate the store of an older version; an edge can also start without its store."""
    try:
        store = Store(config.database)
        if store.revision() is None and config.store is not None:
            # Never made here: an edge without its tokens would refuse every app, quietly.
            store.read()
        store.migrate()
    except StorageError as error:
        if not config.snapshot_path.exists():
            raise
        click.echo(f"warning: {error}; going on with {config.snapshot_path}", err=True)
