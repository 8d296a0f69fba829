"""Serves an app through its tunnel alone: no server, no port.

Lifespan, signals and exit codes are here; see :mod:`.supervisor` for more than one process.
"""

from __future__ import annotations

import asyncio
import importlib
import logging
import signal
import sys
import threading
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final, Literal

from .asgi.lifespan import Lifespan, LifespanError
from .asgi.origin import Origin
from .asgi.types import ASGIApp
from .config import TOKEN, TunnelConfig
from .connector import Connector
from .errors import ConfigError, TunnelError
from .logs import ensure_handler
from .memory import keep_memory
from .middleware import Tunnel

_log = logging.getLogger("asgi_tunnel.runner")

EXIT_OK: Final = 0
EXIT_REFUSED: Final = 1  # the edge refuses the token
EXIT_USAGE: Final = 2  # a setting or an argument is wrong
EXIT_STARTUP: Final = 3  # the app's startup failed (uvicorn's number)

LifespanMode = Literal["auto", "on", "off"]


def run(  # noqa: PLR0913 - one argument for each setting
    app: ASGIApp | str,
    *,
    token: str | None = None,
    connections: int | None = None,
    grace: float | None = None,
    root_path: str | None = None,
    plaintext_host: str | None = None,
    spec_version: str = "2.3",
    lifespan: LifespanMode = "auto",
    factory: bool = False,
) -> int:
    """Serve an app until SIGINT or SIGTERM.

    Args:
        app: An ASGI app, or where it is: ``"module:attribute"``.
        token: As :class:`asgi_tunnel.Tunnel`, and so are the next five.
        connections: Connections kept to the edge.
        grace: Seconds for requests in progress at the end.
        root_path: Put before each path.
        plaintext_host: The one host that may be dialed without TLS.
        spec_version: Of ASGI HTTP.
        lifespan: "on" fails without one, "off" does not run it.
        factory: ``app`` is called to get the app.

    Returns:
        The exit code: 0 after a signal, 1 when the edge refuses the token, 2 for a wrong setting
        or import, 3 when the app's startup failed.

    Uses uvloop when it is installed.
    """
    ensure_handler()
    try:
        loaded = load_app(app, factory=factory) if isinstance(app, str) else app
        if factory and not isinstance(app, str):
            loaded = loaded()  # type: ignore[call-arg,assignment]
        config = _require_config(
            token=token,
            connections=connections,
            grace=grace,
            root_path=root_path,
            plaintext_host=plaintext_host,
            spec_version=spec_version,
        )
    except ConfigError as error:
        _log.error("%s", error)
        return EXIT_USAGE
    name = app if isinstance(app, str) else getattr(app, "title", type(app).__name__)
    keep_memory()
    with asyncio.Runner(loop_factory=_loop_factory()) as loop_runner:
        return loop_runner.run(_serve(loaded, config, lifespan=lifespan, name=str(name)))


async def serve(  # noqa: PLR0913 - one argument for each setting
    app: ASGIApp,
    *,
    token: str | None = None,
    connections: int | None = None,
    grace: float | None = None,
    root_path: str | None = None,
    plaintext_host: str | None = None,
    spec_version: str = "2.3",
    lifespan: LifespanMode = "auto",
) -> None:
    """Serve an app in the running event loop until a signal comes or the task is cancelled.

    Cancelling it ends requests in progress at once and still runs the app's shutdown.  The first
    signal lets them finish; a further one ends this wait, then the wait for the app's shutdown.

    Raises:
        ConfigError: A setting is wrong, or there is no token.
        TunnelError: The edge refuses the token, or the app's startup failed.
    """
    config = _require_config(
        token=token,
        connections=connections,
        grace=grace,
        root_path=root_path,
        plaintext_host=plaintext_host,
        spec_version=spec_version,
    )
    ensure_handler()
    code = await _serve(app, config, lifespan=lifespan, name=type(app).__name__)
    if code != EXIT_OK:
        raise TunnelError("the tunnel could not be served; the log says why")


