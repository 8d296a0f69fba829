"""``asgi-tunnel-edge cluster status``: which edges there are, and whether they can be reached."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from asgi_tunnel_edge.cluster.folder import load_identity
from asgi_tunnel_edge.cluster.reach import reach
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.cluster import ClusterStore

from .options import data_option, json_option, json_text, table, utc_second, utc_time

if TYPE_CHECKING:
    from asgi_tunnel_edge.cluster.authority import NodeIdentity
    from asgi_tunnel_edge.storage.cluster import NodeRecord

__all__ = ["cluster_status"]

_HEAD: Final = ("EDGE", "ADDRESS", "JOINED", "STATE")
_AT_ONCE: Final = 16  # edges that are asked at the same time


@click.command("status")
@data_option
@json_option
def cluster_status(*, data_dir: Path, as_json: bool) -> None:
    """Show the edges that have joined, and whether this machine reaches them.

    Each is asked to prove who it is, as it is when visitors' requests go there. One that was not
    started, or that a firewall is before, is shown with the reason.
    """
    config = EdgeConfig.load(data_dir)
    identity = load_identity(data_dir)
    records = ClusterStore(config.database).nodes()
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        found = list(pool.map(lambda one: _asked(identity, one), records))
    if as_json:
        click.echo(json_text({"node": config.node, "edges": found}))
        return
    rows = [
        (
            one["name"] + (" (this one)" if one["name"] == config.node else ""),
            one["peer_address"],
            utc_time(record.joined_at),
            one["error"] or f"reached in {1000 * one['seconds']:.0f} ms",
        )
        for one, record in zip(found, records, strict=True)
    ]
    click.echo(table([_HEAD, *rows]))


def _asked(identity: NodeIdentity, record: NodeRecord) -> dict[str, Any]:
    said = reach(identity, record.name, record.peer_address)
    return {
        "name": record.name,
        "peer_address": record.peer_address,
        "joined_at": utc_second(record.joined_at),
        "seconds": None if isinstance(said, str) else round(said, 4),
        "error": said if isinstance(said, str) else None,
    }
