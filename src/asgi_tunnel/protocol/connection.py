"""One session, either side of it, without input or output (docs/protocol.md sections 3 to 8).

Bytes go in with :meth:`Connection.receive_data`, events come out with :meth:`Connection.events`;
calls go in, bytes come out with :meth:`Connection.data_to_send`.  Time is an argument.  The
session outlives its transport: after :meth:`Connection.transport_lost` the state stays, and
:meth:`Connection.resume` goes on where the peer stopped receiving.

HELLO and WELCOME come before a connection exists: see :mod:`.handshake`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import Final

from ..errors import FlowControlError, FrameError, LocalProtocolError, ProtocolError
from ..errors import StreamStateError
from .codes import DrainReason, GoawayCode, ResetCode
from .events import (
    CloseReceived,
    DataReceived,
    DrainReceived,
    Event,
    HeadReceived,
    SessionTerminated,
    StreamOpened,
    StreamReset,
    StreamWritable,
    TrailersReceived,
    TransportSilent,
)
from .frames import (
    FIRST_UNSEQUENCED,
    Buffer,
    Flag,
    Frame,
    FrameDecoder,
    FrameType,
    StreamKind,
    encode_frame,
)
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
    ACK_BYTES,
    ACK_FRAMES,
    CONTROL_LIMIT,
    FLUSH_BUDGET,
    FRAME_HEADER_SIZE,
    MAX_CLOSE_REASON_SIZE,
    MAX_REASON_SIZE,
    MAX_STREAM_ID,
    OUTBOX_LOW,
    REPLAY_LIMIT,
    WINDOW_FLOOR,
    Settings,
    Timing,
)
from .replay import ReplayBuffer
from .scheduler import Scheduler
from .stream import Stream
from .window import ReceiveWindow, SendWindow, SessionUse

_WINDOW: Final = Struct(">II")  # bytes consumed, bytes the window grows by
_PING: Final = Struct(">QQ")  # opaque number, sequenced frames received
_ACK: Final = Struct(">Q")  # sequenced frames received
_GOAWAY: Final = Struct(">HII")  # code, last stream id, retry after in ms
_DRAIN: Final = Struct(">BII")  # reason, delay in ms, grace in ms
_NO_RETRY: Final = 0xFFFFFFFF  # "retry after" that is not given
_SMALL: Final = 4096
"""Bytes up to which data is copied out of its message: a short view must not keep a long message
alive; above it the copy is what costs."""

_UNKNOWN_ROUND_TRIP: Final = 0.1  # seconds, until the first PONG

Trace = Callable[[str, int, int, int, int], None]
"""Called with direction ("<" or ">"), type, flags, stream id and payload size of each frame."""


class Role(Enum):
    """Which end of the session this is.  Only the edge opens streams."""

    CONNECTOR = "connector"
    EDGE = "edge"


class State(Enum):
    """Where the session is."""

    ACTIVE = "active"  # a transport carries it
    SUSPENDED = "suspended"  # its transport was lost; it may resume
    TERMINATED = "terminated"  # over; nothing but a GOAWAY may still leave


class Connection:
    """The protocol core of one session.

    Args:
        role: Which end this is.
        local: What this side announced that it receives.
        peer: What the other side announced.
        timing: What the edge decided in WELCOME.
        now: Monotonic seconds.
        trace: Called for each frame received; None costs nothing.
    """

    def __init__(
        self,
        role: Role,
        *,
        local: Settings,
        peer: Settings,
        timing: Timing,
        now: float,
        trace: Trace | None = None,
    ) -> None:
        self.role = role
        self.state = State.ACTIVE
        self.round_trip = _UNKNOWN_ROUND_TRIP  # seconds
        self._local = local
        self._peer = peer
        self._timing = timing
        self._trace = trace
        self._resumable = timing.resume_window > 0
        self._decoder = FrameDecoder(local.max_frame_size)
        self._events: list[Event] = []
        # streams
        self._streams: dict[int, Stream] = {}
        self._last_id = 0  # highest id opened, by whichever side opens
        self._send_use = SessionUse(peer.session_window)
        self._receive_use = SessionUse(local.session_window)
        self._owed: dict[int, SendWindow] = {}  # closed streams the peer has not read
        self._unread: dict[int, ReceiveWindow] = {}  # closed streams this side has not read
        # what is to be sent
        self._control: list[bytes] = []  # unsequenced frames
        self._sequenced: list[bytes] = []  # WINDOW, RESET and DRAIN
        self._sequenced_size = 0
        self._scheduler = Scheduler()
        self._starved: dict[Stream, None] = {}  # wait for the session window, longest first
        self._replay = ReplayBuffer()
        self._resend: list[bytes] = []  # chunks still to be replayed, last one first
        # what was received
        self._received = 0  # sequenced frames
        self._acknowledged = 0  # sequenced frames the peer was told of
        self._unacked_bytes = 0
        # time
        self._last_receive = now
        self._lost_at = now
        self._ping_id = 0
        self._ping_sent: dict[int, float] = {}  # at most one
        self._ping(now)

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
    def received_frames(self) -> int:
        """Sequenced frames received: what a resuming HELLO or WELCOME tells the peer."""
        return self._received

    @property
    def sent_frames(self) -> int:
        """Sequenced frames sent: a peer cannot have received more."""
        return self._replay.sent

    @property
    def has_output(self) -> bool:
        """Whether :meth:`data_to_send` has anything to give."""
        if self.state is State.SUSPENDED:
            return False
        return bool(
            self._control
            or self._resend
            or self._sequenced
            or (self._scheduler and self._replay.size < REPLAY_LIMIT)
            or self._is_ack_due()
        )

    @property
    def buffered(self) -> int:
        """Bytes kept for the peer: unacknowledged ones and those in outboxes."""
        return self._replay.size + sum(stream.queued for stream in self._streams.values())

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
        stream = self._add_stream(self._last_id + 1, kind, now)
        stream.send(Step.HEAD)
        stream.queue(FrameType.OPEN, payload)
        if data or end:
            self._queue_data(stream, data, Flag.END if end else 0)
        self._scheduler.add(stream)
        return stream.id

    @property
    def can_open(self) -> bool:
        """Whether the edge may open one more stream."""
        return (
            self.state is not State.TERMINATED
            and len(self._streams) < self._peer.max_streams
            and self._last_id < MAX_STREAM_ID
        )

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
        stream.send(Step.INTERIM if interim else Step.HEAD)
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
        flags = (
            (Flag.END if end else 0) | (Flag.TEXT if text else 0) | (Flag.MORE if more else 0)
        )
        self._scheduler.add(stream)
        return self._queue_data(stream, data, flags)

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
            text = _text(reason, MAX_CLOSE_REASON_SIZE)
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
        never_left = bool(stream.outbox) and stream.outbox[0].type is FrameType.OPEN
        stream.reset()
        self._forget(stream)
        self._wake_starved()
        if not never_left:
            payload = int(code).to_bytes(2, "big") + _text(reason, MAX_REASON_SIZE)
            self._queue_sequenced(encode_frame(FrameType.RESET, payload, stream_id=stream_id))

    def consume(self, stream_id: int, size: int, now: float) -> None:
        """Say that ``size`` bytes (the sum of events' ``cost``) are used and may be replaced."""
        if not size:
            return
        stream = self._streams.get(stream_id)
        window = stream.receive_window if stream is not None else self._unread.get(stream_id)
        if window is None:
            return
        due = window.consume(size, now, self.round_trip)
        if due is None:
            return
        if stream is None and window.unread <= WINDOW_FLOOR:
            del self._unread[stream_id]
        self._queue_window(stream_id, *due)

    # -- the session, sending ----------------------------------------------------------------

    def drain(self, reason: DrainReason, *, delay: float = 0.0, grace: float = 0.0) -> None:
        """Ask the peer for no new streams.

        Args:
            reason: What comes after.
            delay: Seconds the peer should wait before it opens a replacement.
            grace: Seconds until this side ends what is still open.
        """
        if self.state is not State.TERMINATED:
            payload = _DRAIN.pack(reason, round(delay * 1000), round(grace * 1000))
            self._queue_sequenced(encode_frame(FrameType.DRAIN, payload))

    def terminate(
        self, code: GoawayCode, reason: str = "", *, retry_after: float | None = None
    ) -> None:
        """End the session: every stream is over, GOAWAY is the last frame."""
        if self.state is State.TERMINATED:
            return
        retry = _NO_RETRY if retry_after is None else round(retry_after * 1000)
        payload = _GOAWAY.pack(code, self._last_id, retry) + _text(reason, MAX_REASON_SIZE)
        attached = self.state is State.ACTIVE
        self._end(SessionTerminated(code, reason, False, retry_after, self._last_id))
        if attached:
            self._control.append(encode_frame(FrameType.GOAWAY, payload))

    def data_to_send(self, budget: int = FLUSH_BUDGET) -> bytes:
        """Return frames for the transport; empty when there is nothing to send.

        Args:
            budget: Bytes after which no further frame is started.

        What is returned can no longer be overtaken, so ask only when the transport has room.
        """
        if self.state is State.SUSPENDED:
            return b""
        if self._is_ack_due():
            self._control.append(encode_frame(FrameType.ACK, _ACK.pack(self._count_ack())))
        control = b"".join(self._control)
        self._control.clear()
        if self._resend:
            return control + self._resend.pop()
        frames = len(self._sequenced)
        parts: list[Buffer] = list(self._sequenced)
        self._sequenced.clear()
        self._sequenced_size = 0
        if self._scheduler and self._replay.size < REPLAY_LIMIT:
            sent: list[Stream] = []
            count, _ = self._scheduler.fill(parts, budget, sent)
            frames += count
            for stream in sent:
                self._look_after(stream)
        if not frames:
            return control
        chunk = b"".join(parts)
        if self._resumable:
            self._replay.append(chunk, frames)
        return control + chunk if control else chunk

    # -- the transport -----------------------------------------------------------------------

    def transport_lost(self, now: float) -> None:
        """Say that the transport is gone.  The session stays for the resume window."""
        if self.state is not State.ACTIVE:
            return
        self._decoder.clear()
        self._control.clear()
        self._resend.clear()
        self._ping_sent.clear()
        self._lost_at = now
        self.state = State.SUSPENDED
        if not self._resumable:
            self._end(
                SessionTerminated(GoawayCode.NO_ERROR, "the connection was lost", False, None, 0)
            )

    def resume(self, peer_received: int, now: float) -> bool:
        """Go on over a new transport.

        Args:
            peer_received: Sequenced frames that the peer has, from its HELLO or WELCOME.
            now: Monotonic seconds.

        Returns:
            False when the count is impossible; the session is then over.
        """
        if self.state is State.ACTIVE:
            self.transport_lost(now)
        if self.state is not State.SUSPENDED:
            return False
        if not self._replay.acknowledge(peer_received):
            self._end(
                SessionTerminated(
                    GoawayCode.RESUME_FAILED,
                    f"the peer has {peer_received} frames of {self._replay.sent}",
                    False,
                    None,
                    0,
                )
            )
            return False
        self.state = State.ACTIVE
        self._resend = self._replay.remaining()[::-1]
        self._acknowledged = self._received
        self._unacked_bytes = 0
        self._last_receive = now
        self._ping(now)
        return True

    # -- time --------------------------------------------------------------------------------

    def next_deadline(self) -> float | None:
        """Return when :meth:`handle_deadline` has something to do, in monotonic seconds."""
        if self.state is State.TERMINATED:
            return None
        if self.state is State.SUSPENDED:
            return self._lost_at + self._timing.resume_window
        timing = self._timing
        last = self._last_receive
        if self._ping_sent:
            sent = next(iter(self._ping_sent.values()))
            return min(
                max(sent, last) + timing.heartbeat_interval, last + timing.heartbeat_timeout
            )
        return last + timing.heartbeat_interval

    def handle_deadline(self, now: float) -> None:
        """Send the PING, report the silence or end the session that is due at ``now``."""
        deadline = self.next_deadline()
        if deadline is None or now < deadline:
            return
        if self.state is State.SUSPENDED:
            self._end(
                SessionTerminated(
                    GoawayCode.NO_ERROR,
                    f"the connection was lost for {self._timing.resume_window:g} seconds",
                    False,
                    None,
                    0,
                )
            )
        elif now - self._last_receive >= self._timing.heartbeat_timeout:
            self._events.append(TransportSilent(now - self._last_receive))
        else:
            self._ping(now)

    # -- receiving ---------------------------------------------------------------------------

    def receive_data(self, data: Buffer, now: float) -> None:
        """Take bytes from the transport, cut anywhere; see :meth:`events` for what they meant.

        Nothing the peer sends raises: a violation ends the session with a coded GOAWAY.
        """
        if self.state is not State.ACTIVE:
            return
        self._last_receive = now
        try:
            for frame in self._decoder.feed(data):
                self._receive_frame(frame, now)
                if self.state is not State.ACTIVE:
                    return
            if self._sequenced_size + self._replay.size > REPLAY_LIMIT + CONTROL_LIMIT:
                raise ProtocolError(GoawayCode.OVERLOAD, "the peer does not read what it asks for")
        except ProtocolError as error:
            self.terminate(GoawayCode(error.code), str(error))

    def _receive_frame(self, frame: Frame, now: float) -> None:
        kind, flags, stream_id, payload = frame
        if self._trace is not None:
            self._trace("<", kind, flags, stream_id, len(payload))
        if kind < FIRST_UNSEQUENCED:
            self._received += 1
            self._unacked_bytes += FRAME_HEADER_SIZE + len(payload)
        if kind == FrameType.DATA:
            self._receive_data(flags, stream_id, payload)
        elif kind == FrameType.HEAD:
            self._receive_head(flags, stream_id, payload)
        elif kind == FrameType.OPEN:
            self._receive_open(flags, stream_id, payload, now)
        elif kind == FrameType.WINDOW:
            self._receive_window(stream_id, payload)
        elif kind == FrameType.ACK:
            self._take_ack(_unpack(_ACK, payload)[0])
        elif kind == FrameType.PING:
            opaque, received = _unpack(_PING, payload)
            self._take_ack(received)
            pong = _PING.pack(opaque, self._count_ack())
            self._control = [one for one in self._control if one[3] != FrameType.PONG]
            self._control.append(encode_frame(FrameType.PONG, pong))
        elif kind == FrameType.PONG:
            opaque, received = _unpack(_PING, payload)
            self._take_ack(received)
            sent = self._ping_sent.pop(opaque, None)
            if sent is not None:
                self.round_trip = now - sent
        elif kind == FrameType.RESET:
            self._receive_reset(stream_id, payload)
        elif kind == FrameType.CLOSE:
            self._receive_close(stream_id, payload)
        elif kind == FrameType.TRAILERS:
            self._receive_trailers(stream_id, payload)
        elif kind == FrameType.DRAIN:
            reason, delay, grace = _unpack(_DRAIN, payload)
            self._events.append(DrainReceived(reason, delay / 1000, grace / 1000))
        elif kind == FrameType.GOAWAY:
            if len(payload) < _GOAWAY.size:
                raise FrameError(GoawayCode.FRAME_ERROR, f"GOAWAY of {len(payload)} bytes")
            code, last_id, retry = _GOAWAY.unpack_from(payload)
            reason = _sentence(payload[_GOAWAY.size :])
            after = None if retry == _NO_RETRY else retry / 1000
            self._end(SessionTerminated(code, reason, True, after, last_id))
        else:
            raise FrameError(GoawayCode.FRAME_ERROR, f"frame type {kind} is unknown here")

    def _receive_open(self, flags: int, stream_id: int, payload: memoryview, now: float) -> None:
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
        stream = self._add_stream(stream_id, kind, now)
        stream.receive(Step.HEAD)
        end = bool(flags & Flag.END)
        data = self._take_body(stream, payload[start:], end)
        self._events.append(StreamOpened(stream_id, kind, head, data, end))

    def _receive_head(self, flags: int, stream_id: int, payload: memoryview) -> None:
        stream = self._find(stream_id)
        if self.role is Role.CONNECTOR:
            raise StreamStateError(GoawayCode.STREAM_STATE, "only the app's side answers")
        if stream is None:
            return
        head, start = decode_response(payload)
        interim = 100 <= head.status < 200 and head.status != 101
        stream.receive(Step.INTERIM if interim else Step.HEAD)
        end = bool(flags & Flag.END)
        if interim and (end or start < len(payload)):
            raise FrameError(GoawayCode.FRAME_ERROR, f"HEAD {head.status} carries a body")
        data = self._take_body(stream, payload[start:], end)
        self._events.append(HeadReceived(stream_id, head, data, end))

    def _take_body(self, stream: Stream, data: memoryview, end: bool) -> bytes | memoryview:
        size = len(data)
        if size:
            stream.receive_window.receive(size)
        if end:
            stream.receive(Step.END)
            self._close_if_over(stream)
        return bytes(data) if size <= _SMALL else data

    def _receive_data(self, flags: int, stream_id: int, payload: memoryview) -> None:
        stream = self._find(stream_id)
        if stream is None:
            return
        stream.receive(Step.DATA)
        size = len(payload)
        end = bool(flags & Flag.END)
        cost = size + FRAME_HEADER_SIZE if size or not end else 0
        if cost:
            stream.receive_window.receive(cost)
        if end:
            stream.receive(Step.END)
            self._close_if_over(stream)
        self._events.append(
            DataReceived(
                stream_id,
                bytes(payload) if size <= _SMALL else payload,
                cost,
                end,
                bool(flags & Flag.TEXT),
                bool(flags & Flag.MORE),
            )
        )

    def _receive_trailers(self, stream_id: int, payload: memoryview) -> None:
        stream = self._find(stream_id)
        if stream is not None:
            stream.receive(Step.TRAILERS)
            self._events.append(TrailersReceived(stream_id, decode_fields(payload)))
            self._close_if_over(stream)

    def _receive_close(self, stream_id: int, payload: memoryview) -> None:
        if not 2 <= len(payload) <= 2 + MAX_CLOSE_REASON_SIZE:
            raise FrameError(GoawayCode.FRAME_ERROR, f"CLOSE of {len(payload)} bytes")
        stream = self._find(stream_id)
        if stream is not None:
            stream.receive(Step.CLOSE)
            code = payload[0] << 8 | payload[1]
            self._events.append(CloseReceived(stream_id, code, _sentence(payload[2:])))
            self._close_if_over(stream)

    def _receive_reset(self, stream_id: int, payload: memoryview) -> None:
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
        self._events.append(StreamReset(stream_id, code, _sentence(payload[2:])))

    def _receive_window(self, stream_id: int, payload: memoryview) -> None:
        consumed, growth = _unpack(_WINDOW, payload)
        stream = self._find(stream_id)
        if stream is None:
            owed = self._owed.get(stream_id)
            if owed is not None:
                owed.credit(min(consumed, owed.unread), 0)
                if owed.unread <= WINDOW_FLOOR:
                    self._release_owed(stream_id)
        else:
            stream.send_window.credit(consumed, growth)
            if stream.outbox:
                self._scheduler.add(stream)
        self._wake_starved()

    def _find(self, stream_id: int) -> Stream | None:
        """Return the stream, or None for a closed one; an id that was never used is an error."""
        stream = self._streams.get(stream_id)
        if stream is None and not 0 < stream_id <= self._last_id:
            raise StreamStateError(
                GoawayCode.STREAM_STATE, f"stream {stream_id} was never opened"
            )
        return stream

    # -- inside ------------------------------------------------------------------------------

    def _add_stream(self, stream_id: int, kind: StreamKind, now: float) -> Stream:
        self._last_id = stream_id
        stream = self._streams[stream_id] = Stream(
            stream_id,
            kind,
            send=SendWindow(self._peer.stream_window, self._send_use),
            receive=ReceiveWindow(self._local.stream_window, self._receive_use, now),
        )
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
            stream.sent is Half.ENDED
            and stream.received is Half.ENDED
            and not stream.outbox
            and stream.id in self._streams
        ):
            if stream.send_window.unread > WINDOW_FLOOR:
                self._owed[stream.id] = stream.send_window
            if stream.receive_window.unread > WINDOW_FLOOR:
                self._unread[stream.id] = stream.receive_window
            self._forget(stream)

    def _forget(self, stream: Stream) -> None:
        del self._streams[stream.id]
        self._starved.pop(stream, None)

    def _release_owed(self, stream_id: int) -> None:
        owed = self._owed.pop(stream_id, None)
        if owed is not None:
            owed.release()
            self._wake_starved()

    def _is_ack_due(self) -> bool:
        return self._resumable and (
            self._unacked_bytes >= ACK_BYTES or self._received - self._acknowledged >= ACK_FRAMES
        )

    def _count_ack(self) -> int:
        self._unacked_bytes = 0
        self._acknowledged = self._received
        return self._received

    def _take_ack(self, received: int) -> None:
        if self._resumable and not self._replay.acknowledge(received):
            raise FlowControlError(
                GoawayCode.PROTOCOL_ERROR,
                f"the peer acknowledges {received} frames of {self._replay.sent}",
            )

    def _ping(self, now: float) -> None:
        self._ping_id += 1
        self._ping_sent = {self._ping_id: now}
        payload = _PING.pack(self._ping_id, self._count_ack())
        self._control.append(encode_frame(FrameType.PING, payload))

    def _end(self, event: SessionTerminated) -> None:
        self.state = State.TERMINATED
        self._streams.clear()
        self._owed.clear()
        self._unread.clear()
        self._starved.clear()
        self._control.clear()
        self._sequenced.clear()
        self._sequenced_size = 0
        self._resend.clear()
        self._scheduler = Scheduler()
        self._replay = ReplayBuffer()
        self._resumable = False
        self._events.append(event)


def _unpack(form: Struct, payload: memoryview) -> tuple[int, ...]:
    if len(payload) != form.size:
        raise FrameError(
            GoawayCode.FRAME_ERROR, f"payload of {len(payload)} bytes instead of {form.size}"
        )
    return form.unpack(payload)


def _text(reason: str, limit: int) -> bytes:
    """Return at most ``limit`` bytes of UTF-8, cut between two characters."""
    return reason.encode("utf-8", "replace")[:limit].decode("utf-8", "ignore").encode()


def _sentence(data: memoryview) -> str:
    # "ignore", not "replace": a reason must not grow above the limit it has on the next wire.
    return bytes(data[:MAX_REASON_SIZE]).decode("utf-8", "ignore")
