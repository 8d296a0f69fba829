"""The servers that are compared: an edge with a connector, and uvicorn in two forms.

The connector and uvicorn run in the event loop of the test, so that one scripted app object is
behind all of them; the edge is a process of its own, as in production.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import uvicorn
from tests.e2e.harness import running_edge

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector

from .app import App
from .client import Visitor
from .script import HOST

_READY: Final = 20.0
"""Seconds for a connector to be live, on a loaded machine."""

_ASK: Final = b"GET / HTTP/1.1\r\nHost: " + HOST + b"\r\nConnection: close\r\n\r\n"


@dataclass(frozen=True)
class World:
    """A server on a port of loopback."""

    name: str
    port: int


@dataclass(frozen=True)
class Worlds:
    """The tunnel, and what it is compared with."""

    app: App
    tunnel: World
    references: tuple[World, ...]


@contextmanager
def edge(folder: Path) -> Iterator[tuple[int, str]]:
    """Run an edge with one token; give its port and the token.

    The guards against floods exempt loopback by default; the scanner's probes are another suite's.
    """
    with running_edge(folder, guards="scanner = false") as one:
        yield one.port, one.create_token("shop").token


@asynccontextmanager
async def worlds(port: int, token: str) -> AsyncIterator[Worlds]:
    """Serve one app by all servers in the running event loop."""
    app = App()
    for name in ("uvicorn.error", "asgi_tunnel"):  # the scripts make apps fail on purpose
        logging.getLogger(name).setLevel(logging.CRITICAL + 1)
    config = TunnelConfig.from_env(token=token, grace=1.0)
    assert config is not None
    origin = Origin(app, state={})
    connector = Connector(config, origin, name="differential")
    connector.start()
    async with (
        _uvicorn(app, "httptools", "websockets-sansio") as first,
        _uvicorn(app, "h11", "wsproto") as second,
    ):
        try:
            await _wait_live(port)
            yield Worlds(app, World("tunnel", port), (first, second))
        finally:
            await connector.stop()
            await origin.finish(0)


async def _wait_live(port: int) -> None:
    async with asyncio.timeout(_READY):
        while True:
            visitor = await Visitor.connect(port)
            await visitor.send(_ASK)
            response = await visitor.response(b"GET")
            await visitor.close()
            if response is not None and response.status == 200:
                return


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.is_started = asyncio.Event()

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """Start, and say so."""
        await super().startup(sockets)
        self.is_started.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """Leave the signals to the test."""
        yield


@asynccontextmanager
async def _uvicorn(app: App, http: str, ws: str) -> AsyncIterator[World]:
    config = uvicorn.Config(
        app,
        http=http,
        ws=ws,
        lifespan="off",
        log_config=None,
        access_log=False,
        proxy_headers=False,  # the visitors are no proxies
        timeout_keep_alive=60,
        timeout_graceful_shutdown=1,
        ws_per_message_deflate=False,
    )
    sock = socket.create_server(("127.0.0.1", 0))
    server = _Server(config)
    task = asyncio.create_task(server.serve(sockets=[sock]))
    try:
        await server.is_started.wait()
        yield World(f"uvicorn with {http}", sock.getsockname()[1])
    finally:
        server.should_exit = True
        await task
        sock.close()
