"""The kernel's queue is emptied in a turn: nobody waits behind others' connections in it."""

from __future__ import annotations

import asyncio
import errno
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from asgi_tunnel_edge.descriptors import DescriptorWatch
from asgi_tunnel_edge.listeners import accepting
from asgi_tunnel_edge.listeners.accepting import ACCEPTS, ListeningSockets
from asgi_tunnel_edge.listeners.plain import IN_A_ROW, PlainAcceptor

CROWD = 300


@pytest.fixture(params=[False, True], ids=["asyncio", "uvloop"])
def anyio_backend(request: pytest.FixtureRequest) -> tuple[str, dict[str, bool]]:
    """Both loops: uvloop's own servers accept one connection in a turn."""
    return "asyncio", {"use_uvloop": request.param}


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    """A socket that listens."""
    with socket.create_server(("127.0.0.1", 0), backlog=CROWD) as sock:
        sock.setblocking(False)
        yield sock


class Crowd:
    """Notes when connections come and go."""

    def __init__(self) -> None:
        self.made: list[Any] = []  # their transports
        self.lost = 0

    def protocol(self) -> asyncio.Protocol:
        """Return one of a connection."""
        crowd = self

        class Noted(asyncio.Protocol):
            def connection_made(self, transport: asyncio.BaseTransport) -> None:
                crowd.made.append(transport)

            def connection_lost(self, exc: Exception | None) -> None:
                crowd.lost += 1

        return Noted()

    async def turns(self, count: int) -> int:
        """Return in how many turns of the loop so many connections came."""
        for turn in range(1, 1000):
            await asyncio.sleep(0)
            if len(self.made) >= count:
                return turn
        raise AssertionError(f"{len(self.made)} of {count} connections")

    async def end(self) -> None:
        """Close all."""
        for transport in self.made:
            transport.abort()
        async with asyncio.timeout(10):
            while self.lost < len(self.made):  # noqa: ASYNC110 - the loop's own doing
                await asyncio.sleep(0)


def _connect(listener: socket.socket, count: int) -> list[socket.socket]:
    return [socket.create_connection(listener.getsockname()) for _ in range(count)]


def _acceptor(listener: Any, crowd: Crowd) -> PlainAcceptor:
    watch = DescriptorWatch(listener.fileno())
    return PlainAcceptor(crowd.protocol, [listener], backlog=CROWD, watch=watch)


async def test_all_that_wait_are_accepted_in_a_few_turns(listener: socket.socket) -> None:
    """T64: three hundred, after the first few in as many turns as it takes to make a transport."""
    crowd = Crowd()
    acceptor = _acceptor(listener, crowd)
    clients = _connect(listener, CROWD)
    await acceptor.start()
    turns = await crowd.turns(CROWD)
    acceptor.close()
    acceptor.close()
    await crowd.end()
    for client in clients:
        client.close()
    assert turns <= IN_A_ROW + 10
    assert ACCEPTS >= CROWD


async def test_without_descriptors_it_pauses_and_goes_on(
    listener: socket.socket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """T60: no busy loop; who waits is served once there are descriptors again."""
    monkeypatch.setattr(accepting, "PAUSE", 0.01)

    class Full:
        """A listening socket without a descriptor, for its first three tries."""

        tries = 0

        def fileno(self) -> int:
            return listener.fileno()

        def accept(self) -> tuple[socket.socket, object]:
            self.tries += 1
            if self.tries <= 3:
                raise OSError(errno.EMFILE, "Too many open files")
            return listener.accept()

    full: Any = Full()
    taken: list[socket.socket] = []
    listening = ListeningSockets(
        [full], lambda sock, address: taken.append(sock), DescriptorWatch(listener.fileno())
    )
    (client,) = _connect(listener, 1)
    listening.start()
    with client:
        async with asyncio.timeout(10):
            while not taken:  # noqa: ASYNC110 - what is tested is that it takes its time
                await asyncio.sleep(0.005)
    listening.close()
    taken[0].close()
    assert 4 <= full.tries <= 6
