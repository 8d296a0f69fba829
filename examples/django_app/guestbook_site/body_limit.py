"""A limit on request bodies, as pure ASGI; asgi.py wraps Django in it."""

from collections.abc import Awaitable, Callable
from typing import Any, Final

Scope = dict[str, Any]
Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
ASGIApp = Callable[[Scope, Receive, Send], Awaitable[None]]

_ANSWER: Final = b"The request is too large.\n"


class BodyLimit:
    """Answer 413 instead of letting a visitor fill the disk.

    Django under ASGI spools the whole body into a temporary file before any view, form or upload
    handler runs, and the tunnel has no cap of its own, so the limit has to stand outside Django.
    """

    def __init__(self, app: ASGIApp, *, max_size: int) -> None:
        """Wrap `app`; bodies above `max_size` bytes are refused."""
        self._app = app
        self._max_size = max_size

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Run the app, counting what it reads. Cancelling it cancels the app."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        if _declared_size(scope) > self._max_size:
            await _refuse(send)
            return
        size = 0

        async def receive_counted() -> Message:
            nonlocal size
            message = await receive()
            size += len(message.get("body", b""))
            # Django reads the body before it answers; told that the visitor left, it drops what
            # it has and returns without a word.
            return message if size <= self._max_size else {"type": "http.disconnect"}

        await self._app(scope, receive_counted, send)
        if size > self._max_size:
            await _refuse(send)


def _declared_size(scope: Scope) -> int:
    """Return Content-Length in bytes; 0 when absent (chunked) or not a number."""
    value = dict(scope["headers"]).get(b"content-length", b"")
    return int(value) if value.isdigit() else 0


async def _refuse(send: Send) -> None:
    """Send the 413 answer."""
    headers = [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", str(len(_ANSWER)).encode("ascii")),
    ]
    await send({"type": "http.response.start", "status": 413, "headers": headers})
    await send({"type": "http.response.body", "body": _ANSWER})
