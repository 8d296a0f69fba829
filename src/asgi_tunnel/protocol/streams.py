"""The streams of one session: what is queued and received on each, and whose turn it is.

The half of the protocol core that knows streams; :mod:`.connection` adds the transport, time and
resumption.  A small exchange is the common case and has a short way: a request without a body, and
an answer that is complete, become a frame at once (3 against 7 microseconds through the outbox).
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import Any, Final

from ..errors import FrameError, LocalProtocolError, StreamStateError
from .codes import GoawayCode, ResetCode
from .events import (
    CloseReceived,
    DataReceived,
    Event,
    HeadReceived,
    StreamOpened,
    StreamReset,
    StreamWritable,
    TrailersReceived,
)
from .frames import Buffer, Flag, FrameType, Payload, StreamKind, encode_frame, pack_header
from .halves import Half, Step
from .head import (
    Fields,
    RequestHead,
    ResponseHead,
    decode_fields,
    decode_request,
    decode_response,
    encode_fields,
    encode_request,
    encode_response,
)
from .limits import (
    FRAME_HEADER_SIZE,
    MAX_CLOSE_REASON_SIZE,
    MAX_REASON_SIZE,
    MAX_STREAM_ID,
    OPEN_LIMIT,
    OUTBOX_LOW,
    SHORT_WAY_LIMIT,
    WINDOW_FLOOR,
    Settings,
)
from .scheduler import Scheduler
from .stream import Stream
from .window import ReceiveWindow, SendWindow, Windows

_WINDOW: Final = Struct(">II")  # bytes consumed, bytes the window grows by
_SMALL: Final = 4096
"""Bytes up to which data is copied out of its message: a short view must not keep a long message
alive; above it the copy is what costs."""

_END: Final = int(Flag.END)
# An enumeration's member costs two look-ups each time; these cost one, and none when compiled.
_BODY: Final = Half.BODY
_ENDED: Final = Half.ENDED
_INTERIM: Final = Step.INTERIM
_HEAD: Final = Step.HEAD
_WEBSOCKET: Final = StreamKind.WEBSOCKET
_OPEN_FRAME: Final = int(FrameType.OPEN)
_HEAD_FRAME: Final = int(FrameType.HEAD)
_new: Final = tuple.__new__  # skips the NamedTuple's own constructor, 0.3 us


UNKNOWN_ROUND_TRIP: Final = 0.1
"""Seconds, until the first PONG."""


class Role(Enum):
    """Which end of the session this is.  Only the edge opens streams."""

    CONNECTOR = "connector"
    EDGE = "edge"


class Streams:
    """The streams of one session.

    Args:
        role: Which end this is.
        local: What this side announced that it receives.
        peer: What the other side announced.
        now: Monotonic seconds.
    """

    def __init__(self, role: Role, *, local: Settings, peer: Settings, now: float) -> None:
        self.role = role
        self.round_trip = UNKNOWN_ROUND_TRIP  # seconds
        self._is_over = False
        self._local = local
        self._peer = peer
        self._events: list[Event] = []
        self._streams: dict[int, Stream] = {}
        self._last_id = 0  # highest id opened, by whichever side opens
        self._windows = Windows(local, peer, now)
        self._owed: dict[int, SendWindow] = {}  # closed streams the peer has not read
        self._unread: dict[int, ReceiveWindow] = {}  # closed streams this side has not read
        self._sequenced: list[bytes] = []  # whole frames that no scheduler holds back
        self._sequenced_size = 0
        self._heads: list[Stream] = []  # some of them wait for their body until the turn's end
        self._scheduler = Scheduler()
        self._starved: dict[Stream, None] = {}  # wait for the session window, in turn

    # -- looking at it -----------------------------------------------------------------------

    @property
    def open_streams(self) -> int:
        """Streams that are not closed in both directions."""
        return len(self._streams)

    @property
    def last_stream_id(self) -> int:
        """The highest stream id opened so far."""
        return self._last_id

    @property
    def can_open(self) -> bool:
        """Whether the edge may open one more stream."""
        return (
            not self._is_over
            and len(self._streams) < self._peer.max_streams
            and self._last_id < MAX_STREAM_ID
            and self._sequenced_size < OPEN_LIMIT
        )

    def events(self) -> list[Event]:
        """Return the events since the last call, oldest first."""
        events, self._events = self._events, []
        return events

    # -- streams, sending --------------------------------------------------------------------

    def open_stream(
        self, kind: StreamKind, head: RequestHead, *, now: float, data: Buffer = b"", end: bool
    ) -> int:
        """Start a stream toward the app; return its id.

        Args:
            kind: What the stream carries.
            head: The request.
            now: Monotonic seconds.
            data: First bytes of the body.
            end: Nothing follows in this direction.

        Raises:
            LocalProtocolError: This side is not the edge, the session is over, or the peer's
                ``max_streams`` are open; ask :attr:`can_open` first.
            HeadError: The head cannot be encoded.
        """
        if self.role is not Role.EDGE or not self.can_open:
            raise LocalProtocolError("no stream can be opened here and now")
        payload = encode_request(kind, head)
        stream_id = self._last_id + 1
        stream = self._add_stream(stream_id, kind)
        # An OPEN waits in no line: ids have to arrive in order.
        rides = end and len(data) <= WINDOW_FLOOR
        size = len(payload) + (len(data) if rides else 0)
        header = pack_header(size << 8 | _OPEN_FRAME, _END if rides else 0, stream_id)
        self._queue_sequenced(b"".join((header, payload, data)) if rides else header + payload)
        stream.sent = _ENDED if rides else _BODY
        if not rides and (data or end):
            self._queue_data(stream, data, _END if end else 0)
            self._scheduler.add(stream)
        return stream_id

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """Queue the head of an answer; 1xx other than 101 are interim and may repeat.

        Returns:
            False when the caller should wait for :class:`.events.StreamWritable`; a stream that
            is gone takes everything and answers True, as do the other ``send_`` methods.

        Raises:
            LocalProtocolError: A head was already sent.
            HeadError: The head cannot be encoded.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            return True
        payload = encode_response(head)
        interim = 100 <= head.status < 200 and head.status != 101
        stream.send(_INTERIM if interim else _HEAD)
        if not interim and not stream.outbox:
            # The body often comes in the same turn: then both leave in one frame.
            stream.head = payload
            self._heads.append(stream)
            return True
        self._scheduler.add(stream)
        return stream.queue(FrameType.HEAD, payload)

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """Queue bytes of a body or of a WebSocket message.

        Args:
            stream_id: The stream.
            data: Not copied: the caller leaves the buffer alone.
            end: Nothing follows in this direction.
            text: The WebSocket message is text.
            more: The WebSocket message goes on in the next call.

        Returns:
            As :meth:`send_head`.

        Raises:
            LocalProtocolError: The head has not been sent, or the direction is over.
        """
        stream = self._streams.get(stream_id)
        if stream is None:
            return True
        if (
            end
            and stream.head is not None
            and stream.kind is not _WEBSOCKET
            and len(data) <= WINDOW_FLOOR
            and self._sequenced_size < SHORT_WAY_LIMIT
        ):
            self._send_whole(stream, stream.head, data)
            return True
        flags = (Flag.END if end else 0) | (Flag.TEXT if text else 0) | (Flag.MORE if more else 0)
        self._scheduler.add(stream)
        return self._queue_data(stream, data, flags)

    def _send_whole(self, stream: Stream, head: bytes, body: Buffer) -> None:
        """Send an answer that is complete in one frame, past the scheduler."""
        header = pack_header((len(head) + len(body)) << 8 | _HEAD_FRAME, _END, stream.id)
        self._queue_sequenced(b"".join((header, head, body)))
        # DATA and END in one step.  What stays within the floor is counted nowhere once its
        # direction has ended, so no window is needed.
        stream.head = None
        stream.sent = _ENDED
        if stream.received is _ENDED:
            self._close_if_over(stream)

    def _queue_heads(self) -> None:
        """Let the heads go whose body has not come in the same turn."""
        for stream in self._heads:
            if stream.head is not None:
                stream.queue_head()
                self._scheduler.add(stream)
        self._heads.clear()

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Queue trailers, which end this direction.

        Raises:
            LocalProtocolError: The head has not been sent, or the direction is over.
            HeadError: The fields cannot be encoded.
        """
        stream = self._streams.get(stream_id)
        if stream is not None:
            payload = encode_fields(fields)
            stream.send(Step.TRAILERS)
            stream.queue(FrameType.TRAILERS, payload)
            self._scheduler.add(stream)

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Queue a WebSocket close, which ends this direction.

        Args:
            stream_id: The stream.
            code: As in RFC 6455; 1005 for a close without code, 1006 for a lost visitor.
            reason: Cut to 123 bytes of UTF-8.

        Raises:
            LocalProtocolError: The head has not been sent, or the direction is over.
        """
        stream = self._streams.get(stream_id)
        if stream is not None:
            stream.send(Step.CLOSE)
            text = cut_text(reason, MAX_CLOSE_REASON_SIZE)
            stream.queue(FrameType.CLOSE, code.to_bytes(2, "big") + text)
            self._scheduler.add(stream)

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """End both directions of a stream at once; drop what is queued and what is unread."""
        stream = self._streams.get(stream_id)
        if stream is None:
            unread = self._unread.pop(stream_id, None)
            if unread is not None:  # closed already: nothing to reset, but its bytes still count
                self._queue_window(stream_id, unread.unread, 0)
                unread.release()
            return
        stream.reset()
        self._forget(stream)
        self._wake_starved()
        payload = int(code).to_bytes(2, "big") + cut_text(reason, MAX_REASON_SIZE)
        self._queue_sequenced(encode_frame(FrameType.RESET, payload, stream_id=stream_id))

    def consume(self, stream_id: int, size: int, now: float) -> None:
        """Say that ``size`` bytes (the sum of events' ``cost``) are used and may be replaced."""
        if not size:
            return
        stream = self._streams.get(stream_id)
        window = stream.receiving if stream is not None else self._unread.get(stream_id)
        if window is None:
            return
        due = window.consume(size, now, self.round_trip)
        if due is None:
            return
        if stream is None and window.unread <= WINDOW_FLOOR:
            del self._unread[stream_id]
        self._queue_window(stream_id, *due)

    # -- streams, receiving ------------------------------------------------------------------

    def _receive_open(self, flags: int, stream_id: int, payload: Payload) -> None:
        if self.role is Role.EDGE:
            raise StreamStateError(GoawayCode.STREAM_STATE, "only the edge opens streams")
        if not self._last_id < stream_id <= MAX_STREAM_ID:
            raise StreamStateError(
                GoawayCode.STREAM_STATE, f"OPEN of stream {stream_id} after {self._last_id}"
            )
        if len(self._streams) >= self._local.max_streams:
            raise StreamStateError(
                GoawayCode.STREAM_LIMIT, f"more than {self._local.max_streams} streams are open"
            )
        kind, head, start = decode_request(payload)
        stream = self._add_stream(stream_id, kind)
        stream.received = _BODY
        end = flags & _END != 0
        data = self._take_body(stream, payload, start, end)
        self._events.append(_new(StreamOpened, (stream_id, kind, head, data, end)))

    def _receive_head(self, flags: int, stream_id: int, payload: Payload) -> None:
        stream = self._find(stream_id)
        if self.role is Role.CONNECTOR:
            raise StreamStateError(GoawayCode.STREAM_STATE, "only the app's side answers")
        if stream is None:
            return
        head, start = decode_response(payload)
        interim = 100 <= head.status < 200 and head.status != 101
        stream.receive(_INTERIM if interim else _HEAD)
        end = flags & _END != 0
        if interim and (end or start < len(payload)):
            raise FrameError(GoawayCode.FRAME_ERROR, f"HEAD {head.status} carries a body")
        data = self._take_body(stream, payload, start, end)
        self._events.append(_new(HeadReceived, (stream_id, head, data, end)))

    def _take_body(
        self, stream: Stream, payload: Payload, start: int, end: bool
    ) -> bytes | memoryview:
        """Take what rides behind a head; ``start`` is where."""
        size = len(payload) - start
        if end:
            stream.received = _ENDED
            # Within the floor, nothing of a direction that has ended is counted.
            if size > WINDOW_FLOOR:
                stream.receive_window.receive(size)
            self._close_if_over(stream)
        elif size:
            stream.receive_window.receive(size)
        if not size:
            return b""
        return bytes(payload[start:]) if size <= _SMALL else payload[start:]

    def _receive_data(self, flags: int, stream_id: int, payload: Payload) -> None:
        stream = self._find(stream_id)
        if stream is None:
            return
        stream.receive(Step.DATA)
        size = len(payload)
        end = flags & _END != 0
        cost = size + FRAME_HEADER_SIZE if size or not end else 0
        if cost:
            stream.receive_window.receive(cost)
        if end:
            stream.receive(Step.END)
            self._close_if_over(stream)
        data = bytes(payload) if size <= _SMALL else payload
        text, more = flags & Flag.TEXT != 0, flags & Flag.MORE != 0
        self._events.append(_new(DataReceived, (stream_id, data, cost, end, text, more)))

    def _receive_trailers(self, flags: int, stream_id: int, payload: Payload) -> None:
        stream = self._find(stream_id)
        if stream is not None:
            stream.receive(Step.TRAILERS)
            self._events.append(TrailersReceived(stream_id, decode_fields(payload)))
            self._close_if_over(stream)

    def _receive_close(self, flags: int, stream_id: int, payload: Payload) -> None:
        if not 2 <= len(payload) <= 2 + MAX_CLOSE_REASON_SIZE:
            raise FrameError(GoawayCode.FRAME_ERROR, f"CLOSE of {len(payload)} bytes")
        stream = self._find(stream_id)
        if stream is not None:
            stream.receive(Step.CLOSE)
            code = payload[0] << 8 | payload[1]
            self._events.append(CloseReceived(stream_id, code, read_sentence(payload[2:])))
            self._close_if_over(stream)

    def _receive_reset(self, flags: int, stream_id: int, payload: Payload) -> None:
        if len(payload) < 2:
            raise FrameError(GoawayCode.FRAME_ERROR, f"RESET of {len(payload)} bytes")
        stream = self._find(stream_id)
        if stream is None:
            # The peer had not seen this direction's end: it has given both windows back.
            unread = self._unread.pop(stream_id, None)
            if unread is not None:
                unread.release()
            self._release_owed(stream_id)
            return
        stream.reset()
        self._forget(stream)
        self._wake_starved()
        code = payload[0] << 8 | payload[1]
        self._events.append(StreamReset(stream_id, code, read_sentence(payload[2:])))

    def _receive_window(self, flags: int, stream_id: int, payload: Payload) -> None:
        consumed, growth = unpack(_WINDOW, payload)
        stream = self._find(stream_id)
        if stream is None:
            owed = self._owed.get(stream_id)
            if owed is not None:
                owed.credit(min(consumed, owed.unread), 0)
                if owed.unread <= WINDOW_FLOOR:
                    self._release_owed(stream_id)
        elif stream.sending is not None or stream.sent is not _ENDED:
            # (A short answer has ended without a window; what returns of it is of no use.)
            stream.send_window.credit(consumed, growth)
            if stream.outbox:
                self._scheduler.add(stream)
        self._wake_starved()

    # -- inside ------------------------------------------------------------------------------

    def _find(self, stream_id: int) -> Stream | None:
        """Return the stream, or None for a closed one; an id that was never used is an error."""
        stream = self._streams.get(stream_id)
        if stream is None and not 0 < stream_id <= self._last_id:
            raise StreamStateError(GoawayCode.STREAM_STATE, f"stream {stream_id} was never opened")
        return stream

    def _add_stream(self, stream_id: int, kind: StreamKind) -> Stream:
        self._last_id = stream_id
        stream = self._streams[stream_id] = Stream(stream_id, kind, self._windows)
        return stream

    def _queue_data(self, stream: Stream, data: Buffer, flags: int) -> bool:
        stream.send(Step.DATA)
        if flags & Flag.END:
            stream.send(Step.END)
        return stream.queue(FrameType.DATA, data, flags)

    def _queue_window(self, stream_id: int, consumed: int, growth: int) -> None:
        payload = _WINDOW.pack(consumed, growth)
        self._queue_sequenced(encode_frame(FrameType.WINDOW, payload, stream_id=stream_id))

    def _queue_sequenced(self, frame: bytes) -> None:
        self._sequenced.append(frame)
        self._sequenced_size += len(frame)

    def _look_after(self, stream: Stream) -> None:
        """Handle a stream that the scheduler has just served or found blocked."""
        if stream.waiting and stream.queued <= OUTBOX_LOW:
            stream.waiting = False
            self._events.append(StreamWritable(stream.id))
        if stream.outbox:
            if not stream.scheduled and stream.send_window.is_held_by_session:
                self._starved[stream] = None
        else:
            self._close_if_over(stream)

    def _wake_starved(self) -> None:
        if self._starved:
            for stream in self._starved:
                self._scheduler.add(stream)
            self._starved.clear()

    def _close_if_over(self, stream: Stream) -> None:
        if (
            stream.sent is _ENDED
            and stream.received is _ENDED
            and not stream.outbox
            and stream.id in self._streams
        ):
            sending, receiving = stream.sending, stream.receiving
            if sending is not None and sending.unread > WINDOW_FLOOR:
                self._owed[stream.id] = sending
            if receiving is not None and receiving.unread > WINDOW_FLOOR:
                self._unread[stream.id] = receiving
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.id]
        if self._starved:
            self._starved.pop(stream, None)

    def _release_owed(self, stream_id: int) -> None:
        owed = self._owed.pop(stream_id, None)
        if owed is not None:
            owed.release()
            self._wake_starved()

    def _clear(self) -> None:
        """Forget every stream and what was queued: the session is over."""
        self._is_over = True
        self._streams.clear()
        self._owed.clear()
        self._unread.clear()
        self._starved.clear()
        self._sequenced.clear()
        self._sequenced_size = 0
        self._heads.clear()
        self._scheduler = Scheduler()


