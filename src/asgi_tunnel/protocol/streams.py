"""What is sent on the streams of one session; what is received on them is in :mod:`.receiving`.

The half of the protocol core that knows streams; :mod:`.connection` adds the transport, time and
resumption.  A small exchange is the common case and has a fast path: a request without a body, and
a response that is complete, become a frame at once (3 against 7 microseconds through the outbox).
"""

from __future__ import annotations

from typing import Final

from ..errors import LocalProtocolError
from .codes import ResetCode
from .events import StreamWritable
from .frames import Buffer, Flag, FrameType, StreamKind, encode_frame, pack_header
from .halves import Step
from .head import (
    Fields,
    RequestHead,
    ResponseHead,
    encode_fields,
    encode_request,
    encode_response,
)
from .heartbeat import Heartbeat
from .limits import (
    FAST_PATH_LIMIT,
    FRAME_HEADER_SIZE,
    MAX_CLOSE_REASON_SIZE,
    MAX_REASON_SIZE,
    MAX_STREAM_ID,
    OPEN_LIMIT,
    OUTBOX_LOW,
    WINDOW_FLOOR,
    Settings,
)
from .output import Output
from .overhead import STREAM_ENDS
from .receiving import WINDOW, Role, StreamReceiver
from .stream import Stream
from .table import StreamTable
from .text import cut_text

_END: Final = int(Flag.END)
# Shorter names of hot members: docs/adr/0006-compiled-wheels.md, "Two idioms".
_INTERIM: Final = Step.INTERIM
_HEAD: Final = Step.HEAD
_WEBSOCKET: Final = StreamKind.WEBSOCKET
_OPEN_FRAME: Final = int(FrameType.OPEN)
_HEAD_FRAME: Final = int(FrameType.HEAD)


