"""Thread mode: the tunnel on an event loop of its own, for servers without a lifespan."""

from __future__ import annotations

import asyncio
import atexit
import contextvars
import functools
import logging
import threading
import time
from collections.abc import Callable
from typing import Any, Final

from .asgi.types import ASGIApp
from .config import TunnelConfig
from .errors import ConfigError, TunnelError
from .logs import ensure_handler
from .mcp import allow_public_hosts

_log = logging.getLogger("asgi_tunnel.thread")

JOIN_TIMEOUT: Final = 8.0
"""Seconds the process waits at its end for the thread to say goodbye."""


DRAIN_TIMEOUT: Final = 5.0
"""Of them for requests in progress; then the goodbye and the app's shutdown follow."""

SERVE_TIMEOUT: Final = 60.0
"""Seconds after which a server that has imported the app and does not serve it is given up."""

_POLL: Final = 0.05


class ThreadHandle:
    """A tunnel that runs in a daemon thread.

    Args:
        find_app: Returns the app; None while there is none yet.
        config: The settings.
        name: What the log calls the app.
    """

    def __init__(
        self, find_app: Callable[[], ASGIApp | None], config: TunnelConfig, name: str
    ) -> None:
        self._find_app = find_app
        self._config = config
        self._name = name
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stopped: asyncio.Event | None = None
        self._ready = threading.Event()
        # A thread begins with an empty context: the app's calls get the one that is current here.
        context = contextvars.copy_context()
        self._thread = threading.Thread(
            target=lambda: context.run(asyncio.run, self._main()), name="asgi-tunnel", daemon=True
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

    async def _wait_for_app(self) -> ASGIApp | None:
        deadline = time.monotonic() + SERVE_TIMEOUT
        app = self._find_app()
        while app is None and time.monotonic() < deadline:
            await asyncio.sleep(_POLL)
            app = self._find_app()
        return app

    async def _main(self) -> None:
        from .asgi.lifespan import Lifespan, LifespanError
        from .asgi.origin import Origin
        from .connector import Connector
        from .inbox import rules_of
        from .policy.collect import collect

        ensure_handler()  # with the loggers of what was imported now
        self._loop = asyncio.get_running_loop()
        self._stopped = asyncio.Event()
        self._ready.set()
        app = await self._wait_for_app()
        ensure_handler()  # the server has configured its own logging by now
        if app is None:
            _log.error("no tunnel: the server did not begin to serve in %g s", SERVE_TIMEOUT)
            return
        lifespan = Lifespan(app)
        try:
            await lifespan.startup()
        except LifespanError as error:
            _log.error("no tunnel: %s", error)
            return
        try:
            policy = collect(app, sends_routes=self._config.sends_routes)
        except ConfigError as error:
            _log.error("no tunnel: %s", error)
            await lifespan.shutdown()
            return
        origin = Origin(
            app,
            state=lifespan.state,
            root_path=self._config.root_path,
            spec_version=self._config.spec_version,
        )
        inbox = rules_of(app, self._config.inbox)
        connector = Connector(self._config, origin, name=self._name, policy=policy, inbox=inbox)
        connector.on_urls = functools.partial(allow_public_hosts, app)
        connector.start()
        await self._stopped.wait()
        try:
            async with asyncio.timeout(DRAIN_TIMEOUT):  # anyio's would cancel its last words, too
                await connector.stop()
        except TimeoutError:
            await origin.finish(0)
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
    return start_with(lambda: app, config, name)


def start_with(
    find_app: Callable[[], ASGIApp | None], config: TunnelConfig, name: str
) -> ThreadHandle:
    """Start a thread that waits for an app; see :class:`ThreadHandle`."""
    handle = ThreadHandle(find_app, config, name)
    handle.start()
    return handle
