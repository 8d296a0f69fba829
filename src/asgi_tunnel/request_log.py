"""One line of the log for each request: method, path, status and milliseconds.

Around the app, and only when it is wanted: without it a request costs nothing.  Called by
:mod:`.runner`.
"""

from __future__ import annotations

import logging
import time
from typing import Final

from .asgi.adapt import as_single_callable
from .asgi.types import (
    ASGIApp,
    DirectStream,
    Message,
    Receive,
    Scope,
    Send,
    ServeStream,
    StreamHandler,
    StreamLink,
    StreamOwner,
)
from .protocol.events import StreamOpened
from .protocol.head import RequestHead

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
        self._serve_stream: ServeStream | None = getattr(self._app, "serve_stream", None)

    def serve_stream(
        self, link: StreamLink, event: StreamOpened, owner: StreamOwner
    ) -> DirectStream | None:
        """Let an app that can serve a stream itself do so; see :data:`.asgi.types.ServeStream`."""
        if self._serve_stream is None:
            return None
        if _log.isEnabledFor(logging.INFO):
            owner = _LoggedStream(owner, event.head)
        return self._serve_stream(link, event, owner)

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
            method = scope["method"] if scope["type"] == "http" else "WebSocket"
            _write(method, scope["raw_path"], status, began, note)

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


class _LoggedStream:
    """Logs the end of a stream that the app has served itself.

    Args:
        owner: Told as well.
        head: Of the request.
    """

    __slots__ = ("_began", "_head", "_is_called", "_owner")

    def __init__(self, owner: StreamOwner, head: RequestHead) -> None:
        self._owner = owner
        self._head = head
        self._began = time.perf_counter()
        self._is_called = False

    def call_app(self, link: StreamLink, event: StreamOpened) -> StreamHandler:
        """Let the app be called, and its call be logged."""
        self._is_called = True
        return self._owner.call_app(link, event)

    def ended(self, stream: DirectStream, status: int, note: str) -> None:
        """Log it, unless the app was called."""
        self._owner.ended(stream, status, note)
        if not self._is_called:
            path = self._head.target.partition(b"?")[0]
            _write(self._head.method.decode(), path, status, self._began, note)


def _write(method: str, raw_path: bytes, status: int, began: float, note: str) -> None:
    milliseconds = (time.perf_counter() - began) * 1000
    _log.info("%s %s %d %.1f ms%s", method, _path(raw_path), status or 500, milliseconds, note)


def _path(raw_path: bytes) -> str:
    path = raw_path.decode("latin-1")
    if not path.isascii() or not path.isprintable():
        path = path.encode("unicode_escape").decode("ascii")
    return path if len(path) <= MAX_PATH else path[:MAX_PATH] + "..."
