"""Whether an edge of a cluster has joined, and reaches the bus and the other edges.

Called by ``doctor``. Nothing is changed.
"""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

from asgi_tunnel.findings import Finding, ok, problem, problem_of, skipped, warning
from asgi_tunnel_edge.cluster.folder import load_identity
from asgi_tunnel_edge.cluster.reach import reach
from asgi_tunnel_edge.errors import CertificateError, StorageError
from asgi_tunnel_edge.storage.cluster import ClusterStore

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig
    from asgi_tunnel_edge.storage.cluster import NodeRecord

__all__ = ["check_bus", "check_cluster"]

_PATIENCE: Final = 5  # seconds for the bus
_AT_ONCE: Final = 16  # edges that are asked at the same time
_NOT_LOOKED_AT: Final = "not looked at: --offline"


def check_cluster(config: EdgeConfig, *, offline: bool) -> list[Finding]:
    """Whether this edge has joined as its settings say, and reaches the others."""
    try:
        identity = load_identity(config.data_dir)
    except CertificateError as error:
        return [problem_of("cluster", str(error), why="the edge does not start without it")]
    try:
        records = ClusterStore(config.database).nodes()
    except StorageError:
        return [skipped("cluster", "not looked at: the list of edges is in the database")]
    address = config.peer_address or config.peer_listen
    own = next((one for one in records if one.name == config.node), None)
    if own is None or own.peer_address != address:
        what = f"edge {config.node} at {address} is not on the list of edges"
        why = "`cluster status` of the others does not show where it is"
        found = [warning("cluster", what, why=why, fix="run `asgi-tunnel-edge cluster join` again")]
    else:
        found = [ok("cluster", f"edge {config.node} has joined, at {address}")]
    others = [one for one in records if one is not own]
    if offline:
        return [*found, skipped("cluster", _NOT_LOOKED_AT)] if others else found

    def look(one: NodeRecord) -> Finding:
        said = reach(identity, one.name, one.peer_address)
        what = f"edge {one.name} at {one.peer_address}"
        if not isinstance(said, str):
            return ok("cluster", f"{what} is reached in {1000 * said:.0f} ms")
        fix = f"start it, or open the way to it; if it is no more: `cluster rm {one.name}`"
        why = "who comes here does not find apps that are connected there alone"
        return warning("cluster", f"{what} {said}", why=why, fix=fix)

    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*found, *pool.map(look, others)]


async def check_bus(config: EdgeConfig, *, offline: bool) -> Finding:
    """Whether the bus lets this edge in; it is not joined."""
    url = config.bus
    assert url is not None
    if offline:
        return skipped("bus", _NOT_LOOKED_AT)
    dial, label = (_dial_postgresql, "PostgreSQL")
    if not url.startswith("postgresql:"):
        dial, label = (_dial_nats, "NATS")
    try:
        await dial(url)
    except ImportError as error:
        fix = f"run `pip install 'asgi-tunnel-edge[{label.lower()}]'`"
        return problem("bus", str(error), why="the edge does not start without it", fix=fix)
    except Exception as error:  # noqa: BLE001 - each driver has errors of its own
        said = " ".join((str(error) or type(error).__name__).split("\n", 1)[0].split())
        return problem(
            "bus",
            f"{label} does not let this edge in ({said})",
            why="it finds no other edges, nor they this one",
            fix="see that it runs where `bus` says, and knows this edge's user and password",
        )
    return ok("bus", f"{label} lets this edge in")


async def _dial_postgresql(url: str) -> None:
    import psycopg

    # libpq itself, as the store does; nothing else happens in this process meanwhile.
    psycopg.connect(url, connect_timeout=_PATIENCE).close()


async def _dial_nats(url: str) -> None:
    import nats

    from asgi_tunnel_edge.bus.nats_service import Service

    async def say_nothing(_error: Exception) -> None:
        """The last error is raised."""

    service = Service.of(url)
    options: dict[str, Any] = service.options
    async with asyncio.timeout(_PATIENCE):
        client = await nats.connect(
            service.servers,
            connect_timeout=_PATIENCE,
            allow_reconnect=False,
            max_reconnect_attempts=1,
            reconnect_time_wait=0,
            error_cb=say_nothing,
            **options,
        )
        await client.close()