def unpack(form: Struct, payload: Payload) -> tuple[int, ...]:
    """Return the numbers of a payload of a fixed form.

    Raises:
        FrameError: The payload has another size.
    """
    if len(payload) != form.size:
        raise FrameError(
            GoawayCode.FRAME_ERROR, f"payload of {len(payload)} bytes instead of {form.size}"
        )
    return form.unpack(payload)


def cut_text(reason: str, limit: int) -> bytes:
    """Return at most ``limit`` bytes of UTF-8, cut between two characters."""
    return reason.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").encode()


def read_sentence(data: Payload) -> str:
    """Return the reason in a RESET, CLOSE or GOAWAY."""
    # "ignore", not "replace": a reason must not grow above the limit it has on the next wire.
    return bytes(data[:MAX_REASON_SIZE]).decode("utf-8", "ignore")


Receive = Callable[[Any, int, int, Payload], None]
"""Takes a frame's flags, stream id and payload; raises a ProtocolError for what may not be."""

STREAM_FRAMES: Final[dict[int, Receive]] = {
    FrameType.OPEN: Streams._receive_open,  # noqa: SLF001 - its own table
    FrameType.HEAD: Streams._receive_head,  # noqa: SLF001 - its own table
    FrameType.DATA: Streams._receive_data,  # noqa: SLF001 - its own table
    FrameType.TRAILERS: Streams._receive_trailers,  # noqa: SLF001 - its own table
    FrameType.CLOSE: Streams._receive_close,  # noqa: SLF001 - its own table
    FrameType.RESET: Streams._receive_reset,  # noqa: SLF001 - its own table
    FrameType.WINDOW: Streams._receive_window,  # noqa: SLF001 - its own table
}
