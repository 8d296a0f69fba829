"""A line in memory that breaks on demand, and the transports at its two ends."""

from __future__ import annotations

import asyncio
import math
import random
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from ..protocol.frames import Buffer
from ..transport import CLOSE_TIMEOUT, MAX_ROOM, Receiver

CAPACITY: Final = 256 * 1024
"""Bytes under way in one direction at which the line takes no more, as a full socket would."""

_STEP: Final = 0.01
"""Seconds between two deliveries of a slow line; it holds ten of them before it is full."""


class MemoryLink:
    """The line between an app and its edge.  Connections over it are lost and made anew.

    Args:
        seed: Where a cut falls in what is under way is random, and the same for the same seed.

    Attributes:
        on_up: Called when a connection can be made again.
        connections: How many were made.
    """

    def __init__(self, *, seed: int = 0) -> None:
        self.on_up: Callable[[], None] | None = None
        self.connections = 0
        self._random = random.Random(seed)  # noqa: S311 - faults, not secrets
        self._is_up = True
        self._is_stalled = False
        self._latency = 0.0  # seconds
        self._rate = math.inf  # bytes per second
        self._ends: list[MemoryTransport] = []

    # -- faults ------------------------------------------------------------------------------

    def cut(self) -> None:
        """Break the connection until :meth:`restore`; both sides notice at once.

        Of the bytes under way a part arrives, which ends anywhere: most often inside a frame.
        """
        self._is_up = False
        ends = list(self._ends)
        if not self._is_stalled:
            for end in ends:
                end.spill(self._random.random())
        for end in ends:
            end.lose()

    def half_open(self) -> None:
        """Let nothing pass any more, and tell nobody: heartbeats have to notice."""
        self._is_up = False
        self._is_stalled = True

    def restore(self) -> None:
        """End a cut or a stall.  What was under way in a stall that nobody noticed arrives."""
        self._is_up, self._is_stalled = True, False
        for end in list(self._ends):
            end.wake()
        if self.on_up is not None:
            self.on_up()

    def delay(self, seconds: float) -> None:
        """Let what is sent from now on arrive ``seconds`` later; 0 ends it."""
        self._latency = seconds

    def limit(self, bytes_per_second: float | None) -> None:
        """Let at most so many bytes pass in each direction; None ends it."""
        self._rate = bytes_per_second or math.inf
        for end in self._ends:
            end.wake()

    # -- for those who connect ---------------------------------------------------------------

    @property
    def is_up(self) -> bool:
        """Whether a connection can be made."""
        return self._is_up

    @property
    def is_stalled(self) -> bool:
        """Whether nothing passes."""
        return self._is_stalled

    @property
    def latency(self) -> float:
        """Seconds from one end to the other."""
        return self._latency

    @property
    def rate(self) -> float:
        """Bytes per second in each direction; infinite without a limit."""
        return self._rate

    @property
    def capacity(self) -> float:
        """Bytes under way in one direction at which it takes no more."""
        return min(CAPACITY, 10 * _STEP * self._rate)

    def connect(self) -> tuple[MemoryTransport, MemoryTransport]:
        """Return the two ends of a new connection."""
        one, other = MemoryTransport(self), MemoryTransport(self)
        one.peer, other.peer = other, one
        self.connections += 1
        self._ends += (one, other)
        return one, other

    def forget(self, end: MemoryTransport) -> None:
        """Take note that an end is lost."""
        if end in self._ends:
            self._ends.remove(end)


