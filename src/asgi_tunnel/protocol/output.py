"""What the core has to hand out: frames for the transport, events for the session.

:mod:`.connection` and what it holds share one :class:`Output` for each session.
"""

from __future__ import annotations

from .events import Event
from .frames import Buffer


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
