"""An app in this process: loaded, started, started again when that fails, and stopped.

Its failures are its own: while it does not run, its requests get 503, and nothing else notices.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from enum import Enum, auto
from typing import Final

from ..asgi.adapt import as_single_callable, takes_arguments
from ..asgi.lifespan import Lifespan, LifespanError
from ..asgi.types import ASGIApp, Receive, Scope, Send
from ..errors import ConfigError
from ..loading import check_app, load_object
from ..mcp import make_app
from .reply import refuse
from .service import AppTarget

_log = logging.getLogger("asgi_tunnel.services")

RESTART_DELAY: Final = 1.0
"""Seconds before an app that did not start is tried again; doubled each time."""

MAX_RESTART_DELAY: Final = 60.0
"""Seconds; a database that was down for an hour is back within a minute."""

STOP_TIMEOUT: Final = 10.0
"""Seconds for an app's shutdown; systemd and Docker give the whole process 10 to 90."""


class AppState(Enum):
    """How far an app is."""

    NEW = auto()  # not started
    STARTING = auto()  # is loaded, and its startup runs
    READY = auto()  # takes requests
    FAILED = auto()  # did not start; is tried again later
    STOPPED = auto()  # its shutdown has run


class HostedApp:
    """Runs one app of the table.

    Args:
        target: Which one.
        name: What the log calls its service.
    """

    def __init__(self, target: AppTarget, name: str) -> None:
        self._target = target
        self._name = name
        self._state = AppState.NEW
        self._app: ASGIApp | None = None
        self._life: Lifespan | None = None
        self._close: Callable[[], None] | None = None  # ends the threads of a WSGI app
        self._tried = asyncio.Event()  # the first try is over, well or not
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    @property
    def state(self) -> AppState:
        """How far the app is."""
        return self._state

    @property
    def app(self) -> ASGIApp | None:
        """The app itself, once it runs."""
        return self._app

    def start(self) -> None:
        """Start it, in a task that ends with :meth:`stop`."""
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(
                self._keep(), name=f"asgi-tunnel service {self._name}"
            )

    async def wait_tried(self) -> None:
        """Return when the first try to start it is over.  Cancelling it changes nothing."""
        await self._tried.wait()

    async def stop(self) -> None:
        """Run the app's shutdown.  Cancelling it ends the app at once."""
        self._stopping.set()
        if self._task is None:
            return
        done, _ = await asyncio.wait([self._task], timeout=STOP_TIMEOUT)
        if not done:
            _log.error(
                "the app of %s did not end in %g s; going on without it", self._name, STOP_TIMEOUT
            )
            self._task.cancel()
            await asyncio.wait([self._task], timeout=1.0)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call; 503 while the app does not run."""
        if self._state is AppState.STARTING:
            # Only while the table starts; afterwards an app is started before it is in the table.
            await self._tried.wait()
        if self._state is not AppState.READY or self._app is None:
            await refuse(
                scope, receive, send, 503, "this service is not running at the moment", retry=True
            )
            return
        if self._life is not None:
            scope["state"] = self._life.state.copy()
        else:
            scope.pop("state", None)
        await self._app(scope, receive, send)

    async def _keep(self) -> None:
        """Start the app, again and again until it runs; then wait for the end and stop it."""
        delay = RESTART_DELAY
        while not self._stopping.is_set():
            self._state = AppState.STARTING
            why = await self._try()
            self._tried.set()
            if self._state is AppState.READY:
                await self._stopping.wait()
                break
            _log.error(
                "the app of %s did not start: %s; it answers 503, next try in %g s",
                self._name,
                why,
                delay,
            )
            try:
                async with asyncio.timeout(delay):
                    await self._stopping.wait()
            except TimeoutError:
                delay = min(delay * 2, MAX_RESTART_DELAY)
        was_ready = self._state is AppState.READY
        self._state = AppState.STOPPED
        if self._close is not None:
            self._close()
        if was_ready and self._life is not None:
            try:
                await self._life.shutdown()
            except LifespanError as error:
                _log.error("the shutdown of the app of %s failed: %s", self._name, error)

    async def _try(self) -> str:
        """Load the app and run its startup; return why it does not run, if it does not."""
        try:
            app, has_lifespan = self._load()
            life = Lifespan(app) if has_lifespan else None
            if life is not None:
                startup = asyncio.ensure_future(life.startup())
                stopping = asyncio.ensure_future(self._stopping.wait())
                try:
                    await asyncio.wait((startup, stopping), return_when=asyncio.FIRST_COMPLETED)
                    if startup.done():
                        startup.result()
                finally:
                    stopping.cancel()
                    startup.cancel()
                if not startup.done():
                    await asyncio.wait([startup])
                    raise LifespanError("it was stopped before it had started")
        except (ConfigError, LifespanError) as error:
            why = str(error)
        except Exception as error:  # noqa: BLE001 - the app's own, logged with its traceback
            _log.exception("the app of %s cannot be loaded", self._name)
            why = type(error).__name__
        else:
            self._app, self._life = app, life
            self._state = AppState.READY
            return ""
        self._state = AppState.FAILED
        return why

    def _load(self) -> tuple[ASGIApp, bool]:
        """Return the app as ASGI 3, and whether it may have a lifespan."""
        target = self._target
        if target.app is None:
            app = load_object(target.where, factory=target.factory)
        else:
            app = target.app() if target.factory else target.app
        app = make_app(app)
        where = target.where or "the app"
        is_wsgi = target.interface == "wsgi" or (
            target.interface == "auto" and takes_arguments(app, 2) and not takes_arguments(app, 3)
        )
        if is_wsgi:
            from .wsgi import WSGIBridge

            bridge = WSGIBridge(app)
            self._close = bridge.close
            return bridge, False
        check_app(app, where, factory=target.factory)
        return as_single_callable(app), True
