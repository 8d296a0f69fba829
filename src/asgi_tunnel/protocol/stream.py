"""One stream of a session: two halves, two windows, and the queue of what is to be sent."""

from __future__ import annotations

from collections import deque
from typing import Final, NamedTuple

from ..errors import LocalProtocolError, StreamStateError
from .codes import GoawayCode
from .frames import Buffer, Flag, FrameType, StreamKind, pack_header
from .halves import TRANSITIONS, Half, Step
from .limits import FRAME_HEADER_SIZE, MAX_FRAME_SIZE, OUTBOX_HIGH
from .window import ReceiveWindow, SendWindow, Windows

MIN_PIECE: Final = 1024
"""Bytes below which a payload is not cut to the window: avoids the silly window syndrome, in which
a window that opens a little at a time makes tiny frames (RFC 1122 section 4.2.3.4)."""


class Item(NamedTuple):
    """One queued frame, not yet cut to the window."""

    type: FrameType
    payload: Buffer
    flags: int


_HEAD: Final = Half.HEAD
_BODY: Final = Half.BODY
_ENDED: Final = Half.ENDED

_CARRY_BODY: Final = (FrameType.OPEN, FrameType.HEAD)
"""Frames behind whose head the first bytes of a body fit."""

_NO_ITEMS: Final[deque[Item]] = deque()
"""The outbox of a stream that has not queued anything; never written to."""


