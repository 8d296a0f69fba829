"""Visitors whose bytes a real edge passes on, over real sockets, to an app's side without TLS."""

from __future__ import annotations

import asyncio
import math
import socket
import ssl
import struct
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from edge.tests.home.world import HOME, World, world

from asgi_tunnel_edge.guards.guard import Rules
from asgi_tunnel_edge.home.stream import StreamTransport
from asgi_tunnel_edge.listeners import pass_through
from asgi_tunnel_edge.listeners.client_hello import Alert
from asgi_tunnel_edge.settings.config import HostnameConfig, Limits

MIB = 1024 * 1024


class Raw(asyncio.Protocol):
    """The app's side: keeps what comes, and lets a test write."""

    def __init__(self) -> None:
        self.received = b""
        self.is_ended = asyncio.Event()
        self.is_lost = asyncio.Event()
        self.can_write = asyncio.Event()
        self.can_write.set()

    def connection_made(self, transport: Any) -> None:
        """Keep the transport."""
        self.transport: Any = transport

    def data_received(self, data: bytes) -> None:
        """Keep the bytes."""
        self.received += data

    def eof_received(self) -> bool:
        """Keep the other direction."""
        self.is_ended.set()
        return True

    def pause_writing(self) -> None:
        """Note it."""
        self.can_write.clear()

    def resume_writing(self) -> None:
        """Note it."""
        self.can_write.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note it."""
        self.is_lost.set()


def client_hello() -> bytes:
    """Return what a client says first."""
    outgoing = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), outgoing, server_hostname=HOME)
    with pytest.raises(ssl.SSLWantReadError):
        client.do_handshake()
    return outgoing.read()


class Stage:
    """A world, and the app's side of its connections in order."""

    def __init__(self, one: World) -> None:
        self.world = one
        self.edge = one.edge
        self.made: asyncio.Queue[Raw] = asyncio.Queue()
        one.connector.origin.serve_bytes = self._serve

    def _serve(self, link: Any, event: Any) -> StreamTransport:
        transport, raw = StreamTransport(link, event), Raw()
        transport.start(raw)
        self.made.put_nowait(raw)
        return transport

    async def dial(self) -> tuple[socket.socket, Raw]:
        """Open a connection with a small buffer, and say for whom it is."""
        hello = client_hello()
        visitor = socket.socket()
        visitor.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65536)
        visitor.setblocking(False)
        loop = asyncio.get_running_loop()
        await loop.sock_connect(visitor, ("127.0.0.1", self.edge.address.port))
        await loop.sock_sendall(visitor, hello)
        raw = await self.made.get()
        while raw.received != hello:  # noqa: ASYNC110 - the loop's turns are what is waited for
            await asyncio.sleep(0.01)
        raw.received = b""
        return visitor, raw

    def limit(self, **limits: float) -> None:
        """Set limits of the edge."""
        self.edge.context.limits = Limits(**limits)  # type: ignore[arg-type]


@asynccontextmanager
async def stage(folder: Path) -> AsyncIterator[Stage]:
    """A stage without TLS at the app's side."""
    async with world(folder) as one:
        yield Stage(one)


async def read_all(visitor: socket.socket) -> bytes:
    """Return what comes until the end."""
    loop = asyncio.get_running_loop()
    received = b""
    while data := await loop.sock_recv(visitor, MIB):
        received += data
    return received


async def test_half_closes_pass(tmp_path: Path) -> None:
    """In both orders, with bytes behind them the other way."""
    async with stage(tmp_path) as one:
        loop = asyncio.get_running_loop()
        visitor, raw = await one.dial()
        visitor.shutdown(socket.SHUT_WR)
        await raw.is_ended.wait()
        raw.transport.write(b"later")
        raw.transport.write_eof()
        assert await read_all(visitor) == b"later"
        visitor.close()

        visitor, raw = await one.dial()
        raw.transport.write(b"first")
        raw.transport.write_eof()
        assert await read_all(visitor) == b"first"
        await loop.sock_sendall(visitor, b"still here")
        visitor.shutdown(socket.SHUT_WR)
        await raw.is_ended.wait()
        assert raw.received == b"still here"
        visitor.close()
        route = one.edge.directory.find(HOME)
        assert route is not None
        async with asyncio.timeout(10):
            while route.share.visitors:  # noqa: ASYNC110 - the loop's turns are what is waited for
                await asyncio.sleep(0.01)


