"""One connection, between a transport of the test and a task that waits for the response."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from asgi_tunnel.services.proxy import connection as module
from asgi_tunnel.services.proxy.connection import READ_HIGH, ServiceConnection
from asgi_tunnel.services.proxy.deadlines import Deadlines
from asgi_tunnel.services.proxy.errors import ResponseError
from asgi_tunnel.services.proxy.response import ResponseReader

HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"


class FakeTransport:
    """Nothing is sent; whether reading is paused."""

    def __init__(self) -> None:
        self.is_paused = False
        self.is_aborted = False

    def set_write_buffer_limits(self, high: int) -> None:
        """Without effect."""

    def is_closing(self) -> bool:
        """Whether it was aborted."""
        return self.is_aborted

    def abort(self) -> None:
        """Close."""
        self.is_aborted = True

    def pause_reading(self) -> None:
        """Read no more."""
        self.is_paused = True

    def resume_reading(self) -> None:
        """Read again."""
        self.is_paused = False


class World:
    """A connection in the middle of an exchange, and a task that waits for the response."""

    def __init__(self) -> None:
        self.deadlines = Deadlines()
        self.connection = ServiceConnection(self.deadlines)
        self.transport = FakeTransport()
        transport: Any = self.transport
        self.connection.connection_made(transport)
        self.reader = ResponseReader("GET")
        self.connection.begin(self.reader)
        self.waiting: asyncio.Future[None]

    @classmethod
    async def begin(cls) -> World:
        """Return one whose task waits."""
        world = cls()
        await world.wait()
        return world

    async def wait(self) -> None:
        """Let the task wait for the next piece."""
        self.waiting = asyncio.ensure_future(self.connection.wait())
        await asyncio.sleep(0)

    async def is_woken(self) -> bool:
        """Whether the task has something; it waits for the next then."""
        for _ in range(3):
            await asyncio.sleep(0)
        if not self.waiting.done():
            return False
        self.waiting.result()
        await self.wait()
        return True

    async def end(self) -> None:
        """Let the task end."""
        self.waiting.cancel()
        await asyncio.wait([self.waiting])


@pytest.mark.plain
async def test_a_head_and_its_short_body_are_one_turn(monkeypatch: pytest.MonkeyPatch) -> None:
    """Written apart, as many servers do, they wake the exchange once, when both are there."""
    monkeypatch.setattr(module, "HEAD_HOLD", 60.0)
    world = await World.begin()
    assert not await world.is_woken()
    for piece in (HEAD % 5, b"he", b"l"):
        world.connection.data_received(piece)
        assert not await world.is_woken()
    world.connection.data_received(b"lo")
    assert await world.is_woken()
    assert world.reader.is_complete
    assert world.connection.take() == b"hello"
    assert not world.deadlines._due
    await world.end()


async def test_a_head_waits_for_a_moment_only() -> None:
    """Then it is handed on, and the body as it comes."""
    world = await World.begin()
    world.connection.data_received(HEAD % 5)
    async with asyncio.timeout(10):
        await world.waiting
    assert world.reader.head is not None
    await world.wait()
    for piece in (b"he", b"l"):
        world.connection.data_received(piece)
        assert await world.is_woken()
    await world.end()


@pytest.mark.plain
@pytest.mark.parametrize(
    "start",
    [
        HEAD % 1_000_000,
        b"HTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
        b"HTTP/1.1 103 x\r\n\r\n",
    ],
)
async def test_other_heads_do_not_wait(start: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a long body, an endless one, an event stream; nor does a 1xx response."""
    monkeypatch.setattr(module, "HEAD_HOLD", 60.0)
    world = await World.begin()
    world.connection.data_received(start)
    assert await world.is_woken()
    await world.end()


@pytest.mark.plain
async def test_the_rest_of_a_long_body_does_not_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """Only a head waits."""
    monkeypatch.setattr(module, "HEAD_HOLD", 60.0)
    world = await World.begin()
    world.connection.data_received(HEAD % 1_000_000)
    assert await world.is_woken()
    world.connection.data_received(bytes(999_000))
    assert await world.is_woken()
    world.connection.data_received(bytes(500))
    assert await world.is_woken()
    await world.end()


@pytest.mark.plain
async def test_a_close_ends_the_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    """A head that waits for a body which never comes was not handed on: it becomes a 502."""
    monkeypatch.setattr(module, "HEAD_HOLD", 60.0)
    world = await World.begin()
    world.connection.data_received(HEAD % 5 + b"he")
    world.connection.eof_received()
    await world.waiting
    with pytest.raises(ResponseError):
        await world.connection.wait()
    assert world.connection.is_broken
    assert not world.deadlines._due
    await world.end()


async def test_reading_stops_while_nobody_takes_the_body() -> None:
    """At the bound, until it is taken."""
    world = await World.begin()
    seen: list[bool] = []
    for piece in (HEAD % 10_000_000, bytes(READ_HIGH - 1), b"x"):
        world.connection.data_received(piece)
        seen.append(world.transport.is_paused)
    assert seen == [False, False, True]
    assert len(world.connection.take()) == READ_HIGH
    assert [world.transport.is_paused] == [False]
    await world.end()
