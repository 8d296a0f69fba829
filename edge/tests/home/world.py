"""A real edge and an app with an end-to-end hostname, in one process and over real sockets."""

from __future__ import annotations

import asyncio
import hashlib
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import EndToEndConfig, TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.token import Token
from asgi_tunnel_edge.certificates.internal import create_internal_certificate, fingerprint
from asgi_tunnel_edge.home import HomeServer
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord, new_secret, new_token_id, secret_digest

HOME = "home.example.test"
SHOP = "shop.example.test"
CHUNK = 256 * 1024


class World:
    """One of each.

    Attributes:
        scopes: Of the app's calls, in order.
        is_waiting: A call of ``/wait`` has begun.
        may_go_on: Lets it go on.
        trust: For the certificate that the app shows.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.scopes: list[dict[str, Any]] = []
        self.is_waiting = asyncio.Event()
        self.may_go_on = asyncio.Event()
        self.home = create_internal_certificate(HOME, folder / "home")
        self.trust = ssl.create_default_context(cafile=str(self.home.certificate))
        self.edge: Edge
        self.connector: Connector

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """``/size/N`` sends N bytes, a WebSocket sends back, others say hello, ``/wait`` late."""
        self.scopes.append(scope)
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.accept"})
            while (message := await receive())["type"] == "websocket.receive":
                await send({"type": "websocket.send", "text": message["text"]})
            return
        body = b"hello\n"
        if scope["path"] == "/wait":
            self.is_waiting.set()
            await self.may_go_on.wait()
        if scope["path"] == "/digest":
            digest = hashlib.sha256()
            while True:
                message = await receive()
                digest.update(message.get("body", b""))
                if not message.get("more_body"):
                    break
            body = digest.hexdigest().encode()
        await send({"type": "http.response.start", "status": 200, "headers": []})
        if scope["path"].startswith("/size/"):
            left = int(scope["path"][6:])
            while left:
                size = min(left, CHUNK)
                left -= size
                piece = {"type": "http.response.body", "body": bytes(size), "more_body": True}
                await send(piece)
            body = b""
        await send({"type": "http.response.body", "body": body})

    @property
    def server(self) -> HomeServer:
        """What serves end-to-end hostnames."""
        server = self.connector.end_to_end._server
        assert isinstance(server, HomeServer)
        return server

    async def dial(
        self, name: str = HOME, trust: ssl.SSLContext | None = None
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        """Open a visitor's connection."""
        return await asyncio.open_connection(
            "127.0.0.1",
            self.edge.address.port,
            ssl=trust or self.trust,
            server_hostname=name,
            limit=2**20,
        )


@asynccontextmanager
async def world(
    folder: Path,
    *,
    has_app: bool = True,
    end_to_end: EndToEndConfig | None = None,
) -> AsyncIterator[World]:
    """An edge with a certificate of its own, and a token with one hostname of each kind.

    The app's settings of certificates are two files, when left out.
    """
    one = World(folder)
    config = EdgeConfig(data_dir=folder / "edge", domain="example.test", listen="127.0.0.1:0")
    config.data_dir.mkdir()
    Store(config.database_path).migrate()
    own = create_internal_certificate(config.domain, config.data_dir / "tls")
    one.edge = Edge(config)
    await one.edge.start()
    secret = new_secret()
    token = Token(
        edge=f"wss://127.0.0.1:{one.edge.address.port}",
        id=new_token_id(),
        secret=secret,
        pin=fingerprint(own.certificate.read_bytes()),
    )
    record = TokenRecord(
        id=token.id,
        name="home",
        secret_sha256=secret_digest(secret),
        hostnames=(HOME, SHOP),
        created_at=0,
        end_to_end=(HOME,),
    )
    one.edge._apply(Snapshot.of(1, [record]))
    if end_to_end is None:
        end_to_end = EndToEndConfig(certificate=one.home.certificate, key=one.home.key)
    settings = TunnelConfig(
        token=token,
        text=token.format(),
        end_to_end=end_to_end,
        grace=2.0,
    )
    one.connector = Connector(settings, Origin(one.app))
    try:
        if has_app:
            one.connector.start()
            await one.connector.wait_connected()
        yield one
    finally:
        if has_app:
            await one.connector.stop()
        await one.edge.stop()
