"""Sequenced bytes that the peer has not acknowledged (docs/protocol.md section 7).

Frames have no sequence number on the wire: both sides count the sequenced frames, which a
reliable ordered transport makes the same count.  What is kept is the chunk of each flush, so that
the price of resumption is one ``append`` for each flush and not one for each frame; what is large
in it is kept as its sender gave it, and not copied.
"""

from __future__ import annotations

from collections import deque

from ..errors import FlowControlError
from .codes import GoawayCode
from .frames import Buffer, unpack_header
from .limits import ACK_BYTES, ACK_FRAMES, FRAME_HEADER_SIZE, REPLAY_LIMIT
from .output import size_of

Chunk = bytes | list[Buffer]
"""Whole frames, one behind the other: joined, or in pieces that do not change any more."""


class ReplayBuffer:
    """Chunks of whole sequenced frames, from the oldest unacknowledged one on."""

    __slots__ = ("_chunks", "_first", "sent", "size")

    def __init__(self) -> None:
        # (count up to its end, its size, frames)
        self._chunks: deque[tuple[int, int, Chunk]] = deque()
        self._first = 0  # frames acknowledged
        self.sent = 0  # frames ever appended
        self.size = 0  # bytes kept

    @property
    def acknowledged(self) -> int:
        """Sequenced frames that the peer has, as far as this side knows."""
        return self._first

    @property
    def awaited_ack(self) -> int | None:
        """What is acknowledged, while the peer has to send an ACK once it has the rest."""
        is_due = self.size >= ACK_BYTES or self.sent - self._first >= ACK_FRAMES
        return self._first if is_due else None

    def append(self, chunk: Chunk, frames: int) -> None:
        """Keep a chunk that holds ``frames`` whole frames."""
        size = len(chunk) if isinstance(chunk, bytes) else size_of(chunk)
        self.sent += frames
        self.size += size
        self._chunks.append((self.sent, size, chunk))

    def acknowledge(self, count: int) -> bool:
        """Drop what the peer has; False when the count is impossible.

        A chunk of which only a part is acknowledged is kept whole.
        """
        if not self._first <= count <= self.sent:
            return False
        chunks = self._chunks
        while chunks and chunks[0][0] <= count:
            self.size -= chunks.popleft()[1]
        self._first = count
        return True

    def remaining(self) -> list[bytes]:
        """Return the unacknowledged frames, in order, each chunk whole frames only."""
        chunks = [
            chunk if isinstance(chunk, bytes) else b"".join(chunk) for _, _, chunk in self._chunks
        ]
        if chunks:
            last, chunk = self._chunks[0][0], chunks[0]
            behind = last - self._first  # frames of the first chunk that the peer lacks
            starts = [0]
            while starts[-1] < len(chunk):
                size = unpack_header(chunk, starts[-1])[0] >> 8
                starts.append(starts[-1] + FRAME_HEADER_SIZE + size)
            chunks[0] = chunk[starts[len(starts) - 1 - behind] :]
        return chunks


class ReceivedFrames:
    """Sequenced frames received, of which the peer may forget those it was told of.

    Attributes:
        count: Frames received.
    """

    __slots__ = ("_acknowledged", "_unacked_bytes", "count")

    def __init__(self) -> None:
        self.count = 0
        self._acknowledged = 0  # frames the peer was told of
        self._unacked_bytes = 0

    def add(self, size: int) -> None:
        """Count a frame of ``size`` bytes."""
        self.count += 1
        self._unacked_bytes += size

    @property
    def is_ack_due(self) -> bool:
        """Whether the peer keeps so much that an ACK is worth a frame."""
        return self._unacked_bytes >= ACK_BYTES or self.count - self._acknowledged >= ACK_FRAMES

    def acknowledge(self) -> int:
        """Return the count for the peer, and count nothing as untold."""
        self._unacked_bytes = 0
        self._acknowledged = self.count
        return self.count


class Sequence:
    """The sequenced frames of one session, both ways, over all its transports.

    Args:
        is_resumable: The session goes on over another transport when its own is lost.

    Attributes:
        replay: What the peer may lack.
        received: What this side has.
        resend: Chunks that a new transport still has to carry, the last one first.
    """

    __slots__ = ("is_resumable", "received", "replay", "resend")

    def __init__(self, *, is_resumable: bool) -> None:
        self.is_resumable = is_resumable
        self.replay = ReplayBuffer()
        self.received = ReceivedFrames()
        self.resend: list[bytes] = []

    @property
    def is_full(self) -> bool:
        """Whether so much is unacknowledged that bodies have to wait."""
        return self.replay.size >= REPLAY_LIMIT

    @property
    def is_ack_due(self) -> bool:
        """Whether the peer keeps so much that an ACK is worth a frame."""
        return self.is_resumable and self.received.is_ack_due

    def keep(self, chunk: Chunk, frames: int) -> None:
        """Keep a chunk that leaves, until the peer has it."""
        if self.is_resumable:
            self.replay.append(chunk, frames)

    def acknowledge(self, count: int) -> None:
        """Take the count in an ACK, PING or PONG.

        Raises:
            FlowControlError: The peer cannot have so many, or had more before.
        """
        if self.is_resumable and not self.replay.acknowledge(count):
            raise FlowControlError(
                GoawayCode.PROTOCOL_ERROR,
                f"the peer acknowledges {count} frames of {self.replay.sent}",
            )

    def resume(self, count: int) -> bool:
        """Send again what the peer lacks; False when the count is impossible."""
        if not self.replay.acknowledge(count):
            return False
        self.resend = self.replay.remaining()[::-1]
        return True

    def end(self) -> None:
        """Keep nothing: the session is over."""
        self.is_resumable = False
        self.replay = ReplayBuffer()
        self.resend.clear()