class Stream:
    """State and outbox of one stream.

    :class:`.connection.Connection` owns the streams and builds frames from their outboxes; a
    stream knows nothing of other streams or of the wire.
    """

    __slots__ = (
        "_windows",
        "deficit",
        "head",
        "id",
        "kind",
        "outbox",
        "queued",
        "received",
        "receiving",
        "scheduled",
        "sending",
        "sent",
        "waiting",
    )

    def __init__(self, stream_id: int, kind: StreamKind, windows: Windows) -> None:
        self.id = stream_id
        self.kind = kind
        self.sent = _HEAD  # the direction this side sends
        self.received = _HEAD  # the direction the peer sends
        self.head: bytes | None = None  # of the response, until the turn ends or its body comes
        self.outbox: deque[Item] = _NO_ITEMS
        self.queued = 0  # bytes in the outbox
        self.waiting = False  # the sender was told to wait
        self.deficit = 0  # bytes it may still send before it goes to the end of the line
        self.scheduled = False  # it stands in one of the scheduler's queues
        self.sending: SendWindow | None = None  # made by the first DATA
        self.receiving: ReceiveWindow | None = None
        self._windows = windows

    @property
    def send_window(self) -> SendWindow:
        """What may still be sent."""
        window = self.sending
        if window is None:
            window = self.sending = self._windows.for_sending()
        return window

    @property
    def receive_window(self) -> ReceiveWindow:
        """What was received and not consumed."""
        window = self.receiving
        if window is None:
            window = self.receiving = self._windows.for_receiving()
        return window

    @property
    def is_closed(self) -> bool:
        """Both directions are over, as far as this side has queued or received."""
        return self.sent is _ENDED and self.received is _ENDED

    def send(self, step: Step) -> None:
        """Advance the sending half.

        Raises:
            LocalProtocolError: The step is not allowed in this state: a defect of the caller.
        """
        state = TRANSITIONS.get((self.sent, step))
        if state is None:
            raise LocalProtocolError(
                f"{step.name} cannot be sent on stream {self.id}: its state is {self.sent.name}"
            )
        self.sent = state

    def receive(self, step: Step) -> None:
        """Advance the receiving half.

        Raises:
            StreamStateError: The peer broke the order of frames.
        """
        state = TRANSITIONS.get((self.received, step))
        if state is None:
            raise StreamStateError(
                GoawayCode.STREAM_STATE,
                f"{step.name} came on stream {self.id}, whose state is {self.received.name}",
            )
        self.received = state

    # What the table says of several steps in a row, without its look-ups: a small exchange takes
    # four of them.  A test compares every one of these methods with the table.

    def send_open(self, end: bool) -> None:
        """Send HEAD on a new stream, and END with it."""
        self.sent = _ENDED if end else _BODY

    def send_rest(self) -> None:
        """Send DATA and END after the head."""
        self.sent = _ENDED

    def receive_open(self) -> None:
        """Receive HEAD on a new stream."""
        self.received = _BODY

    def receive_end(self) -> None:
        """Receive END after the head."""
        self.received = _ENDED

    def queue(self, kind: FrameType, payload: Buffer, flags: int = 0) -> bool:
        """Put a frame into the outbox; False when the sender should wait for StreamWritable."""
        if self.head is not None:
            self.queue_head()
        if self.outbox is _NO_ITEMS:
            self.outbox = deque()
        self.outbox.append(Item(kind, payload, flags))
        # Each item counts: a flood of empty WebSocket messages has to wait as well.  One item of
        # OUTBOX_HIGH bytes, the chunk that file responses use, does not.
        self.queued += len(payload) + FRAME_HEADER_SIZE
        if self.queued > OUTBOX_HIGH + FRAME_HEADER_SIZE:
            self.waiting = True
            return False
        return True

    def queue_head(self) -> None:
        """Put the head that waits for its body into the outbox."""
        head, self.head = self.head, None
        if head is not None:
            self.queue(FrameType.HEAD, head)

    def reset(self) -> None:
        """Pass RESET in both directions; drop the outbox, give the windows back."""
        self.sent = self.received = _ENDED
        self.head = None
        self.outbox = _NO_ITEMS
        self.queued = 0
        if self.sending is not None:
            self.sending.release()
        if self.receiving is not None:
            self.receiving.release()

    def take(self, parts: list[Buffer], room: int) -> tuple[int, int]:
        """Move one frame from the outbox to ``parts``.

        Args:
            parts: Receives frame header and payload, uncopied.
            room: Most payload bytes of a DATA frame, above 0; a head is never cut.

        Returns:
            Frames and bytes added; no frame when the outbox is empty or the window is used up.
        """
        if not self.outbox:
            return 0, 0
        kind, payload, flags = self.outbox[0]
        if kind is FrameType.DATA:
            return self._take_data(parts, payload, flags, room)
        self.outbox.popleft()
        size = len(payload)
        self.queued -= size + FRAME_HEADER_SIZE
        body: Buffer = b""
        if kind in _CARRY_BODY and self.outbox and self.kind is not StreamKind.WEBSOCKET:
            following, body, more_flags = self.outbox[0]
            if following is FrameType.DATA and len(body) <= min(
                room, MAX_FRAME_SIZE - size, self.send_window.available()
            ):
                self.outbox.popleft()
                self.queued -= len(body) + FRAME_HEADER_SIZE
                self.send_window.spend(len(body))
                flags |= more_flags
            else:
                body = b""
        parts.append(pack_header((size + len(body)) << 8 | kind, flags, self.id))
        parts.append(payload)
        if body:
            parts.append(body)
        return 1, size + len(body) + FRAME_HEADER_SIZE

    def _take_data(
        self, parts: list[Buffer], payload: Buffer, flags: int, room: int
    ) -> tuple[int, int]:
        size = len(payload)
        if not size and flags & Flag.END:
            flow_controlled_size = 0
        else:
            available = self.send_window.available() - FRAME_HEADER_SIZE
            if available < min(size, MIN_PIECE):
                return 0, 0
            room = min(room, available)
            if size > room:
                size = room
            flow_controlled_size = size + FRAME_HEADER_SIZE
        if size < len(payload):
            view = memoryview(payload)
            self.outbox[0] = Item(FrameType.DATA, view[size:], flags)
            payload = view[:size]
            flags &= ~Flag.END
            if self.kind is StreamKind.WEBSOCKET:
                flags |= Flag.MORE
        else:
            self.outbox.popleft()
            self.queued -= FRAME_HEADER_SIZE
        self.queued -= size
        self.send_window.spend(flow_controlled_size)
        parts.append(pack_header(size << 8 | FrameType.DATA, flags, self.id))
        if size:
            parts.append(payload)
        return 1, size + FRAME_HEADER_SIZE
