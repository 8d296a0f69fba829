"""Who sends next: fresh streams before old ones, each a quantum at a time.

The queues of RFC 8290 (FQ-CoDel, section 4.2): a stream that starts to send is fresh and comes
first; one that has used its quantum goes to the end of the old ones.  A small response therefore
waits for one quantum of a bulk transfer at most, and bulk transfers share alike.
"""

from __future__ import annotations

from collections import deque

from .frames import Buffer
from .limits import DATA_PIECE, DATA_QUANTUM, OUTBOX_LOW
from .stream import Stream


class Scheduler:
    """Streams that have something to send and, as far as known, window to send it."""

    __slots__ = ("_fresh", "_old", "_starved")

    def __init__(self) -> None:
        self._fresh: deque[Stream] = deque()
        self._old: deque[Stream] = deque()
        self._starved: dict[Stream, None] = {}  # wait for the session window, in turn

    def __bool__(self) -> bool:
        return bool(self._fresh or self._old)

    def add(self, stream: Stream) -> None:
        """Let a stream send; nothing changes when it already stands in line."""
        if not stream.scheduled:
            stream.scheduled = True
            stream.deficit = DATA_QUANTUM
            self._fresh.append(stream)

    def add_starved(self, stream: Stream) -> None:
        """Let a stream wait until the session window has room."""
        self._starved[stream] = None

    def wake_starved(self) -> None:
        """Let the streams send that wait for the session window, in the order they came."""
        if self._starved:
            for stream in self._starved:
                self.add(stream)
            self._starved.clear()

    def forget(self, stream: Stream) -> None:
        """Let a closed stream wait no longer; in a line it gives nothing, and falls out."""
        if self._starved:
            self._starved.pop(stream, None)

    def fill(self, parts: list[Buffer], budget: int, sent: list[Stream]) -> tuple[int, int]:
        """Move frames to ``parts`` until ``budget`` bytes are there or nobody can send.

        Args:
            parts: Receives frame headers and payloads.
            budget: Bytes; the last frame may exceed it.
            sent: Receives each stream that left the line or may be written to again; one can come
                twice.

        Returns:
            Frames and bytes added.
        """
        frames = size = 0
        fresh, old = self._fresh, self._old
        while size < budget:
            if fresh:
                line = fresh
            elif old:
                line = old
            else:
                break
            stream = line[0]
            if stream.deficit <= 0:
                stream.deficit += DATA_QUANTUM
                line.popleft()
                old.append(stream)
                continue
            room = budget - size
            if room < DATA_QUANTUM:
                room = DATA_QUANTUM
            elif room > DATA_PIECE or budget > DATA_PIECE:
                room = DATA_PIECE  # also of what is left: a file of 64 KiB is not cut for 100 bytes
            count, length = stream.take(parts, room)
            if count:
                frames += count
                size += length
                stream.deficit -= length
                if stream.outbox:
                    if stream.waiting and stream.queued <= OUTBOX_LOW:
                        sent.append(stream)
                    continue
            line.popleft()
            if line is fresh and old and stream.queued == 0 and not stream.is_closed:
                old.append(stream)  # keeps its deficit: emptying often earns no second turn
            else:
                stream.scheduled = False
            sent.append(stream)
        return frames, size
