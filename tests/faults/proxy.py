"""A TCP proxy between connector and edge that breaks the line in every way a line breaks.

It runs an event loop in a thread of its own; each fault is one call from the test's thread.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from enum import Enum, auto
from typing import TYPE_CHECKING, Any, TypeVar, cast

from asgi_tunnel.token import Token as TokenText

if TYPE_CHECKING:
    from tests.e2e.harness import Token

T = TypeVar("T")

_RESET = struct.pack("ii", 1, 0)  # SO_LINGER 0: close() sends RST

HIGH = 256 * 1024
"""Bytes on their way through the proxy at which it reads no more: a line is no warehouse."""


class Way(Enum):
    """A direction through the proxy."""

    UP = auto()  # from the app to the edge
    DOWN = auto()  # from the edge to the app


class End(asyncio.Protocol):
    """One of the two sockets of a connection."""

    def __init__(self, proxy: FaultProxy, way: Way) -> None:
        self.proxy = proxy
        self.way = way  # of what arrives here
        self.peer: End | None = None
        self.transport: asyncio.Transport | None = None
        self._held: list[bytes] = []  # arrived, not yet passed on
        self._held_size = 0
        self._is_moving = False
        self._free_at = 0.0  # loop time at which the line has room for the next piece
        self._is_full = False  # the peer's socket takes no more
        self._is_ended = False
        self._is_deaf = False  # this connection lost bytes: it can never be whole again

    # -- asyncio -----------------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Take part."""
        self.transport = cast(asyncio.Transport, transport)
        self.transport.set_write_buffer_limits(high=HIGH)
        self.proxy.ends.add(self)
        if self.peer is None:
            self.proxy.accept(self)

    def data_received(self, data: bytes) -> None:
        """Keep, then pass on as the line allows."""
        if self.way in self.proxy.dropped:
            self._is_deaf = True
        if self._is_deaf:
            return
        self._held.append(data)
        self._held_size += len(data)
        self._look()
        if not self._is_moving:
            self._is_moving = True
            self._later(max(self.proxy.delay, self._free_at - self.proxy.loop.time()), self._move)

    def eof_received(self) -> bool:
        """Both halves end together."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell the other side, unless nothing passes."""
        self.transport = None
        self.proxy.ends.discard(self)
        self._is_ended = True
        if not self._is_moving:
            self._end_peer()

    def pause_writing(self) -> None:
        """The socket is full."""
        if self.peer is not None:
            self.peer._is_full = True
            self.peer._look()

    def resume_writing(self) -> None:
        """The socket has room."""
        if self.peer is not None:
            self.peer._is_full = False
            self.peer.pass_on()

    # -- passing on --------------------------------------------------------------------------

    def pass_on(self) -> None:
        """Go on: the line, or the other socket, has room again."""
        if self._held and not self._is_moving:
            self._is_moving = True
            self._later(0.0, self._move)
        elif self._is_ended and not self._held:
            self._end_peer()
        self._look()

    def reset(self) -> None:
        """Close with RST."""
        transport = self.transport
        if transport is not None:
            sock = transport.get_extra_info("socket")
            with contextlib.suppress(OSError):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
            transport.abort()

    def _later(self, delay: float, call: Callable[[], None]) -> None:
        self.proxy.loop.call_later(delay, call)

    def _look(self) -> None:
        """Read only what can be passed on: a black hole's bytes stay in the sender's kernel."""
        if self.transport is None or self.transport.is_closing():
            return
        if self._held_size >= HIGH or self._is_full or self.proxy.is_black:
            self.transport.pause_reading()
        else:
            self.transport.resume_reading()

    def _move(self) -> None:
        self._is_moving = False
        peer = self.peer
        if self.proxy.is_black or self._is_full or peer is None:
            return
        if peer.transport is None:
            if peer._is_ended:
                self._held.clear()
                self.reset()
            return
        if self._held:
            data = self._held.pop(0)
            self._held_size -= len(data)
            peer.transport.write(data)
            rate, now = self.proxy.rate, self.proxy.loop.time()
            self._free_at = max(self._free_at, now) + (len(data) / rate if rate else 0.0)
            if self._held:
                self._is_moving = True
                self._later(self._free_at - now, self._move)
        if self._is_ended and not self._held:
            self._end_peer()
        self._look()

    def _end_peer(self) -> None:
        if self.proxy.is_black or self.way in self.proxy.dropped:
            return  # nobody hears of it
        if self.peer is not None and self.peer.transport is not None:
            self.peer.transport.close()


