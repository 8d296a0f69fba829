"""uvicorn's ``run_server`` with an edge in the place of its server.

Its tests share asyncio's objects with their app, so the connector runs on the event loop of the
test: a tunnel for each test, opened when it starts its server and drained when it stops it.
"""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import AsyncIterator
from typing import Any, Final

from asgi_tunnel.asgi.lifespan import Lifespan
from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector

from .front import Front
from .world import edges

GRACE: Final = 5.0
"""Seconds for the apps that a test leaves behind when it stops its server."""


UVICORNS_OWN: Final = {"ws_max_size": 16 * 1024 * 1024, "ws_ping_timeout": 20.0}
"""Settings whose place is the edge, with their defaults: a test of another value waits in vain."""


class SettingError(Exception):
    """A test sets what an app behind a tunnel cannot set."""


class Server:
    """What a test sees of its server.

    Args:
        config: A ``uvicorn.Config``; the app, the port and whether there is a lifespan count.

    Raises:
        SettingError: It has another of ``UVICORNS_OWN``.
    """

    def __init__(self, config: Any) -> None:
        for name, default in UVICORNS_OWN.items():
            if getattr(config, name) != default:
                raise SettingError(f"{name} is uvicorn's; an edge has its own limits")
        self._port: int = config.port
        edge = edges()["http"]
        self._lifespan = Lifespan(config.app) if config.lifespan == "on" else None
        settings = TunnelConfig.from_env({}, token=edge.token, connections=1, grace=GRACE)
        assert settings is not None
        state = None if self._lifespan is None else self._lifespan.state
        self._origin = Origin(config.app, state=state, spec_version="2.4")
        self._connector = Connector(settings, self._origin)
        self._front = Front(edge.port)
        self._is_running = False

    async def start(self) -> None:
        """Open the tunnel, then the port."""
        if self._lifespan is not None:
            await self._lifespan.startup()
        self._connector.start()
        await self._connector.wait_connected()
        await self._front.start(self._port)
        self._is_running = True

    async def shutdown(self) -> None:
        """Drain; a second time does nothing, as a test may have done it."""
        if not self._is_running:
            return
        self._is_running = False
        await self._connector.stop()
        self._connector.abort()
        await self._origin.finish(0)
        await self._front.stop()
        if self._lifespan is not None:
            await self._lifespan.shutdown()


@contextlib.asynccontextmanager
async def run_server(config: Any, sockets: object = None) -> AsyncIterator[Server]:
    """In the place of ``tests.utils.run_server``."""
    assert sockets is None
    server = Server(config)
    await server.start()
    try:
        yield server
    finally:
        await server.shutdown()


def pytest_collection() -> None:
    """Replace it before a test module takes it."""
    utils: Any = importlib.import_module("tests.utils")
    utils.run_server = run_server
