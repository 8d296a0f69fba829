"""What is written for a visitor, and how it is handed to the socket."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Iterable
from typing import Final

from asgi_tunnel.protocol.frames import Buffer

WRITE_HIGH: Final = 32 * 1024
"""Bytes written and not yet taken by the visitor's socket at which the app has to wait."""

WRITE_BURST: Final = 256 * 1024
"""Bytes of what waits that are handed to the visitor's socket at one time.  uvloop writes all that
it holds in one turn of the loop if the visitor takes it: 4 MiB, 1.5 ms in front of every click."""

TRUSTED: Final = 1024 * 1024
"""Bytes that a visitor's socket has to have taken before pieces for it are not copied any more: for
one who reads nothing it takes a quarter of that."""

PINNED: Final = 256 * 1024
"""Bytes of one read of a tunnel: what a piece that was cut from it keeps alive."""


class Outbox:
    """Bytes for one visitor: on their way, and those that wait because it reads too slowly.

    What waits is bounded by the windows of the streams that it comes from.

    Args:
        transport: Of the visitor; its protocol passes on when it pauses and resumes.
        resume: The protocol's ``resume_writing``, which calls :meth:`resume`.

    Attributes:
        is_paused: The visitor has not taken what was written.
    """

    __slots__ = (
        "_is_closed",
        "_is_due",
        "_resume",
        "_size",
        "_transport",
        "_waiting",
        "_written",
        "is_paused",
    )

    def __init__(self, transport: asyncio.Transport, resume: Callable[[], object]) -> None:
        self._transport = transport
        self._resume = resume
        self._waiting: deque[Buffer] | None = None  # made when something first has to wait
        self._size = 0
        self._written = 0  # bytes, those that wait included
        self._is_due = False  # the next turn goes on with what waits
        self._is_closed = False  # the transport is gone, or another protocol has it
        self.is_paused = False
        transport.set_write_buffer_limits(high=WRITE_HIGH)

    @property
    def size(self) -> int:
        """Bytes that the visitor's socket has not taken."""
        return self._size + self._transport.get_write_buffer_size()

    @property
    def written(self) -> int:
        """Bytes that were written so far, those included that wait."""
        return self._written

    @property
    def taken(self) -> int:
        """Bytes that the visitor's socket has taken."""
        return self._written - self.size

    @property
    def is_stalled(self) -> bool:
        """Whether it is the visitor that is waited for, and not the end of this turn."""
        return self.is_paused and not self._is_due

    @property
    def held(self) -> int:
        """Bytes of memory that these keep, at most."""
        unsent = self._transport.get_write_buffer_size()
        return self._size + (max(unsent, PINNED) if unsent and self._is_trusted else unsent)

    @property
    def _is_trusted(self) -> bool:
        return self.taken >= TRUSTED

    def write(self, data: bytes) -> None:
        """Send bytes, behind those that wait; dropped when the visitor is gone."""
        if self._is_closed:
            return
        self._written += len(data)
        if not self.is_paused:
            self._transport.write(data)
        else:
            self._wait(data)

    def write_large(self, pieces: Iterable[Buffer], *, is_last: bool = False) -> None:
        """Send pieces behind those that wait: all of a turn together, to a fast visitor uncopied.

        The visitor counts as paused until then: its app gets its window back when the socket has
        taken them.  Dropped when the visitor is gone.

        Args:
            pieces: Of a response or a message.
            is_last: Nothing follows that could leave together with them.
        """
        if self._is_closed:
            return
        if not self.is_paused:
            if is_last:
                self._write_now(pieces)
                return
            self._go_on_soon()
        # A slow one keeps its bytes, and not the reads of the tunnel that they were cut from.
        is_fast = self._is_due and self._is_trusted
        for piece in pieces:
            self._written += len(piece)
            self._wait(piece if is_fast else bytes(piece))

    def _write_now(self, pieces: Iterable[Buffer]) -> None:
        is_fast = self._is_trusted
        kept = [piece if is_fast else bytes(piece) for piece in pieces]
        for piece in kept:
            self._written += len(piece)
        self._transport.writelines(kept)  # may pause

    def _go_on_soon(self) -> None:
        self.is_paused = self._is_due = True
        asyncio.get_running_loop().call_soon(self._resume)

    def _wait(self, data: Buffer) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(data)
        self._size += len(data)

    def pause(self) -> None:
        """Let all wait from now on: the transport takes no more."""
        self.is_paused = not self._is_closed

    def resume(self) -> bool:
        """Hand over a burst of what waits, and the next one in the next turn.

        Does nothing once closed.

        Returns:
            Whether nothing waits any more, here or below.
        """
        self.is_paused = self._is_due = False
        waiting = self._waiting
        if not waiting:
            return True
        burst: list[Buffer] = []
        left = WRITE_BURST
        while waiting and left > 0:
            piece = waiting.popleft()
            left -= len(piece)
            burst.append(piece)
        self._size -= WRITE_BURST - left
        self._transport.writelines(burst)  # may pause
        if waiting and not self.is_paused:
            self._go_on_soon()
        return not self.is_paused

    def flush(self) -> None:
        """Hand over all that waits: the transport is about to be closed."""
        if self._waiting:
            self._transport.write(b"".join(self._waiting))
            self.clear()

    def clear(self) -> None:
        """Drop what waits."""
        self._waiting = None
        self._size = 0

    def close(self) -> None:
        """Drop what waits and what is written from now on: the visitor is gone."""
        self.clear()
        self._is_closed = True
        self.is_paused = False
