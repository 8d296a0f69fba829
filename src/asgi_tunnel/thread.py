"""Thread mode: the tunnel on an event loop of its own, for servers without a lifespan."""

from __future__ import annotations

import asyncio
import atexit
import logging
import threading
from typing import Any, Final

from .asgi.types import ASGIApp
from .config import TunnelConfig
from .errors import ConfigError, TunnelError
from .logs import ensure_handler

_log = logging.getLogger("asgi_tunnel.thread")

JOIN_TIMEOUT: Final = 5.0
"""Seconds the process waits at its end for the thread to say goodbye."""


class ThreadHandle:
    """A tunnel that runs in a daemon thread."""

    def __init__(self, app: ASGIApp, config: TunnelConfig, name: str) -> None:
        self._app = app
        self._config = config
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._ready = threading.Event()
        self._thread = threading.Thread(
            target=lambda: asyncio.run(self._main()), name="asgi-tunnel", daemon=True
        )

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()
        self._ready.wait()
        atexit.register(self.stop)

    def stop(self) -> None:
        """Drain and end the thread; waits ``JOIN_TIMEOUT`` at the most."""
        if self._loop is not None and self._stopped is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._stopped.set)
            self._thread.join(JOIN_TIMEOUT)

    async def _main(self) -> None:
        from .asgi.lifespan import Lifespan, LifespanError
        from .asgi.origin import Origin
        from .connector import Connector

        ensure_handler()  # with the loggers of what was imported now
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._ready.set()
        lifespan = Lifespan(self._app)
        try:
            await lifespan.startup()
        except LifespanError as error:
            _log.error("no tunnel: %s", error)
            return
        origin = Origin(
            self._app,
            state=lifespan.state,
            root_path=self._config.root_path,
            spec_version=self._config.spec_version,
        )
        connector = Connector(self._config, origin, name=self._name)
        connector.start()
        await self._stopped.wait()
        await connector.stop()
        try:
            await lifespan.shutdown()
        except LifespanError as error:
            _log.error("the app's shutdown failed: %s", error)


def start_in_thread(app: ASGIApp, *, name: str = "the app", **settings: Any) -> ThreadHandle | None:
    """Open the app's tunnel on an event loop of its own, in a daemon thread.

    For servers that never send a lifespan, such as Daphne, and for WSGI processes.

    Args:
        app: The app; its lifespan, if it has one, runs in the thread.
        name: What the log calls it.
        settings: As :meth:`asgi_tunnel.config.TunnelConfig.from_env`.

    Returns:
        A handle with ``stop()``; None, and a line in the log, without a usable token.
    """
    ensure_handler()
    try:
        config = TunnelConfig.from_env(**settings)
    except (ConfigError, TunnelError) as error:
        _log.error("no tunnel: %s", error)
        return None
    if config is None:
        _log.info("no tunnel: ASGI_TUNNEL_TOKEN is not set; the app is served locally only")
        return None
    handle = ThreadHandle(app, config, name)
    handle.start()
    return handle
