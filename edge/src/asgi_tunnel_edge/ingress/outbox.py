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
"""Bytes that a visitor's socket has to have taken at once before pieces for it are not copied any
more.  The kernel takes a tenth of that for one who reads nothing."""

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
        "_has_views",
        "_is_due",
        "_resume",
        "_size",
        "_taken",
        "_transport",
        "_waiting",
        "is_paused",
    )

    def __init__(self, transport: asyncio.Transport, resume: Callable[[], object]) -> None:
        self._transport = transport
        self._resume = resume
        self._waiting: deque[Buffer] | None = None  # made when something first has to wait
        self._size = 0
        self._is_due = False  # the next turn goes on with what waits
        self._taken = 0  # bytes of bursts that the socket took whole
        self._has_views = False  # the last burst was not copied
        self.is_paused = False
        transport.set_write_buffer_limits(high=WRITE_HIGH)

    @property
    def size(self) -> int:
        """Bytes that the visitor's socket has not taken."""
        return self._size + self._transport.get_write_buffer_size()

    @property
    def is_stalled(self) -> bool:
        """Whether it is the visitor that is waited for, and not the end of this turn."""
        return self.is_paused and not self._is_due

    @property
    def held(self) -> int:
        """Bytes of memory that these keep, at most."""
        unsent = self._transport.get_write_buffer_size()
        return self._size + (max(unsent, PINNED) if unsent and self._has_views else unsent)

    def write(self, data: bytes) -> None:
        """Send bytes, behind those that wait."""
        if not self.is_paused:
            self._transport.write(data)
        else:
            self._wait(data)

    def write_large(self, pieces: Iterable[Buffer]) -> None:
        """Send pieces behind those that wait: all of a turn together, to a fast visitor uncopied.

        The visitor counts as paused until then: its app gets its window back when the socket has
        taken them.
        """
        if not self.is_paused:
            self._go_on_soon()
        # A slow one keeps its bytes, and not the reads of the tunnel that they were cut from.
        is_fast = self._is_due and self._taken >= TRUSTED
        for piece in pieces:
            self._wait(piece if is_fast else bytes(piece))

    def _go_on_soon(self) -> None:
        self.is_paused = self._is_due = True
        asyncio.get_running_loop().call_soon(self._resume)

    def _wait(self, data: Buffer) -> None:
        if self._waiting is None:
            self._waiting = deque()
        self._waiting.append(data)
        self._size += len(data)

    def resume(self) -> bool:
        """Hand over a burst of what waits, and the next one in the next turn.

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
        size = WRITE_BURST - left
        self._size -= size
        self._has_views = any(type(piece) is not bytes for piece in burst)
        self._transport.writelines(burst)  # may pause
        if not self._transport.get_write_buffer_size():
            self._taken += size
        if waiting and not self.is_paused:
            self._go_on_soon()
        return not self.is_paused

    def flush(self) -> None:
        """Hand over all that waits: the transport is about to be closed."""
        if self._waiting:
            self._transport.write(b"".join(self._waiting))
            self.clear()

    def clear(self) -> None:
        """Drop what waits: the visitor is gone."""
        self._waiting = None
        self._size = 0
