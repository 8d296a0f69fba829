"""What the core has to hand out: frames for the transport, events for the session.

:mod:`.connection` and what it holds share one :class:`Output` for each session.
"""

from __future__ import annotations

from collections.abc import Iterable, Sized
from typing import Final, cast

from .events import Event
from .frames import Buffer

LARGE: Final = 16 * 1024
"""Bytes of a payload from which one more buffer of a write costs less than to copy it into one."""


class Output:
    """Sequenced frames that no scheduler holds back, and events.

    Attributes:
        events: Oldest first.
        frames: Whole frames, in the order in which they leave.
        size: Bytes of the frames.
        overhead: Frames received that carried nothing or came too late, since the last count.
        expected: Frames that may come too late, because this side ended their stream.
    """

    __slots__ = ("events", "expected", "frames", "overhead", "size")

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.frames: list[Buffer] = []
        self.size = 0
        self.overhead = 0
        self.expected = 0

    def put(self, frame: bytes) -> None:
        """Add a frame."""
        self.frames.append(frame)
        self.size += len(frame)

    def take(self) -> list[Buffer]:
        """Return the frames, and keep none."""
        frames, self.frames = self.frames, []
        self.size = 0
        return frames

    def take_events(self) -> list[Event]:
        """Return the events since the last call."""
        events, self.events = self.events, []
        return events


def join_small(parts: list[Buffer]) -> list[Buffer]:
    """Return parts with all joined that is small; what is large stays as it is.

    A view of much more than it shows is copied: what is kept for the peer would keep all of it.

    Args:
        parts: Do not change any more.
    """
    pieces: list[Buffer] = []
    small: list[Buffer] = []
    for part in parts:
        if len(part) < LARGE:
            small.append(part)
            continue
        if small:
            pieces.append(b"".join(small))
            small = []
        if isinstance(part, memoryview) and len(cast(Sized, part.obj)) > 2 * len(part):
            part = bytes(part)  # noqa: PLW2901
        pieces.append(part)
    if small:
        pieces.append(b"".join(small))
    return pieces


def size_of(pieces: Iterable[Buffer]) -> int:
    """Return the bytes of pieces together."""
    size = 0
    for piece in pieces:
        size += len(piece)
    return size
