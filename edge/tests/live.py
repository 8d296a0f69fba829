"""A real edge and a connector in this process and its event loop, over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.policy.collect import SentPolicy
from asgi_tunnel.token import Token
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord, new_secret, new_token_id, secret_digest

SHOP = "shop.example.test"
PLAIN = "plain.example.test"


@dataclass
class Answer:
    """One whole response."""

    status: int
    fields: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""

    def values(self, name: str) -> list[str]:
        """The values of a field."""
        return [value for one, value in self.fields if one == name]


class Live:
    """The edge and its one token, ``shop``, with two hostnames.

    Args:
        edge: Has started.
        token: Of the app.
    """

    def __init__(self, edge: Edge, token: Token) -> None:
        self.edge = edge
        self.token = token
        self.connector: Connector | None = None

    async def connect(
        self, app: Any, *, policy: SentPolicy | None = None, inspect: Inspect | None = None
    ) -> None:
        """Open a tunnel to an app, which may have rules for the edge, and an inspector."""
        settings = TunnelConfig(
            token=self.token, text=self.token.format(), grace=2.0, inspect=inspect
        )
        self.connector = Connector(settings, Origin(app), policy=policy)
        self.connector.start()
        await self.connector.wait_connected()

    async def disconnect(self) -> None:
        """Close it."""
        connector, self.connector = self.connector, None
        if connector is not None:
            await connector.stop()

    async def get(self, path: str = "/", *fields: str, host: str = SHOP) -> Answer:
        """Ask over a connection of its own."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.edge.address.port)
        lines = [f"GET {path} HTTP/1.1", f"Host: {host}", "Connection: close", *fields, "", ""]
        writer.write("\r\n".join(lines).encode())
        head, _, body = (await reader.read()).partition(b"\r\n\r\n")
        writer.close()
        await writer.wait_closed()
        first, *rest = head.decode("latin-1").split("\r\n")
        found = [(name.lower(), value) for name, _, value in (one.partition(": ") for one in rest)]
        return Answer(int(first.split()[1]), found, body)


@asynccontextmanager
async def live_edge(
    folder: Path, app: Any = None, *, token: Token | None = None, **settings: Any
) -> AsyncIterator[Live]:
    """An edge, with an app behind it where one is given.

    Args:
        folder: The edge's own.
        app: ASGI 3.
        token: One that an edge in this folder had; None: a new one.
        settings: As ``edge.toml`` has them, in tables.
    """
    table = {"domain": "example.test", "listen": "127.0.0.1:0", "tls": {"mode": "off"}}
    config = EdgeConfig.from_table({**table, **settings}, folder)
    Store(config.database).migrate()
    edge = Edge(config)
    await edge.start()
    secret = new_secret() if token is None else token.secret
    token_id = new_token_id() if token is None else token.id
    token = Token(edge=f"ws://127.0.0.1:{edge.address.port}", id=token_id, secret=secret)
    record = TokenRecord(
        id=token.id,
        name="shop",
        secret_sha256=secret_digest(secret),
        hostnames=(SHOP, PLAIN),
        created_at=0,
    )
    access = Store(config.database).snapshot().access
    edge._apply(Snapshot.of(1, [record], access=access))
    live = Live(edge, token)
    try:
        if app is not None:
            await live.connect(app)
        yield live
    finally:
        await live.disconnect()
        await edge.stop()
