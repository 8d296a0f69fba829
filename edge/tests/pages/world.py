"""An edge with two tokens, and the app of one of them, in one process and over real sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.token import Token
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig, GuardsConfig, Limits, TlsConfig
from asgi_tunnel_edge.settings.pages import PagesConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import TokenRecord, new_secret, secret_digest

SHOP = "shop.localhost"
"""Whose app is there."""
AWAY = "away.localhost"
"""Whose app is not."""
HELLO = '<link rel="icon" href="data:,"><h1>Hello from the app</h1>'
"""What the app says: a page for which a browser asks for nothing else."""


class World:
    """See the module.

    Attributes:
        is_waiting: A request for ``/wait`` is in the app.
        may_go_on: Lets it go on.
        requests: What the app was asked: methods and paths.
    """

    def __init__(self, edge: Edge, token: Token) -> None:
        self.edge = edge
        self.store = Store(edge.config.database_path)
        self.is_waiting = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.requests: list[tuple[str, str]] = []
        self._token = token
        self._connector: Connector | None = None

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Say hello, or what an edge would say: ``/503``."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept", "headers": [(b"x-asgi-tunnel-reason", b"x")]})
            await receive()
            return
        path = scope["path"]
        self.requests.append((scope["method"], path))
        if path == "/wait":
            self.is_waiting.set()
            await self.may_go_on.wait()
        headers = [(b"content-type", b"text/html")]
        if path == "/503":
            headers += [(b"x-asgi-tunnel-reason", b"offline"), (b"x-own", b"1")]
        elif path == "/close":
            headers += [(b"x-asgi-tunnel-reason", b"x"), (b"connection", b"close, x-own")]
        status = 503 if path == "/503" else 200
        await send({"type": "http.response.start", "status": status, "headers": headers})
        await send({"type": "http.response.body", "body": HELLO.encode()})

    async def start_app(self) -> None:
        """Let the app of ``SHOP`` open its tunnel."""
        settings = TunnelConfig(token=self._token, text=self._token.format(), grace=2.0)
        self._connector = Connector(settings, Origin(self.app))
        self._connector.start()
        await self._connector.wait_connected()

    async def stop_app(self) -> None:
        """End its tunnel; without one nothing is done."""
        connector, self._connector = self._connector, None
        if connector is not None:
            self.may_go_on.set()
            await connector.stop()

    async def ask(
        self, host: str = SHOP, target: str = "/", *fields: str, method: str = "GET"
    ) -> tuple[int, dict[str, str], str]:
        """The status, fields and body that one request gets."""
        reader, writer = await asyncio.open_connection("127.0.0.1", self.edge.address.port)
        lines = [f"{method} {target} HTTP/1.1", f"Host: {host}", *fields]
        if not any(one.startswith("Connection") for one in fields):
            lines.append("Connection: close")
        writer.write("\r\n".join([*lines, "", ""]).encode())
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode().split("\r\n")
            headers = {name: value for name, _, value in (one.partition(": ") for one in head[1:])}
            status = int(head[0].split()[1])
            body = b"" if status == 101 else await reader.read()
            if headers.get("transfer-encoding") == "chunked":
                body = body.split(b"\r\n")[1]
            return status, headers, body.decode()
        finally:
            writer.close()

    async def until(self, status: int, host: str = SHOP) -> None:
        """Wait until a hostname replies with this status."""
        async with asyncio.timeout(20):
            while (await self.ask(host))[0] != status:  # noqa: ASYNC110 - as a visitor sees it
                await asyncio.sleep(0.02)

    async def apply_store(self) -> None:
        """Let the edge have what is in the store now."""
        self.edge._apply(await asyncio.to_thread(Store.snapshot, self.store))


@asynccontextmanager
async def world(
    folder: Path,
    *,
    pages: PagesConfig | None = None,
    guards: GuardsConfig | None = None,
    hold_timeout: float = 0.2,
    has_app: bool = True,
) -> AsyncIterator[World]:
    """One of them, with these settings."""
    config = EdgeConfig(
        data_dir=folder,
        domain="localhost",
        listen="127.0.0.1:0",
        tls=TlsConfig(mode="off"),
        limits=Limits(hold_timeout=hold_timeout, max_body=1000, max_time=0.0),
        guards=guards or GuardsConfig(),
        pages=pages or PagesConfig(),
    )
    store = Store(config.database_path)
    store.migrate()
    secret = new_secret()
    for name, host in (("shop", SHOP), ("away", AWAY)):
        store.create_token(
            TokenRecord(
                id=f"tok_{name}",
                name=name,
                secret_sha256=secret_digest(secret),
                hostnames=(host,),
                created_at=0,
            )
        )
    edge = Edge(config)
    await edge.start()
    token = Token(edge=f"ws://127.0.0.1:{edge.address.port}", id="tok_shop", secret=secret)
    one = World(edge, token)
    try:
        if has_app:
            await one.start_app()
        yield one
    finally:
        await one.stop_app()
        await edge.stop()
