"""Serves a WSGI app (PEP 3333) to ASGI calls, each in a thread.

The body streams both ways: ``wsgi.input`` waits for what the visitor sends, and each piece of the
response waits until there is room for it.
"""

from __future__ import annotations

import asyncio
import io
import logging
import sys
from collections import deque
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

from ..asgi.types import Message, Receive, Scope, Send
from ..identity import EXTENSION
from .reply import refuse

_log = logging.getLogger("asgi_tunnel.services")

THREADS: Final = 32
"""Requests of one app at the same time; those above wait.  Twice what waitress and uWSGI start
with: a visitor on a slow line holds a thread."""

MAX_WAITING: Final = 16
"""Messages of a body that are kept for an app which has begun to answer and may still read: more
hold the visitor back."""

WSGIApp = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]


class _GoneError(OSError):
    """The visitor left while the app still sent or read."""


class WSGIBridge:
    """An ASGI app that calls a WSGI app.

    Args:
        app: The WSGI app.
    """

    def __init__(self, app: WSGIApp) -> None:
        self._app = app
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="asgi-tunnel wsgi")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call.  A cancelled call ends when the app next reads or sends."""
        if scope["type"] != "http":
            await refuse(scope, receive, send, 404, "this app has no WebSockets")
            return
        loop = asyncio.get_running_loop()
        call = _Call(loop, receive, send)
        try:
            await loop.run_in_executor(self._threads, call.run, self._app, environ(scope, call))
        except _GoneError:
            pass
        finally:
            call.end()

    def close(self) -> None:
        """Let the threads end with what they do."""
        self._threads.shutdown(wait=False)


class _Call:
    """One request, in its thread.

    Attributes:
        is_gone: Nobody waits for the response: the next read or send raises.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, receive: Receive, send: Send) -> None:
        self._loop = loop
        self._receive = receive
        self._send = send
        self._start: Message | None = None  # not sent yet
        self._is_started = False
        self._waiting: deque[Message] = deque()  # received by the watch, not read yet
        self._receiving = asyncio.Lock()
        self._watch: asyncio.Task[None] | None = None
        self.is_gone = False

    def end(self) -> None:
        """Nobody waits for the response any more: it is complete, or the call was cancelled."""
        self.is_gone = True
        if self._watch is not None:
            self._watch.cancel()

    def run(self, app: WSGIApp, environment: dict[str, Any]) -> None:
        """Call the app and send what it returns."""
        result = app(environment, self.start_response)
        try:
            for piece in result:
                if piece:
                    self.write(piece)
        finally:
            close = getattr(result, "close", None)
            if close is not None:
                close()
        self._send_start()
        self.wait(self._send({"type": "http.response.body", "body": b"", "more_body": False}))

    def start_response(
        self, status: str, headers: list[tuple[str, str]], exc_info: Any = None
    ) -> Callable[[bytes], None]:
        """Take the head (PEP 3333): it is sent with the first piece of the body."""
        if exc_info is not None:
            try:
                if self._is_started:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None
        elif self._start is not None or self._is_started:
            raise AssertionError("start_response was called twice without exc_info")
        self._start = {
            "type": "http.response.start",
            "status": int(status[:3]),
            "headers": [(n.lower().encode("latin-1"), v.encode("latin-1")) for n, v in headers],
        }
        return self.write

    def write(self, data: bytes) -> None:
        """Send a piece of the body, and wait until there is room for the next."""
        self._send_start()
        self.wait(self._send({"type": "http.response.body", "body": data, "more_body": True}))

    def _send_start(self) -> None:
        if self._is_started:
            return
        if self._start is None:
            raise AssertionError("the app sent a body before it called start_response")
        self._is_started = True
        self.wait(self._begin(self._start))

    # -- in the event loop -------------------------------------------------------------------

    async def _begin(self, start: Message) -> None:
        """Send the head; from now on notice when the visitor leaves."""
        await self._send(start)
        self._watch = self._loop.create_task(self._wait_gone())

    async def _wait_gone(self) -> None:
        while not self.is_gone and len(self._waiting) < MAX_WAITING:
            async with self._receiving:
                message = await self._receive()
                self._note(message)
                self._waiting.append(message)

    async def _next(self) -> Message:
        async with self._receiving:
            if self._waiting:
                return self._waiting.popleft()
            message = await self._receive()
            self._note(message)
            return message

    def _note(self, message: Message) -> None:
        if message["type"] != "http.request":
            self.is_gone = True

    # -- in the thread -----------------------------------------------------------------------

    def wait(self, awaitable: Any) -> Any:
        """Run a coroutine in the event loop and return its result.

        Raises:
            _GoneError: The visitor left.
        """
        if self.is_gone:
            awaitable.close()
            raise _GoneError("the visitor left")
        return asyncio.run_coroutine_threadsafe(awaitable, self._loop).result()

    def read_message(self) -> tuple[bytes, bool]:
        """Return the next piece of the request's body, and whether more comes.

        Raises:
            _GoneError: The visitor left before it was complete.
        """
        message = self.wait(self._next())
        if message["type"] != "http.request":
            raise _GoneError("the visitor left before the body was complete")
        return message.get("body", b""), message.get("more_body", False)


class _Input(io.RawIOBase):
    """``wsgi.input``: the body, read as the visitor sends it."""

    def __init__(self, call: _Call) -> None:
        self._call = call
        self._piece = memoryview(b"")
        self._has_more = True

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while not self._piece and self._has_more:
            data, self._has_more = self._call.read_message()
            self._piece = memoryview(data)
        size = min(len(self._piece), len(buffer))
        buffer[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size


def environ(scope: Scope, call: _Call) -> dict[str, Any]:
    """Return the environment of a request (PEP 3333; paths are bytes read as Latin-1)."""
    root_path = scope.get("root_path", "")
    path = scope["path"].removeprefix(root_path) if root_path else scope["path"]
    server = scope.get("server") or ("localhost", 80)
    found: dict[str, Any] = {
        "REQUEST_METHOD": scope["method"],
        "SCRIPT_NAME": root_path.encode().decode("latin-1"),
        "PATH_INFO": path.encode().decode("latin-1"),
        "QUERY_STRING": scope["query_string"].decode("latin-1"),
        "SERVER_NAME": str(server[0]),
        "SERVER_PORT": str(server[1] or 0),
        "SERVER_PROTOCOL": "HTTP/" + scope["http_version"],
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": scope.get("scheme", "http"),
        "wsgi.input": io.BufferedReader(_Input(call)),
        "wsgi.input_terminated": True,  # its end is the body's, with or without a length
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": True,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    if scope.get("client"):
        found["REMOTE_ADDR"] = str(scope["client"][0])
        found["REMOTE_PORT"] = str(scope["client"][1])
    own = scope.get("extensions", {}).get(EXTENSION)
    if own is not None:
        found[EXTENSION] = own  # no field can be there: it would begin with HTTP_
    for name, value in scope["headers"]:
        if b"_" in name:
            continue  # X_Real-IP would be the same variable as X-Real-IP
        key = name.decode("latin-1").upper().replace("-", "_")
        if key not in ("CONTENT_TYPE", "CONTENT_LENGTH"):
            key = "HTTP_" + key
        text = value.decode("latin-1")
        if key in found:
            text = found[key] + ("; " if key == "HTTP_COOKIE" else ",") + text
        found[key] = text
    return found
