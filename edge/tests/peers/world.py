"""Several edges in one process and its event loop, with their tunnels over real sockets."""

from __future__ import annotations

import asyncio
import copy
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from edge.tests.live import PLAIN, SHOP, Live
from msgspec.structs import force_setattr

from asgi_tunnel.token import Token
from asgi_tunnel_edge.bus import Bus, Node
from asgi_tunnel_edge.bus.local import LocalHub
from asgi_tunnel_edge.certificates.internal import create_internal_certificate, fingerprint
from asgi_tunnel_edge.cluster.authority import Authority, NodeIdentity
from asgi_tunnel_edge.peers import Peers
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord, new_secret, new_token_id, secret_digest

HOME = "home.example.test"
"""Whose TLS is the app's."""


class Nodes:
    """Some edges that know each other, and the one token of them all.

    Attributes:
        hub: Of their bus.
        authority: Of their certificates, where they are edges of a cluster.
        lives: Of each, with a connector of its own.
    """

    def __init__(self) -> None:
        self.hub = LocalHub()
        self.authority = Authority.create()
        self.lives: list[Live] = []

    def __getitem__(self, number: int) -> Live:
        return self.lives[number]

    def peers(self, number: int) -> Peers:
        """Return what one of them has of the others."""
        peers = self[number].edge.neighbours.peers
        assert peers is not None
        return peers

    def identity(self, config: EdgeConfig) -> NodeIdentity | None:
        """Return the certificate of one of them."""
        return None if config.node is None else self.authority.issue(config.node)

    def bus(self, _config: EdgeConfig, node: Node, _parent: object) -> Bus | None:
        """Return the bus of one of them."""
        return self.hub.bus(node)


@asynccontextmanager
async def nodes(
    folder: Path,
    count: int = 2,
    *,
    are_edges: bool = False,
    is_tls: bool = False,
    **settings: Any,
) -> AsyncIterator[Nodes]:
    """Start some edges, each in a folder of its own, which are one edge's workers to each other.

    Args:
        folder: For theirs.
        count: How many.
        is_tls: Visitors and apps speak TLS.
        are_edges: They are edges of a cluster instead, and reach each other over TLS.
        settings: As ``edge.toml`` has them, in tables.
    """
    world = Nodes()
    secret, token_id = new_secret(), new_token_id()
    started: list[Edge] = []
    try:
        for number in range(count):
            own = folder / f"edge{number}"
            own.mkdir()
            table: dict[str, Any] = {"domain": "example.test", "listen": "127.0.0.1:0"}
            pin = None
            if is_tls:
                shown = create_internal_certificate("example.test", own / "tls")
                pin = fingerprint(shown.certificate.read_bytes())
            else:
                table["tls"] = {"mode": "off"}
            config = EdgeConfig.from_table({**table, **settings}, own)
            Store(config.database_path).migrate()
            edge = Edge(config, open_bus=world.bus, identity_of=world.identity)
            if are_edges:
                _join_cluster(edge, f"edge{number}")
            await edge.start()
            started.append(edge)
            scheme = "wss" if is_tls else "ws"
            token = Token(
                edge=f"{scheme}://127.0.0.1:{edge.address.port}",
                id=token_id,
                secret=secret,
                pin=pin,
            )
            record = TokenRecord(
                id=token_id,
                name="shop",
                secret_sha256=secret_digest(secret),
                hostnames=(SHOP, PLAIN, "*.wild.example.test", HOME),
                created_at=0,
                end_to_end=(HOME,),
            )
            edge._apply(Snapshot.of(1, [record]))
            world.lives.append(Live(edge, token))
        yield world
    finally:
        await asyncio.gather(*(live.disconnect() for live in world.lives))
        await asyncio.gather(*(edge.stop() for edge in started))


def _join_cluster(edge: Edge, name: str) -> None:
    """Set what a cluster has beside a store in PostgreSQL, which is not needed here."""
    own = copy.copy(edge.config)
    force_setattr(own, "node", name)
    force_setattr(own, "peer_listen", "127.0.0.1:0")
    edge.neighbours._config = own
    edge.neighbours.node = edge.neighbours._make_node()


async def until(is_so: Callable[[], bool], *, timeout: float = 20.0) -> None:
    """Wait for something that another part of the process does."""
    deadline = time.monotonic() + timeout
    while not is_so():
        assert time.monotonic() < deadline, "it did not come to that in time"
        await asyncio.sleep(0.005)
