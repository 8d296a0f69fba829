"""A listener where a test expects its server: what arrives there goes to an edge, byte by byte.

A test that starts a server calls it at an address, and some send no Host at all; an edge serves
names. So the first head of a connection gets ``Host: localhost`` where it has an address or none.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable
from typing import Final

from .record import note_exchange

MAX_HEAD: Final = 65536
"""Bytes in which the first head has to end; an edge takes no more by default."""

_CHUNK: Final = 65536  # bytes of one read
_TLS: Final = b"\x16"  # the first byte of a ClientHello, and of no request

_HOST: Final = re.compile(rb"\r\nhost:[^\r\n]*", re.IGNORECASE)
_ADDRESS: Final = re.compile(rb"(\r\nhost: *)127\.0\.0\.1\b", re.IGNORECASE)


def with_host(head: bytes) -> bytes:
    """Return a head of a request with a name as its Host; TLS as it is."""
    if head.startswith(_TLS):
        return head
    if _HOST.search(head) is None:
        return head.replace(b"\r\n", b"\r\nHost: localhost\r\n", 1)
    return _ADDRESS.sub(rb"\1localhost", head, count=1)


class Front:
    """A listener on loopback.

    Args:
        edge_port: Where its connections go.
        on_connect: Called with the port that the edge sees as the visitor's, before any byte goes.
    """

    def __init__(self, edge_port: int, on_connect: Callable[[int], None] | None = None) -> None:
        self._edge_port = edge_port
        self._on_connect = on_connect
        self._tasks: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server
        self.port = 0

    async def start(self, port: int = 0) -> None:
        """Listen, on any free port by default."""
        self._server = await asyncio.start_server(self._accepted, "127.0.0.1", port)
        self.port = self._server.sockets[0].getsockname()[1]

    async def stop(self) -> None:
        """Stop listening, cut what is open."""
        self._server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.create_task(self._relay(reader, writer))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _relay(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        edge_reader, edge_writer = await asyncio.open_connection("127.0.0.1", self._edge_port)
        if self._on_connect is not None:
            self._on_connect(edge_writer.get_extra_info("sockname")[1])
        note_exchange()
        downward = asyncio.create_task(_copy(edge_reader, writer))
        try:
            with contextlib.suppress(ConnectionError):
                edge_writer.write(with_host(await _read_head(reader)))
                await _copy(reader, edge_writer)
            await downward
        finally:
            downward.cancel()
            edge_writer.close()
            writer.close()


async def _read_head(reader: asyncio.StreamReader) -> bytes:
    """Read to the end of the first head, or of what there is; of TLS, what comes first."""
    data = b""
    while b"\r\n\r\n" not in data and len(data) < MAX_HEAD:
        chunk = await reader.read(_CHUNK)
        if not chunk:
            break
        data += chunk
        if data.startswith(_TLS):
            break
    return data


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Copy until the end, and pass the end on; a broken connection is an end too."""
    with contextlib.suppress(ConnectionError):
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()
    with contextlib.suppress(OSError):
        if writer.can_write_eof():
            writer.write_eof()