class FaultProxy:
    """One listener on loopback whose connections go to one port.

    Attributes:
        port: Where it listens.
        connections: Connections that it has accepted so far.
    """

    def __init__(self, target: int, *, host: str = "127.0.0.1") -> None:
        self.target = target
        self.host = host
        self.port = 0
        self.connections = 0
        self.ends: set[End] = set()
        self.dropped: set[Way] = set()
        self.is_black = False
        self.delay = 0.0  # seconds, each way
        self.rate = 0.0  # bytes a second for each connection and way; 0 for no limit
        self.loop = asyncio.new_event_loop()
        self._server: asyncio.Server | None = None
        self._waiting: list[End] = []
        self._dials: set[asyncio.Task[None]] = set()
        self._thread = threading.Thread(target=self.loop.run_forever, name="faults", daemon=True)

    # -- from the test's thread --------------------------------------------------------------

    def start(self) -> None:
        """Listen."""
        self._thread.start()
        self._do(self._listen)

    def stop(self) -> None:
        """End everything."""

        async def end() -> None:
            await self._refuse()
            for one in list(self.ends):
                one.reset()
            for task in list(self._dials):
                task.cancel()
            await asyncio.sleep(0)

        self._do(end)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join()
        self.loop.close()

    def cut(self, connection: int | None = None) -> None:
        """Send RST on all connections, both ways; or on one of those that are open."""

        async def cut() -> None:
            ends = [one for one in self.ends if one.way is Way.UP]
            if connection is not None and ends:
                ends = [ends[connection % len(ends)]]
            for one in ends:
                peer = one.peer
                one.reset()
                if peer is not None:
                    peer.reset()

        self._do(cut)

    def black_hole(self) -> None:
        """Let nothing through, either way, and tell nobody; new connections hang."""

        async def start() -> None:
            self.is_black = True
            for one in self.ends:
                one._look()

        self._do(start)

    def drop(self, way: Way) -> None:
        """Lose all of one direction silently, the end of a connection as well."""

        async def start() -> None:
            self.dropped.add(way)

        self._do(start)

    def restore(self, *, tell: bool = True) -> None:
        """Let everything through again; connections that have lost bytes stay dead.

        Args:
            tell: End what the other side has ended meanwhile; else it stays half-open.
        """

        async def restore() -> None:
            self.is_black = False
            self.dropped.clear()
            for one in list(self.ends):
                if not tell and one.peer is not None and one.peer._is_ended:
                    continue
                if one._is_deaf:
                    one.reset()
                    continue
                one.pass_on()
                if one.peer is not None and one.peer._is_ended:
                    one.reset()  # what a kernel answers for a connection that it has forgotten
            waiting, self._waiting = self._waiting, []
            for one in waiting:
                self._dial(one)

        self._do(restore)

    def has_accepted(self, count: int) -> bool:
        """Whether it has accepted so many connections."""
        return self.connections >= count

    def refuse(self) -> None:
        """Listen no more: connects are refused."""
        self._do(self._refuse)

    def accept_again(self) -> None:
        """Listen again, on the same port."""
        self._do(self._listen)

    # -- in the loop -------------------------------------------------------------------------

    def accept(self, end: End) -> None:
        """A connector has connected."""
        self.connections += 1
        assert end.transport is not None
        if self.is_black:
            end.transport.pause_reading()
            self._waiting.append(end)
        else:
            self._dial(end)

    def _dial(self, end: End) -> None:
        task = self.loop.create_task(self._connect(end))
        self._dials.add(task)
        task.add_done_callback(self._dials.discard)

    async def _connect(self, end: End) -> None:
        other = End(self, Way.DOWN)
        other.peer = end
        try:
            await self.loop.create_connection(lambda: other, self.host, self.target)
        except OSError:
            end.reset()
            return
        end.peer = other
        if end.transport is None:
            other.reset()
        end.pass_on()

    async def _listen(self) -> None:
        self._server = await self.loop.create_server(
            lambda: End(self, Way.UP), "127.0.0.1", self.port, reuse_address=True
        )
        self.port = self._server.sockets[0].getsockname()[1]

    async def _refuse(self) -> None:
        if self._server is not None:
            self._server.close()
            self._server = None

    def _do(self, work: Callable[[], Any]) -> None:
        asyncio.run_coroutine_threadsafe(work(), self.loop).result(10)


@contextmanager
def fault_proxy(target: int) -> Iterator[FaultProxy]:
    """A proxy in front of a port, while the block lasts."""
    proxy = FaultProxy(target)
    proxy.start()
    try:
        yield proxy
    finally:
        proxy.stop()


def through(proxy: FaultProxy, token: Token) -> str:
    """Return the token's text with the proxy in the edge's place."""
    return at_address(token, f"127.0.0.1:{proxy.port}")


def at_address(token: Token, address: str) -> str:
    """Return the token's text with another address of the edge."""
    parsed = TokenText.parse(token.token)
    return TokenText(edge=f"ws://{address}", id=parsed.id, secret=parsed.secret, pin=None).format()
