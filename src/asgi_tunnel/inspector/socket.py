"""The inspector's door on this machine: a Unix socket of the user's own, mode 0600.

For ``asgi-tunnel inspect``, and for ``curl --unix-socket``. Each connection has one request; who
does not send, or does not read, is dropped, and nobody else waits for it.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import MutableMapping
from pathlib import Path
from typing import Any, Final

from ..own_socket import has_own_sockets, listen
from .app import MAX_REQUEST, InspectorApp
from .caller import CALLER, LOCAL
from .http1 import MAX_HEAD, RequestLine, read_head, write_head
from .reply import RefusedError, Reply

__all__ = ["SUFFIX", "InspectorSocket"]

_log = logging.getLogger("asgi_tunnel.inspector")

SUFFIX: Final = ".inspect"
"""Of the socket's name; the rest is the process's."""

MAX_CONNECTIONS: Final = 16
"""Connections at the same time; more are closed at once: each may have a reply waiting."""

READ_TIMEOUT: Final = 10.0
"""Seconds for a whole request: who asks is on this machine."""

WRITE_TIMEOUT: Final = 10.0
"""Seconds in which a reader makes room for more; then it is dropped."""

WRITE_BUFFER: Final = 64 * 1024
"""Bytes that wait for a reader before the next piece waits."""

_BACKLOG: Final = 8


class InspectorSocket:
    """See the module.

    Args:
        folder: Of the sockets of all processes of this user; made where it is not there.
        name: Of this process; unique in the folder.
        app: Replies.
    """

    def __init__(self, folder: Path, name: str, app: InspectorApp) -> None:
        self.path = folder / f"{name}{SUFFIX}"
        self._app = app
        self._socket: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._is_closed = False

    async def open(self) -> None:
        """Open it; where that cannot be done, the log says so and all else goes on.

        Cancelling it loses nothing that :meth:`close` does not close.
        """
        if not has_own_sockets():
            return
        try:
            await asyncio.to_thread(self._listen)
        except OSError as error:
            _log.warning("what is recorded cannot be read on this machine: %s", error)
            return
        if not self._is_closed:
            self._server = await asyncio.start_unix_server(
                self._serve, sock=self._socket, limit=MAX_HEAD
            )

    def close(self) -> None:
        """Close it, end what is in progress and take it out of the folder; may be called twice."""
        self._is_closed = True
        sock, self._socket = self._socket, None
        if sock is None:
            return
        if self._server is not None:
            self._server.close()
        sock.close()
        for task in self._tasks:
            task.cancel()
        with contextlib.suppress(OSError):
            self.path.unlink()

    def _listen(self) -> None:
        """Open it, in a thread: the disk may be slow."""
        self._socket = listen(self.path, _BACKLOG)
        if self._is_closed:  # meanwhile
            self.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is None or len(self._tasks) >= MAX_CONNECTIONS or self._is_closed:
            writer.transport.abort()
            return
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        writer.transport.set_write_buffer_limits(WRITE_BUFFER)
        connection = _Connection(reader, writer)
        try:
            await connection.serve(self._app)
            async with asyncio.timeout(WRITE_TIMEOUT):
                writer.close()
                await writer.wait_closed()
        except* (OSError, TimeoutError, asyncio.IncompleteReadError):
            pass  # it has gone, or does not read; in a group where it looked on
        except* Exception as group:  # noqa: BLE001 - the task's outer edge
            _log.exception("the inspector raised %s", type(group.exceptions[0]).__name__)
        finally:
            writer.transport.abort()


class _Connection:
    """One request, and the reply to it."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._body: bytes | None = b""  # None: the app has it

    async def serve(self, app: InspectorApp) -> None:
        """Read the request and let the app reply.

        Raises:
            OSError: The other side has gone.
            IncompleteReadError: The same.
            TimeoutError: It does not send, or does not read.
        """
        try:
            async with asyncio.timeout(READ_TIMEOUT):
                line = await self._read()
        except RefusedError as error:
            await self._refuse(error.reply)
            return
        scope = {
            "type": "http",
            "method": line.method,
            "path": line.path,
            "query_string": line.query,
            CALLER: LOCAL,
        }
        await app(scope, self.receive, self.send)

    async def _read(self) -> RequestLine:
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.LimitOverrunError:
            raise RefusedError(431, f"the head has more than {MAX_HEAD} bytes") from None
        line = read_head(head[:-4], MAX_REQUEST)
        self._body = await self._reader.readexactly(line.length)
        return line

    async def receive(self) -> MutableMapping[str, Any]:
        """Return the request, then wait until the other side has gone."""
        body, self._body = self._body, None
        if body is None:
            await self._reader.read(1)  # whatever comes: there is one request
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": body, "more_body": False}

    async def send(self, message: MutableMapping[str, Any]) -> None:
        """Write a part of the reply; returns when there is room for the next."""
        if message["type"] == "http.response.start":
            self._writer.write(write_head(message["status"], message["headers"]))
        else:
            self._writer.write(message.get("body", b""))
        async with asyncio.timeout(WRITE_TIMEOUT):
            await self._writer.drain()

    async def _refuse(self, reply: Reply) -> None:
        fields = [
            (b"content-type", reply.kind.encode()),
            (b"content-length", b"%d" % len(reply.body)),
        ]
        await self.send({"type": "http.response.start", "status": reply.status, "headers": fields})
        await self.send({"type": "http.response.body", "body": reply.body})
