"""One line of the log for each request: method, path, status and milliseconds.

Around the app, and only when it is wanted: without it a request costs nothing.  Called by
:mod:`.runner`.
"""

from __future__ import annotations

import logging
import time
from typing import Any, Final

from .asgi.adapt import as_single_callable
from .asgi.types import ASGIApp, Message, Receive, Scope, Send

_log = logging.getLogger("asgi_tunnel.requests")

MAX_PATH: Final = 200
"""Characters of a path that are logged: a line must stay a line."""


class RequestLog:
    """Calls an app and logs each exchange when its response is complete, at INFO.

    Args:
        app: ASGI 3 or 2.

    The query string is not logged, since it may hold secrets.  A WebSocket is logged when it is
    accepted or refused; an exchange that ends before its response is complete says so.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = as_single_callable(app)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call.  Cancelling it cancels the app."""
        if not _log.isEnabledFor(logging.INFO):
            await self._app(scope, receive, send)
            return
        began = time.perf_counter()
        status = 0
        is_logged = False

        def log(note: str = "") -> None:
            nonlocal is_logged
            is_logged = True
            _log.info(
                "%s %s %d %.1f ms%s",
                scope["method"] if scope["type"] == "http" else "WebSocket",
                _path(scope),
                status or 500,
                (time.perf_counter() - began) * 1000,
                note,
            )

        async def send_and_log(message: Message) -> None:
            nonlocal status
            await send(message)
            if is_logged:
                return
            kind = message["type"]
            if kind.endswith("response.body"):
                if not message.get("more_body", False):
                    log()
            elif kind.endswith("response.start"):
                status = message["status"]
            elif kind == "websocket.accept":
                status = 101
                log()
            elif kind == "websocket.close":
                status = 403
                log()

        try:
            await self._app(scope, receive, send_and_log)
        finally:
            if not is_logged:
                log("" if status == 0 else ", not complete")


def _path(scope: Any) -> str:
    path: str = scope["raw_path"].decode("latin-1")
    if not path.isascii() or not path.isprintable():
        path = path.encode("unicode_escape").decode("ascii")
    return path if len(path) <= MAX_PATH else path[:MAX_PATH] + "..."
