"""The layer as a client, against asyncio's own TLS; as a server it is in the edge's tests."""

from __future__ import annotations

import asyncio
import socket
import ssl
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, cast

import pytest

from asgi_tunnel.tls import TLSLayer, end_writing
from asgi_tunnel_edge.certificates.files import server_context
from asgi_tunnel_edge.certificates.internal import create_internal_certificate

MIB = 1024 * 1024


class Ends(asyncio.Protocol):
    """Keeps what comes, and notes both ends."""

    def __init__(self) -> None:
        self.received = bytearray()
        self.paused = 0
        loop = asyncio.get_running_loop()
        self.is_made, self.is_ended, self.is_lost = (loop.create_future() for _ in range(3))
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self.transport = cast(asyncio.Transport, transport)
        self.is_made.set_result(None)

    def data_received(self, data: bytes) -> None:
        """Keep it."""
        self.received += data

    def eof_received(self) -> bool:
        """Close."""
        self.is_ended.set_result(None)
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note the end."""
        self.is_lost.set_result(exc)

    def pause_writing(self) -> None:
        """Count it."""
        self.paused += 1

    def resume_writing(self) -> None:
        """Nothing to do."""


class Server:
    """A TLS server of asyncio, which sends back what comes."""

    def __init__(self, folder: Path) -> None:
        files = create_internal_certificate("example.org", folder)
        self.context = server_context(files.certificate, files.key)
        self.trust = ssl.create_default_context(cafile=str(files.certificate))
        self.port = 0
        self.reads = asyncio.Event()
        self.reads.set()
        self.clients: list[TLSLayer] = []
        self.tasks: list[asyncio.Task[Any]] = []  # one a connection

    async def echo(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Send back, up to the client's end."""
        self._note_task()
        try:
            while data := await reader.read(65536):
                await self.reads.wait()
                writer.write(data)
                await writer.drain()
            writer.close()
            await writer.wait_closed()
        except OSError:
            writer.transport.abort()

    async def leave(self, _: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Close at once."""
        self._note_task()
        writer.close()
        await writer.wait_closed()

    def _note_task(self) -> None:
        task = asyncio.current_task()
        assert task is not None
        self.tasks.append(task)

    async def dial(self, host: str = "example.org") -> tuple[TLSLayer, Ends, Any]:
        """A client, and what its handshake ends with."""
        loop = asyncio.get_running_loop()
        ends, result = Ends(), loop.create_future()
        layer = TLSLayer(self.trust, lambda: ends, b"", result.set_result, dialed=host)
        self.clients.append(layer)
        await loop.create_connection(layer.as_protocol, "127.0.0.1", self.port)
        return layer, ends, await result


@asynccontextmanager
async def server(folder: Path) -> AsyncIterator[Server]:
    """A server on a free port."""
    one = Server(folder)
    listening = await asyncio.start_server(one.echo, "127.0.0.1", 0, ssl=one.context)
    one.port = listening.sockets[0].getsockname()[1]
    try:
        yield one
    finally:
        listening.close()
        one.reads.set()
        for client in one.clients:
            client.abort()
        if one.tasks:
            await asyncio.wait(one.tasks)


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_bytes_go_both_ways(tmp_path: Path, version: ssl.TLSVersion) -> None:
    """Small ones, and more than any buffer; the server's end is the end of the connection."""
    async with server(tmp_path) as one, asyncio.timeout(20):
        one.trust.minimum_version = one.trust.maximum_version = version
        layer, ends, error = await one.dial()
        assert error is None
        assert layer.get_extra_info("ssl_object").version() is not None
        data = b"hello" + bytes(range(256)) * 20_000
        layer.write(data[:5])
        layer.writelines([data[5:100], data[100:]])
        while len(ends.received) < len(data):  # noqa: ASYNC110
            await asyncio.sleep(0.005)
        assert ends.received == data
        layer.close()
        assert await ends.is_lost is None


async def test_what_is_not_taken_is_seen(tmp_path: Path) -> None:
    """All that waits for the socket counts, and pauses the writer at the limit that was set."""
    async with server(tmp_path) as one, asyncio.timeout(20):
        layer, ends, _ = await one.dial()
        layer.set_write_buffer_limits(high=8192, low=2048)
        one.reads.clear()
        sent = 0
        while not ends.paused:
            layer.write(bytes(65536))
            sent += 65536
            assert sent < 64 * MIB
            await asyncio.sleep(0)
        assert layer.get_write_buffer_size() > 8192
        layer.abort()
        await ends.is_lost


@pytest.mark.parametrize("host", ["other.example.net", "192.0.2.1"])
async def test_another_name_is_refused(tmp_path: Path, host: str) -> None:
    """The error is OpenSSL's own, with its number; the protocol is never made."""
    async with server(tmp_path) as one, asyncio.timeout(20):
        _, ends, error = await one.dial(host)
        assert isinstance(error, ssl.SSLCertVerificationError)
        assert error.verify_code in (62, 64), error
        assert not ends.is_made.done()


async def test_a_server_that_leaves_in_the_handshake(tmp_path: Path) -> None:
    """It is a lost connection."""
    async with server(tmp_path) as one, asyncio.timeout(20):
        listening = await asyncio.start_server(one.leave, "127.0.0.1", 0)
        one.port = listening.sockets[0].getsockname()[1]
        _, _, error = await one.dial()
        assert isinstance(error, ConnectionError)
        listening.close()


async def test_the_end_of_what_is_written_after_a_reset() -> None:
    """The other side's reset, not seen yet, is no error here: who reads on is told."""
    made: list[Ends] = []

    def make() -> Ends:
        made.append(Ends())
        return made[-1]

    server = await asyncio.get_running_loop().create_server(make, "127.0.0.1", 0)
    async with server, asyncio.timeout(10):
        client = socket.create_connection(server.sockets[0].getsockname()[:2])
        while not made:  # noqa: ASYNC110 - the loop's turns are waited for
            await asyncio.sleep(0)
        await made[0].is_made
        made[0].transport.pause_reading()
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        client.close()
        end_writing(made[0].transport)
        assert not made[0].is_lost.done()
        made[0].transport.resume_reading()
        await made[0].is_lost
