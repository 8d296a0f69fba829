"""Sequenced bytes that the peer has not acknowledged (docs/protocol.md section 7).

Frames have no sequence number on the wire: both sides count the sequenced frames, which a
reliable ordered transport makes the same count.  What is kept is the chunk of each flush, so that
the price of resumption is one ``append`` for each flush and not one for each frame.
"""

from __future__ import annotations

from collections import deque

from .frames import unpack_header
from .limits import FRAME_HEADER_SIZE


class ReplayBuffer:
    """Chunks of whole sequenced frames, from the oldest unacknowledged one on."""

    __slots__ = ("_chunks", "_first", "sent", "size")

    def __init__(self) -> None:
        self._chunks: deque[tuple[int, bytes]] = deque()  # (count up to its end, frames)
        self._first = 0  # frames acknowledged
        self.sent = 0  # frames ever appended
        self.size = 0  # bytes kept

    @property
    def acknowledged(self) -> int:
        """Sequenced frames that the peer has, as far as this side knows."""
        return self._first

    def append(self, chunk: bytes, frames: int) -> None:
        """Keep a chunk that holds ``frames`` whole frames."""
        self.sent += frames
        self.size += len(chunk)
        self._chunks.append((self.sent, chunk))

    def acknowledge(self, count: int) -> bool:
        """Drop what the peer has; False when the count is impossible.

        A chunk of which only a part is acknowledged is kept whole.
        """
        if not self._first <= count <= self.sent:
            return False
        chunks = self._chunks
        while chunks and chunks[0][0] <= count:
            self.size -= len(chunks.popleft()[1])
        self._first = count
        return True

    def remaining(self) -> list[bytes]:
        """Return the unacknowledged frames, in order, each chunk whole frames only."""
        chunks = [chunk for _, chunk in self._chunks]
        if chunks:
            last, chunk = self._chunks[0]
            behind = last - self._first  # frames of the first chunk that the peer lacks
            starts = [0]
            while starts[-1] < len(chunk):
                size = unpack_header(chunk, starts[-1])[0] >> 8
                starts.append(starts[-1] + FRAME_HEADER_SIZE + size)
            chunks[0] = chunk[starts[len(starts) - 1 - behind] :]
        return chunks