def load_app(where: str, *, factory: bool = False) -> ASGIApp:
    """Import ``module:attribute``.

    Raises:
        ConfigError: The form is wrong, or module or attribute do not exist.  An error inside the
            module is raised as it is: its traceback is what helps.
    """
    module_name, colon, attribute = where.partition(":")
    if not module_name or not colon or not attribute:
        raise ConfigError(repr(where), "does not say where the app is", "write it like main:app")
    try:
        found: Any = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name is None or not (module_name + ".").startswith(error.name + "."):
            raise
        raise ConfigError(
            repr(where),
            f"names the module {error.name!r}, which cannot be found from {Path.cwd()}",
            "change to its folder or give it with --app-dir",
        ) from error
    for part in attribute.split("."):
        try:
            found = getattr(found, part)
        except AttributeError as error:
            raise ConfigError(
                repr(where),
                f"names {part!r}, which {module_name!r} does not have",
                "check the name after the colon",
            ) from error
    if factory and callable(found):
        found = found()
    if not callable(found):
        raise ConfigError(repr(where), "is not callable", "name an ASGI app")
    return found  # type: ignore[no-any-return]


def _require_config(**settings: Any) -> TunnelConfig:
    config = TunnelConfig.from_env(**settings)
    if config is None:
        raise ConfigError(
            TOKEN, "is not set", "create a token on the edge with `asgi-tunnel-edge token create`"
        )
    return config


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(app: ASGIApp, config: TunnelConfig, *, lifespan: LifespanMode, name: str) -> int:
    target = app.app if isinstance(app, Tunnel) else app
    stop = _Stop()
    with stop.installed():
        life = None if lifespan == "off" else Lifespan(target, required=lifespan == "on")
        if life is not None:
            try:
                if not await stop.guard(life.startup()):
                    return EXIT_OK
            except LifespanError as error:
                _log.error("the app did not start: %s", error)
                return EXIT_STARTUP
        origin = Origin(
            target,
            state=life.state if life is not None else None,
            root_path=config.root_path,
            spec_version=config.spec_version,
        )
        connector = Connector(config, origin, name=name)
        refused: list[TunnelError] = []

        def on_refused(error: TunnelError) -> None:
            # It was never live: nobody is helped by waiting.
            if not connector.urls and not stop.is_requested:
                refused.append(error)
                stop.request()

        connector.on_refused = on_refused
        if not stop.is_requested:
            connector.start()
        try:
            await stop.wait()
            await stop.guard(connector.stop())
        finally:
            connector.abort()
            await origin.finish(0)
            if life is not None:
                try:
                    await stop.guard(life.shutdown())
                except LifespanError as error:
                    _log.error("the app's shutdown failed: %s", error)
        return EXIT_REFUSED if refused else EXIT_OK


class _Stop:
    """Turns the first signal into an end with grace; each one after it ends the step it meets."""

    def __init__(self) -> None:
        self._soft = asyncio.Event()
        self._hard = asyncio.Event()  # a further signal that has not ended anything yet
        self._loop = asyncio.get_running_loop()

    @property
    def is_requested(self) -> bool:
        return self._soft.is_set()

    def request(self) -> None:
        """End with grace; a further call ends what is guarded now."""
        if self._soft.is_set():
            self._hard.set()
        self._soft.set()

    async def wait(self) -> None:
        await self._soft.wait()

    async def guard(self, work: Coroutine[Any, Any, None]) -> bool:
        """Do ``work``; False when a further signal cancelled it."""
        task = asyncio.ensure_future(work)
        forced = asyncio.ensure_future(self._hard.wait())
        try:
            await asyncio.wait({task, forced}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            forced.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
        if not task.cancelled():
            task.result()
            return True
        _log.warning("a further signal: not waiting any longer")
        self._hard.clear()
        return False

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT and SIGTERM meanwhile; only the main thread can."""
        if threading.current_thread() is not threading.main_thread():
            yield
            return

        def handle(_number: int, _frame: object) -> None:
            self._loop.call_soon_threadsafe(self.request)

        old = {one: signal.signal(one, handle) for one in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield
        finally:
            for one, handler in old.items():
                signal.signal(one, handler)


def extend_path(folder: str) -> None:
    """Make ``folder`` the first place where modules are looked for."""
    path = str(Path(folder).absolute())
    if path not in sys.path:
        sys.path.insert(0, path)
