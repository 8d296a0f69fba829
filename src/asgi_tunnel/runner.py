"""Serves an app through its tunnel alone: no server, no port.

Lifespan, signals and exit codes are here; see :mod:`.supervisor` for more than one process.
"""

from __future__ import annotations

import asyncio
import functools
import logging
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final, Literal

from . import parent
from .asgi.lifespan import Lifespan, LifespanError
from .asgi.origin import Origin
from .asgi.types import ASGIApp
from .config import TunnelConfig
from .connector import Connector
from .errors import ConfigError, TunnelError
from .inbox import rules_of
from .inspector.settings import GivenInspect
from .loading import display_name, load_app
from .logs import ensure_handler, fatal, make_seen
from .mcp import allow_public_hosts, make_app
from .memory import keep_memory
from .middleware import Tunnel
from .names import names_of
from .policy.collect import collect
from .request_log import RequestLog
from .stop import Interrupted, Stop

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
    hostnames: Sequence[str] | None = None,
    inbox: Sequence[str] | None = None,
    plaintext_host: str | None = None,
    inspect: GivenInspect | None = None,
    spec_version: str = "2.3",
    lifespan: LifespanMode = "auto",
    factory: bool = False,
    access_log: bool = True,
) -> int:
    """Serve an app until SIGINT, SIGTERM or SIGHUP.

    Args:
        app: An ASGI app, or where it is: ``"module:attribute"``.
        token: As :class:`asgi_tunnel.Tunnel`, and so are the next eight.
        connections: Connections kept to the edge.
        grace: Seconds for requests in progress at the end.
        root_path: Put before each path.
        hostnames: Those of the token's that this process serves.
        inbox: Routes whose requests the edge keeps while the app is away.
        plaintext_host: The one host that may be dialed without TLS.
        inspect: What is recorded of exchanges, to be looked at.
        spec_version: Of ASGI HTTP.
        lifespan: "on" fails without one, "off" does not run it.
        factory: ``app`` is called to get the app.
        access_log: Log a line for each request.

    Returns:
        The exit code: 0 after a signal, 1 when the edge refuses the token, 2 for a wrong setting
        or import, 3 when the app's startup failed.

    Uses uvloop when it is installed.
    """
    return run_process(
        app,
        lifespan=lifespan,
        factory=factory,
        access_log=access_log,
        ends_process=False,
        token=token,
        connections=connections,
        grace=grace,
        root_path=root_path,
        hostnames=hostnames,
        inbox=inbox,
        plaintext_host=plaintext_host,
        inspect=inspect,
        spec_version=spec_version,
    )


def run_process(
    app: ASGIApp | str | Path,
    *,
    lifespan: LifespanMode,
    factory: bool,
    access_log: bool,
    ends_process: bool = True,
    **settings: Any,
) -> int:
    """As :func:`run`, for the command.

    Args:
        app: An ASGI app, where it is, or the file of the services.
        lifespan: As :func:`run`.
        factory: As :func:`run`.
        access_log: As :func:`run`.
        ends_process: The process ends with the exit code that is returned.
        settings: As :meth:`asgi_tunnel.config.TunnelConfig.from_env`.

    Raises:
        RunningLoopError: This thread's event loop runs.
    """
    if _is_loop_running():
        raise RunningLoopError
    ensure_handler()
    stop = Stop(may_force=True)
    try:
        with stop.installed(ends_process=ends_process):
            try:
                loaded = _load(app, factory=factory)
                config = TunnelConfig.required(**settings)  # the app may have set the variables
            except ConfigError as error:
                fatal(_log, "%s", error)
                return EXIT_USAGE
            except Exception as error:  # noqa: BLE001 - the app's own, with its traceback
                fatal(_log, "%r cannot be imported: its code raised", app, cause=_own_part(error))
                return EXIT_USAGE
            ensure_handler()  # the app may have configured logging
            parent.set_grace(config.grace)
            name = _name(app)
            keep_memory()
            with asyncio.Runner(loop_factory=_loop_factory()) as loop_runner:
                serving = _serve(loaded, config, lifespan, name, stop, access_log=access_log)
                code = loop_runner.run(serving)
                stop.served(parent.exit_code(code))
                return code
    except Interrupted:
        return EXIT_OK
    except SystemExit as end:
        if not (stop.is_starting and parent.is_followed()):
            raise
        fatal(_log, "the app ended its process before it had started: %r", end)
        return EXIT_STARTUP