class Streams:
    """The streams of one session, as this side sends on them.

    Args:
        role: Which end this is.
        local: What this side announced that it receives.
        peer: What the other side announced.
        output: Takes frames and events; shared with the connection.
        heartbeat: Knows the time and the round trip, by which windows grow.

    Attributes:
        receiver: Takes what the peer sends.
        is_over: The session has ended.
    """

    __slots__ = (
        "_heads",
        "_heartbeat",
        "_output",
        "_peer",
        "_table",
        "is_over",
        "receiver",
        "role",
    )

    def __init__(
        self, role: Role, *, local: Settings, peer: Settings, output: Output, heartbeat: Heartbeat
    ) -> None:
        self.role = role
        self.is_over = False
        self._peer = peer
        self._output = output
        self._heartbeat = heartbeat
        self._table = StreamTable(local=local, peer=peer, now=heartbeat.last_receive)
        self._heads: list[Stream] = []  # some of them wait for their body until the turn's end
        self.receiver = StreamReceiver(role, self._table, output, max_streams=local.max_streams)

    # -- looking at it -----------------------------------------------------------------------

    @property
    def open_streams(self) -> int:
        """Streams that are not closed in both directions."""
        return len(self._table.streams)

    @property
    def last_stream_id(self) -> int:
        """The highest stream id opened so far."""
        return self._table.last_id

    @property
    def can_open(self) -> bool:
        """Whether the edge may open one more stream."""
        table = self._table
        return (
            not self.is_over
            and len(table.streams) < self._peer.max_streams
            and table.last_id < MAX_STREAM_ID
            and self._output.size < OPEN_LIMIT
        )

    @property
    def queued(self) -> int:
        """Bytes in the outboxes."""
        return sum(stream.queued for stream in self._table.streams.values())

    def queued_on(self, stream_id: int) -> int:
        """Bytes in the outbox of one stream."""
        stream = self._table.streams.get(stream_id)
        return 0 if stream is None else stream.queued

    def has_queued(self, *, is_held: bool) -> bool:
        """Whether :meth:`fill` has anything to give; with ``is_held``, only heads count."""
        return bool(self._heads) or (not is_held and bool(self._table.scheduler))

    # -- for the connection ------------------------------------------------------------------

    def heard(self, now: float) -> None:
        """Note when the newest bytes came: windows that they open begin at this time."""
        self._table.windows.now = now

    def fill(self, parts: list[Buffer], budget: int) -> int:
        """Move what the outboxes hold to ``parts``, in turn; return the number of frames.

        Args:
            parts: Receives frame headers and payloads.
            budget: Bytes; the last frame may exceed it.
        """
        scheduler = self._table.scheduler
        if not scheduler:
            return 0
        sent: list[Stream] = []
        count, _ = scheduler.fill(parts, budget, sent)
        for stream in sent:
            self._after_service(stream)
        return count

    def queue_heads(self) -> None:
        """Queue response heads whose first body chunk did not come in the same turn."""
        for stream in self._heads:
            if stream.head is not None:
                stream.queue_head()
                self._table.scheduler.add(stream)
        self._heads.clear()

    def end(self) -> None:
        """Forget every stream and what was queued: the session is over."""
        self.is_over = True
        self._table.clear()
        self._output.take()
        self._heads.clear()

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
        table = self._table
        stream_id = table.last_id + 1
        stream = table.add(stream_id, kind)
        # An OPEN waits in no line: ids have to arrive in order.
        inline_body = end and len(data) <= WINDOW_FLOOR
        size = len(payload) + (len(data) if inline_body else 0)
        header = pack_header(size << 8 | _OPEN_FRAME, _END if inline_body else 0, stream_id)
        self._output.put(b"".join((header, payload, data)) if inline_body else header + payload)
        stream.send_open(inline_body)
        if not inline_body and (data or end):
            self._queue_data(stream, data, _END if end else 0)
            table.scheduler.add(stream)
        return stream_id

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """Queue the head of a response; 1xx other than 101 are interim and may repeat.

        Returns:
            False when the caller should wait for :class:`.events.StreamWritable`; a stream that
            is gone takes everything and returns True, as do the other ``send_`` methods.

        Raises:
            LocalProtocolError: A head was already sent.
            HeadError: The head cannot be encoded.
        """
        stream = self._table.streams.get(stream_id)
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
        self._table.scheduler.add(stream)
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
        stream = self._table.streams.get(stream_id)
        if stream is None:
            return True
        if (
            end
            and stream.head is not None
            and stream.kind is not _WEBSOCKET
            and len(data) <= WINDOW_FLOOR
            and self._output.size < FAST_PATH_LIMIT
        ):
            self._send_whole(stream, stream.head, data)
            return True
        flags = (Flag.END if end else 0) | (Flag.TEXT if text else 0) | (Flag.MORE if more else 0)
        self._table.scheduler.add(stream)
        return self._queue_data(stream, data, flags)

    def _send_whole(self, stream: Stream, head: bytes, body: Buffer) -> None:
        """Send a response that is complete in one frame, past the scheduler."""
        header = pack_header((len(head) + len(body)) << 8 | _HEAD_FRAME, _END, stream.id)
        self._output.put(b"".join((header, head, body)))
        # What stays within the floor is counted nowhere once its direction has ended, so no window
        # is needed.
        stream.head = None
        stream.send_rest()
        self._table.close_if_over(stream)

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Queue trailers, which end this direction.

        Raises:
            LocalProtocolError: The head has not been sent, or the direction is over.
            HeadError: The fields cannot be encoded.
        """
        stream = self._table.streams.get(stream_id)
        if stream is not None:
            payload = encode_fields(fields)
            stream.send(Step.TRAILERS)
            stream.queue(FrameType.TRAILERS, payload)
            self._table.scheduler.add(stream)

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Queue a WebSocket close, which ends this direction.

        Args:
            stream_id: The stream.
            code: As in RFC 6455; 1005 for a close without code, 1006 for a lost visitor.
            reason: Cut to 123 bytes of UTF-8.

        Raises:
            LocalProtocolError: The head has not been sent, or the direction is over.
        """
        stream = self._table.streams.get(stream_id)
        if stream is not None:
            stream.send(Step.CLOSE)
            text = cut_text(reason, MAX_CLOSE_REASON_SIZE)
            stream.queue(FrameType.CLOSE, code.to_bytes(2, "big") + text)
            self._table.scheduler.add(stream)

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """End both directions of a stream at once; drop what is queued and what is unread."""
        stream = self._table.streams.get(stream_id)
        if stream is None:
            unread = self._table.drop_unread(stream_id)
            if unread:  # closed already: nothing to reset, but its bytes still count
                self._queue_window(stream_id, unread, 0)
            return
        # What fits into the window may be on its way, in frames of one byte, and its end.
        room = stream.receive_window.room
        self._output.expected += room // (FRAME_HEADER_SIZE + 1) + STREAM_ENDS
        self._table.reset(stream)
        payload = int(code).to_bytes(2, "big") + cut_text(reason, MAX_REASON_SIZE)
        self._output.put(encode_frame(FrameType.RESET, payload, stream_id=stream_id))

    def consume(self, stream_id: int, size: int, now: float) -> None:
        """Say that ``size`` bytes, of events' ``flow_controlled_size``, may be replaced."""
        if not size:
            return
        window = self._table.receive_window(stream_id)
        if window is None:
            return
        due = window.consume(size, now, self._heartbeat.round_trip)
        if due is not None:
            self._table.forget_read(stream_id)
            self._queue_window(stream_id, *due)

    # -- inside ------------------------------------------------------------------------------

    def _queue_data(self, stream: Stream, data: Buffer, flags: int) -> bool:
        stream.send(Step.DATA)
        if flags & Flag.END:
            stream.send(Step.END)
        return stream.queue(FrameType.DATA, data, flags)

    def _queue_window(self, stream_id: int, consumed: int, growth: int) -> None:
        payload = WINDOW.pack(consumed, growth)
        self._output.put(encode_frame(FrameType.WINDOW, payload, stream_id=stream_id))

    def _after_service(self, stream: Stream) -> None:
        """Handle a stream that the scheduler has just served or found blocked."""
        if stream.waiting and stream.queued <= OUTBOX_LOW:
            stream.waiting = False
            self._output.events.append(StreamWritable(stream.id))
        if stream.outbox:
            if not stream.scheduled and stream.send_window.is_held_by_session:
                self._table.scheduler.add_starved(stream)
        else:
            self._table.close_if_over(stream)
