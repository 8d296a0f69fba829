"""A server on loopback whose every byte a test decides."""

from __future__ import annotations

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from asgi_tunnel_edge.certificates.internal import InternalCertificate

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Call:
    """One connection, as a script sees it."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    server: Scripted

    async def head(self) -> bytes:
        """The head of the next request; raises IncompleteReadError at the end."""
        head = await self.reader.readuntil(b"\r\n\r\n")
        self.server.heads.append(head)
        return head

    async def say(self, data: bytes) -> None:
        """Send bytes."""
        self.writer.write(data)
        await self.writer.drain()


@dataclass
class Scripted:
    """A server.

    Attributes:
        port: Where it listens.
        heads: Of all requests, in order.
        connections: How many were accepted.
        closed: Set when a connection has ended.
    """

    port: int = 0
    heads: list[bytes] = field(default_factory=list)
    connections: int = 0
    closed: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def url(self) -> str:
        """For ``to``."""
        return f"http://127.0.0.1:{self.port}"


Script = Callable[[Call], Awaitable[None]]


@asynccontextmanager
async def scripted(
    script: Script, *, port: int = 0, tls: InternalCertificate | None = None
) -> AsyncIterator[Scripted]:
    """Run a server that does with each connection what ``script`` says, then closes it."""
    found = Scripted()
    context = None
    if tls is not None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tls.certificate, tls.key)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            # Cancelled at the end of the test; asyncio would log that as an error.
            with contextlib.suppress(
                asyncio.IncompleteReadError, ConnectionError, asyncio.CancelledError
            ):
                await script(Call(reader, writer, found))
        finally:
            tasks.discard(task)
            found.closed.set()
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, ssl=context)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)


def answering(response: bytes, *, times: int = 1 << 30) -> Script:
    """Answer each request with the same bytes, then close after ``times``."""

    async def script(call: Call) -> None:
        for _ in range(times):
            head = await call.head()
            for line in head.lower().split(b"\r\n"):
                if line.startswith(b"content-length:"):
                    await call.reader.readexactly(int(line.split(b":")[1]))
            await call.say(response)

    return script