async def serve(  # noqa: PLR0913 - one argument for each setting
    app: ASGIApp,
    *,
    token: str | None = None,
    connections: int | None = None,
    grace: float | None = None,
    root_path: str | None = None,
    hostnames: Sequence[str] | None = None,
    inbox: Sequence[str] | None = None,
    plaintext_host: str | None = None,
    inspect: GivenInspect | None = None,
    spec_version: str = "2.3",
    lifespan: LifespanMode = "auto",
    access_log: bool = True,
) -> None:
    """Serve an app in the running event loop until a signal comes or the task is cancelled.

    Cancelling it ends requests in progress at once and still runs the app's shutdown.  The first
    signal lets them finish; a further one ends this wait, then the wait for the app's shutdown.

    Raises:
        ConfigError: A setting is wrong, or there is no token.
        TunnelError: The edge refuses the token, or the app's startup failed.
    """
    config = TunnelConfig.required(
        token=token,
        connections=connections,
        grace=grace,
        root_path=root_path,
        hostnames=hostnames,
        inbox=inbox,
        plaintext_host=plaintext_host,
        inspect=inspect,
        spec_version=spec_version,
    )
    ensure_handler()
    stop = Stop()
    with stop.installed():
        code = await _serve(app, config, lifespan, display_name(app), stop, access_log=access_log)
    if code != EXIT_OK:
        raise TunnelError("the tunnel could not be served; the log says why")


class RunningLoopError(ConfigError, RuntimeError):
    """``run()`` was called where an event loop runs already: in a coroutine, or in a notebook."""

    def __init__(self) -> None:
        super().__init__(
            "asgi_tunnel.run()",
            "cannot be called from a running event loop",
            "write `await asgi_tunnel.serve(app)` there",
        )


def _is_loop_running() -> bool:
    try:
        asyncio.get_running_loop()
    except RuntimeError:
        return False
    return True


def _name(app: ASGIApp | str | Path) -> str:
    if isinstance(app, Path):
        return app.name
    return app if isinstance(app, str) else display_name(app)


def _load(app: ASGIApp | str | Path, *, factory: bool) -> ASGIApp:
    if isinstance(app, Path):
        from .services.app import Services

        return Services.from_file(app)
    if isinstance(app, str):
        return load_app(app, factory=factory)
    return make_app(app() if factory else app)  # type: ignore[call-arg,no-any-return]


def _own_part(error: Exception) -> Exception:
    """Return an error whose traceback begins in the app: what is above it is ours, and import's."""
    found = error.__traceback__
    while found is not None:
        name = found.tb_frame.f_code.co_filename
        if not name.startswith("<frozen importlib") and found.tb_frame.f_globals.get(
            "__name__"
        ) not in (__name__, load_app.__module__, "importlib"):
            return error.with_traceback(found)
        found = found.tb_next
    return error.with_traceback(None)  # such as a SyntaxError, which names its place itself


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


async def _serve(
    app: ASGIApp,
    config: TunnelConfig,
    lifespan: LifespanMode,
    name: str,
    stop: Stop,
    *,
    access_log: bool,
) -> int:
    target = app.app if isinstance(app, Tunnel) else app
    stop.attach()
    life = None if lifespan == "off" else Lifespan(target, required=lifespan == "on")
    if life is not None:
        try:
            if not await stop.guard(life.startup(), "the app's startup", at_once=True):
                return EXIT_OK
        except LifespanError as error:
            fatal(_log, "the app did not start: %s", error)
            return EXIT_STARTUP
        ensure_handler()  # the app may have configured logging
    stop.is_starting = False
    try:
        policy = collect(app, sends_routes=config.sends_routes)  # the app has its routes by now
    except ConfigError as error:
        fatal(_log, "%s", error)
        await _shut_down(life, stop)
        return EXIT_USAGE
    origin = Origin(
        RequestLog(target) if access_log else target,
        state=life.state if life is not None else None,
        root_path=config.root_path,
        spec_version=config.spec_version,
    )
    connector = Connector(
        config,
        origin,
        name=name,
        served=names_of(target),
        policy=policy,
        inbox=rules_of(target, config.inbox),
    )
    connector.on_urls = functools.partial(allow_public_hosts, target)
    is_quiet = parent.is_followed() and not parent.is_gone()
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
        if stop.reason and (origin.in_flight or not is_quiet):
            _log.info("%s: stopping%s", stop.reason, _in_progress(origin.in_flight, config.grace))
        await stop.guard(connector.stop(), "requests in progress")
    finally:
        connector.abort()
        await origin.finish(0)
        await _shut_down(life, stop)
    if refused:
        make_seen(_log, "the edge refuses this app: %s", refused[0])
        return EXIT_REFUSED
    if not is_quiet:
        _log.info("stopped")
    return EXIT_OK


async def _shut_down(life: Lifespan | None, stop: Stop) -> None:
    if life is not None:
        try:
            await stop.guard(life.shutdown(), "the app's shutdown")
        except LifespanError as error:
            _log.error("the app's shutdown failed: %s", error)


def _in_progress(count: int, grace: float) -> str:
    if not count:
        return ""
    what = "1 request gets" if count == 1 else f"{count} requests get"
    return f"; {what} up to {grace:g} s to finish"


def extend_path(folder: str) -> None:
    """Make ``folder`` the first place where modules are looked for.

    What is needed later of Python's own is imported before: a project may have a ``queue.py``.
    """
    import base64  # noqa: F401
    import concurrent.futures.thread  # noqa: F401
    import json  # noqa: F401
    import traceback  # noqa: F401
    import urllib.parse  # noqa: F401

    _loop_factory()
    path = str(Path(folder).absolute())
    if path not in sys.path:
        sys.path.insert(0, path)