class MemoryTransport:
    """One end of a connection; a :class:`asgi_tunnel.transport.Transport`.

    Attributes:
        peer: The other end.
        is_lost: Nothing is sent or received any more.
        room: Bytes to commit at one time.
    """

    room = MAX_ROOM

    def __init__(self, link: MemoryLink) -> None:
        self.peer: MemoryTransport
        self.is_lost = False
        self._link = link
        self._receiver: Receiver | None = None
        self._loop = asyncio.get_running_loop()
        self._sent: deque[tuple[float, memoryview]] = deque()  # when it may arrive, and what
        self._size = 0  # bytes in it
        self._free_at = 0.0  # when the slow line has passed what it is passing
        self._is_full = False
        self._is_closing = False
        self._timer: asyncio.Handle | None = None
        self._close_timer: asyncio.TimerHandle | None = None

    # -- Transport ---------------------------------------------------------------------------

    @property
    def is_writable(self) -> bool:
        """Whether more should be sent now."""
        return not (self._is_full or self._is_closing or self.is_lost)

    @property
    def buffered(self) -> int:
        """Bytes on their way."""
        return self._size

    def start(self, receiver: Receiver) -> None:
        """Pass what arrives from now on to ``receiver``."""
        self._receiver = receiver

    def send(self, data: bytes) -> None:
        """Send bytes; dropped when the connection is lost."""
        if self.is_lost or self._is_closing:
            return
        self._sent.append((self._loop.time() + self._link.latency, memoryview(data)))
        self._size += len(data)
        self._is_full = self._is_full or self._size >= self._link.capacity
        if self._timer is None:
            self._timer = self._loop.call_soon(self._pass_on)

    def send_large(self, pieces: Sequence[Buffer]) -> None:
        """Join and send them: nothing is copied for it later."""
        self.send(b"".join(pieces))

    def close(self) -> None:
        """Be lost after what was sent, within ``CLOSE_TIMEOUT``."""
        if not self._is_closing and not self.is_lost:
            self._is_closing = True
            self._close_timer = self._loop.call_later(CLOSE_TIMEOUT, self.abort)
            self.wake()

    def abort(self) -> None:
        """Be lost in the next turn of the loop; the other end is told unless nothing passes."""
        self._loop.call_soon(self.lose)
        if not self._link.is_stalled:
            self._loop.call_soon(self.peer.lose)

    # -- for the link ------------------------------------------------------------------------

    def wake(self) -> None:
        """Go on after a stall or another rate."""
        if self.peer.is_lost:
            self.abort()
        else:
            self._free_at = 0.0
            if self._timer is not None:
                self._timer.cancel()
            self._timer = self._loop.call_soon(self._pass_on)

    def spill(self, part: float) -> None:
        """Let only this part of what is under way arrive."""
        left = int(part * (self._size + 1))
        while self._sent and left > 0 and not self.is_lost:
            data = self._sent.popleft()[1][:left]
            left -= len(data)
            self.peer.deliver(data)

    def deliver(self, data: memoryview) -> None:
        """Take bytes that the other end sent."""
        if self._receiver is not None:
            self._receiver.data_received(data)

    def lose(self) -> None:
        """Be lost now, and say so once."""
        if self.is_lost:
            return
        self.is_lost = True
        self._sent.clear()
        for timer in (self._timer, self._close_timer):
            if timer is not None:
                timer.cancel()
        self._link.forget(self)
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.transport_lost(self, None)

    def _pass_on(self) -> None:
        """Deliver what is due, then wait for what comes next."""
        self._timer = None
        now = self._loop.time()
        rate = self._link.rate
        while self._sent and not self._link.is_stalled:
            sent, data = self._sent.popleft()
            due = max(sent, self._free_at)
            if due > now:
                self._sent.appendleft((sent, data))
                self._timer = self._loop.call_at(due, self._pass_on)
                break
            if rate < math.inf:
                most = max(1, int(rate * _STEP))
                if len(data) > most:
                    self._sent.appendleft((sent, data[most:]))
                    data = data[:most]
                self._free_at = due + len(data) / rate
            self._size -= len(data)
            self.peer.deliver(data)
        if self._is_full and self._size <= self._link.capacity / 2:
            self._is_full = False
            if self._receiver is not None:
                self._receiver.transport_writable()
        if self._is_closing and not self._sent:
            self.abort()