@pytest.mark.plain
async def test_a_slow_reader_is_not_cut_behind_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The time to go away counts from the last byte that it takes, however long that is."""
    monkeypatch.setattr(pass_through, "END_GRACE", 1.2)  # the kernel takes in steps of 0.5 s
    async with stage(tmp_path) as one:
        loop = asyncio.get_running_loop()
        visitor, raw = await one.dial()
        size = 0
        while size < 12 * MIB and raw.can_write.is_set():
            raw.transport.write(bytes(MIB // 4))
            size += MIB // 4
            await asyncio.sleep(0.02)
        raw.transport.write_eof()
        received = 0
        (line,) = (c for c in one.edge.table.connections if not c.is_idle)
        assert isinstance(line, pass_through.PassThroughConnection)
        behind = 0.0  # seconds of reading slowly that the end was known
        while behind < 1.8:
            began = time.monotonic()
            received += len(await loop.sock_recv(visitor, 32768))
            await asyncio.sleep(0.1)
            behind += (time.monotonic() - began) * (line._end_due < math.inf)
        received += len(await read_all(visitor))
        assert received == size
        visitor.close()


async def test_who_takes_nothing_is_cut(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    """After ``body_grace``, with a reset; the app hears of it and the log says why."""
    async with stage(tmp_path) as one:
        one.limit(body_grace=0.4)
        visitor, raw = await one.dial()
        while not raw.is_lost.is_set():
            if raw.can_write.is_set():
                raw.transport.write(bytes(MIB))
            await asyncio.sleep(0.01)
        with pytest.raises(ConnectionResetError):
            await read_all(visitor)
        visitor.close()
        one.edge._access_log.flush()
        lines = ""
        async with asyncio.timeout(10):
            while "visitor too slow" not in lines:  # a thread writes it
                lines += capfd.readouterr().out
                await asyncio.sleep(0.01)


async def test_memory_for_a_slow_reader_is_bounded(tmp_path: Path) -> None:
    """By the window of its stream; the app's side is told to wait."""
    async with stage(tmp_path) as one:
        visitor, raw = await one.dial()
        written = 0
        for _ in range(100):
            while raw.can_write.is_set() and written < 64 * MIB:
                raw.transport.write(bytes(65536))
                written += 65536
            await asyncio.sleep(0.01)
        (connection,) = [c for c in one.edge.table.connections if not c.is_idle]
        assert written < 64 * MIB
        assert connection.buffered < 16 * MIB
        visitor.close()
        await raw.is_lost.wait()


def reset(visitor: socket.socket) -> None:
    """Close with RST."""
    visitor.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    visitor.close()


async def refused(one: Stage) -> bytes:
    """Say for whom a new connection is; return all that comes back."""
    visitor = socket.socket()
    visitor.setblocking(False)
    loop = asyncio.get_running_loop()
    await loop.sock_connect(visitor, ("127.0.0.1", one.edge.address.port))
    await loop.sock_sendall(visitor, client_hello())
    received = await read_all(visitor)
    visitor.close()
    return received


async def test_a_full_table_refuses_with_an_alert(tmp_path: Path) -> None:
    """No stream is opened for it."""
    async with stage(tmp_path) as one:
        first, _ = await one.dial()
        one.edge.table._pool._size = 1  # as many as there are
        assert await refused(one) == Alert.encode(Alert.INTERNAL_ERROR)
        assert one.made.empty()
        first.close()


async def test_addresses_that_may_not_visit_are_refused(tmp_path: Path) -> None:
    """``allow`` and ``deny`` need no request to be read."""
    async with stage(tmp_path) as one:
        rules = Rules(one.edge.config, HostnameConfig(deny=("127.0.0.0/8",)))
        one.edge.guards._rules[HOME] = rules
        assert await refused(one) == Alert.encode(Alert.INTERNAL_ERROR)
        assert one.made.empty()
        assert one.edge.guards.addresses.denied == 1


async def test_one_that_is_reset_at_once_is_not_passed_on(tmp_path: Path) -> None:
    """Who it was cannot be asked any more, so that no list of addresses would hold for it."""
    async with stage(tmp_path) as one:
        visitor = socket.create_connection(("127.0.0.1", one.edge.address.port))
        visitor.sendall(client_hello())
        reset(visitor)  # before the edge has its turn
        visitor, _ = await one.dial()
        assert one.made.empty()
        visitor.close()


async def test_a_connection_in_use_survives_until_the_edge_has_stopped(tmp_path: Path) -> None:
    """The app is asked to end what is idle; what it does not end may go on within the grace."""
    async with stage(tmp_path) as one:
        visitor, raw = await one.dial()
        stopping = asyncio.ensure_future(one.edge.stop())
        await asyncio.sleep(1.0)  # silent, as an app that thinks
        raw.transport.write(b"done")
        raw.transport.write_eof()
        assert await read_all(visitor) == b"done"
        visitor.close()
        await asyncio.wait_for(stopping, 5.0)


async def test_a_banned_visitor_is_cut(tmp_path: Path) -> None:
    """A ban ends what is open, whoever speaks inside."""
    async with stage(tmp_path) as one:
        visitor, raw = await one.dial()
        for connection in list(one.edge.table.connections):
            connection.end()
        await raw.is_lost.wait()
        with pytest.raises(ConnectionResetError):
            await read_all(visitor)
        visitor.close()
