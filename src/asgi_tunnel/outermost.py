"""Finds the app that the server calls: the outermost one, whatever wraps a ``Tunnel``.

A tunnel that called the app inside it would pass by what stands outside it, a login for example.
A coroutine that is awaited has its caller's frame above it, so the frames between a ``Tunnel`` and
its server are looked at while the server calls it: the server's own frame names the app.  Where no
frame of a known server is found the answer is None, and the tunnel is not opened.

Called by :mod:`.middleware` once, when the tunnel is about to be opened.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any, Final, NamedTuple

__all__ = ["SERVERS", "daphne_application", "find_outermost", "is_below_daphne"]


class _Server(NamedTuple):
    """A function of a server that calls an app."""

    module: str  # where it is; with a dot at its end: and in all modules below
    function: str
    app_of: Callable[[dict[str, Any]], Any]  # from its variables


def _of_self(*attributes: str) -> Callable[[dict[str, Any]], Any]:
    """Return what follows attributes from ``self``."""

    def app_of(variables: dict[str, Any]) -> Any:
        found = variables.get("self")
        for attribute in attributes:
            found = getattr(found, attribute, None)
        return found

    return app_of


def _of_uvicorn(variables: dict[str, Any]) -> Any:
    """Leave out what uvicorn itself has put around the app: it speaks of its own listener."""
    owner = variables.get("self")
    config = getattr(owner, "config", None)
    app: Any = variables.get("app") or getattr(owner, "app", None)
    if (
        getattr(config, "proxy_headers", False)
        and type(app).__name__ == "ProxyHeadersMiddleware"
        and type(app).__module__ == "uvicorn.middleware.proxy_headers"
    ):
        app = app.app
    return app


def _of_hypercorn(variables: dict[str, Any]) -> Any:
    """Leave out the wrapper that tells ASGI from WSGI."""
    wrapper = variables.get("app") or getattr(variables.get("self"), "app", None)
    return getattr(wrapper, "app", None) if type(wrapper).__name__ == "ASGIWrapper" else None


SERVERS: Final = (
    _Server("uvicorn.lifespan.on", "main", _of_uvicorn),
    _Server("uvicorn.protocols.", "run_asgi", _of_uvicorn),
    _Server("hypercorn.asyncio.lifespan", "handle_lifespan", _of_hypercorn),
    _Server("hypercorn.asyncio.task_group", "_handle", _of_hypercorn),
    _Server("granian.asgi", "handle", _of_self("callable")),
    _Server("gunicorn.asgi.lifespan", "_run_lifespan", _of_self("app")),
    _Server("gunicorn.asgi.protocol", "_handle_http_request", _of_self("app")),
)
"""Functions that are known to call the app that a server was given, and nothing in between. What
drives the lifespan of a part of an app, in a task of its own, must not be here."""


_DAPHNE: Final = {
    ("daphne.cli", "run"),
    ("daphne.management.commands.runserver", "inner_run"),
}


def find_outermost() -> Any:
    """Return the app that the server in whose call this runs was given; None: not known.

    To be called from within a call of the app, however deep.  The outermost server counts: an app
    may run another one's lifespan in its own.
    """
    found: Any = None
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - the documented way to the caller
    while frame is not None:
        server = _server_of(frame)
        if server is not None:
            found = server.app_of(frame.f_locals) or found
        frame = frame.f_back
    return found


def is_below_daphne() -> bool:
    """Whether Daphne, which never sends a lifespan, is importing the app that it will serve."""
    frame: FrameType | None = sys._getframe(1)  # noqa: SLF001 - as above
    while frame is not None:
        module = frame.f_globals.get("__name__", "")
        if (module, frame.f_code.co_name) in _DAPHNE:
            return True
        frame = frame.f_back
    return False


def daphne_application() -> Any:
    """Return the app that Daphne serves in this process; None: it does not serve yet."""
    for frame in sys._current_frames().values():  # noqa: SLF001 - of the thread that serves
        outer: FrameType | None = frame
        while outer is not None:
            if outer.f_code.co_name == "run" and outer.f_globals.get("__name__") == "daphne.server":
                return getattr(outer.f_locals.get("self"), "application", None)
            outer = outer.f_back
    return None


def _server_of(frame: FrameType) -> _Server | None:
    function, module = frame.f_code.co_name, frame.f_globals.get("__name__", "")
    for server in SERVERS:
        if server.function == function and (
            module.startswith(server.module)
            if server.module.endswith(".")
            else module == server.module
        ):
            return server
    return None
