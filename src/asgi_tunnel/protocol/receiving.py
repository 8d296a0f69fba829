"""What the peer sends on streams: frames in, events out.

:mod:`.connection` has cut the frame, counted it and checked its flags.  What this side sends is
in :mod:`.streams`; both work on the same :class:`.table.StreamTable`.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from struct import Struct
from typing import Final

from ..errors import FrameError, StreamStateError
from .codes import GoawayCode
from .events import (
    CloseReceived,
    DataReceived,
    HeadReceived,
    StreamOpened,
    StreamReset,
    TrailersReceived,
)
from .frames import Flag, FrameType, Payload, StreamKind
from .halves import Half, Step
from .head import decode_fields, decode_request, decode_response
from .limits import (
    FRAME_HEADER_SIZE,
    MAX_CLOSE_REASON_SIZE,
    MAX_STREAM_ID,
    WINDOW_FLOOR,
)
from .output import Output
from .stream import Stream
from .table import StreamTable
from .text import read_sentence, unpack
from .window import MIN_RETURN

WINDOW: Final = Struct(">II")  # bytes consumed, bytes the window grows by
_SMALL: Final = 4096
"""Bytes up to which data is copied out of its message: a short view must not keep a long message
alive; above it the copy is what costs."""

_END: Final = int(Flag.END)
# Shorter names of hot members and `_new`: docs/adr/0006-compiled-wheels.md, "Two idioms".
_ENDED: Final = Half.ENDED
_INTERIM: Final = Step.INTERIM
_HEAD: Final = Step.HEAD
_WEBSOCKET: Final = StreamKind.WEBSOCKET
_new: Final = tuple.__new__


FrameReceiver = Callable[[int, int, Payload], None]
"""Takes a frame's flags, stream id and payload; raises a ProtocolError for what may not be."""


class Role(Enum):
    """Which end of the session this is.  Only the edge opens streams."""

    CONNECTOR = "connector"
    EDGE = "edge"


class StreamReceiver:
    """Turns the frames of streams into events.

    Args:
        role: Which end this is.
        table: The session's streams.
        output: Takes the events.
        max_streams: That this side announced.

    Attributes:
        by_type: The method for each type of frame.
    """

    __slots__ = ("_is_edge", "_max_streams", "_output", "_table", "by_type")

    def __init__(self, role: Role, table: StreamTable, output: Output, *, max_streams: int) -> None:
        self._is_edge = role is Role.EDGE
        self._table = table
        self._output = output
        self._max_streams = max_streams
        self.by_type: dict[int, FrameReceiver] = {
            FrameType.OPEN: self.on_open,
            FrameType.HEAD: self.on_head,
            FrameType.DATA: self.on_data,
            FrameType.TRAILERS: self.on_trailers,
            FrameType.CLOSE: self.on_close,
            FrameType.RESET: self.on_reset,
            FrameType.WINDOW: self.on_window,
        }

    def on_open(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Open a stream."""
        table = self._table
        if self._is_edge:
            raise StreamStateError(GoawayCode.STREAM_STATE, "only the edge opens streams")
        if not table.last_id < stream_id <= MAX_STREAM_ID:
            raise StreamStateError(
                GoawayCode.STREAM_STATE, f"OPEN of stream {stream_id} after {table.last_id}"
            )
        if len(table.streams) >= self._max_streams:
            raise StreamStateError(
                GoawayCode.STREAM_LIMIT, f"more than {self._max_streams} streams are open"
            )
        kind, head, start = decode_request(payload)
        stream = table.add(stream_id, kind)
        stream.receive_open()
        end = flags & _END != 0
        data = self._take_inline_body(stream, payload, start, end)
        self._output.events.append(_new(StreamOpened, (stream_id, kind, head, data, end)))

    def on_head(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Take a response head, interim or final."""
        stream = self._table.find(stream_id)
        if not self._is_edge:
            raise StreamStateError(GoawayCode.STREAM_STATE, "only the app's side sends responses")
        if stream is None:
            self._output.overhead += 1
            return
        head, start = decode_response(payload)
        interim = 100 <= head.status < 200 and head.status != 101
        if interim:
            self._output.overhead += 1
        stream.receive(_INTERIM if interim else _HEAD)
        end = flags & _END != 0
        if interim and (end or start < len(payload)):
            raise FrameError(GoawayCode.FRAME_ERROR, f"HEAD {head.status} carries a body")
        data = self._take_inline_body(stream, payload, start, end)
        self._output.events.append(_new(HeadReceived, (stream_id, head, data, end)))

    def _take_inline_body(
        self, stream: Stream, payload: Payload, start: int, end: bool
    ) -> bytes | memoryview:
        """Accept the part of the body that an OPEN or HEAD frame carries after the head.

        Args:
            stream: Whose head has just been received.
            payload: Of the frame.
            start: Where the head ends.
            end: The body is complete.
        """
        size = len(payload) - start
        if end:
            stream.receive_end()
            # Within the floor, nothing of a direction that has ended is counted.
            if size > WINDOW_FLOOR:
                stream.receive_window.receive(size)
            self._table.close_if_over(stream)
        elif size:
            stream.receive_window.receive(size)
        if not size:
            return b""
        return bytes(payload[start:]) if size <= _SMALL else payload[start:]

    def on_data(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Take bytes of a body or of a WebSocket message."""
        stream = self._table.find(stream_id)
        if stream is None:
            self._output.overhead += 1
            return
        stream.receive(Step.DATA)
        size = len(payload)
        end = flags & _END != 0
        if not size and not end and stream.kind is not _WEBSOCKET:
            self._output.overhead += 1  # an empty message is one, an empty piece of a body is none
        flow_controlled_size = size + FRAME_HEADER_SIZE if size or not end else 0
        if flow_controlled_size:
            stream.receive_window.receive(flow_controlled_size)
        if end:
            stream.receive(Step.END)
            self._table.close_if_over(stream)
        data = bytes(payload) if size <= _SMALL else payload
        text, more = flags & Flag.TEXT != 0, flags & Flag.MORE != 0
        self._output.events.append(
            _new(DataReceived, (stream_id, data, flow_controlled_size, end, text, more))
        )

    def on_trailers(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Take trailers, which end the direction."""
        stream = self._table.find(stream_id)
        if stream is not None:
            stream.receive(Step.TRAILERS)
            self._output.events.append(TrailersReceived(stream_id, decode_fields(payload)))
            self._table.close_if_over(stream)
        else:
            self._output.overhead += 1

    def on_close(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Take a WebSocket close, which ends the direction."""
        if not 2 <= len(payload) <= 2 + MAX_CLOSE_REASON_SIZE:
            raise FrameError(GoawayCode.FRAME_ERROR, f"CLOSE of {len(payload)} bytes")
        stream = self._table.find(stream_id)
        if stream is not None:
            stream.receive(Step.CLOSE)
            code = payload[0] << 8 | payload[1]
            reason = read_sentence(payload[2:])
            self._output.events.append(CloseReceived(stream_id, code, reason))
            self._table.close_if_over(stream)
        else:
            self._output.overhead += 1

    def on_reset(self, flags: int, stream_id: int, payload: Payload) -> None:
        """End both directions."""
        if len(payload) < 2:
            raise FrameError(GoawayCode.FRAME_ERROR, f"RESET of {len(payload)} bytes")
        table = self._table
        stream = table.find(stream_id)
        if stream is None:
            # The peer had not seen this direction's end: it has given both windows back.
            table.drop_unread(stream_id)
            table.release_closed(stream_id)
            self._output.overhead += 1
            return
        table.reset(stream)
        code = payload[0] << 8 | payload[1]
        self._output.events.append(StreamReset(stream_id, code, read_sentence(payload[2:])))

    def on_window(self, flags: int, stream_id: int, payload: Payload) -> None:
        """Let a stream send more."""
        consumed, growth = unpack(WINDOW, payload)
        table = self._table
        stream = table.find(stream_id)
        if stream is None or consumed < MIN_RETURN:
            self._output.overhead += 1
        if stream is None:
            table.credit_closed(stream_id, consumed)
        elif stream.sending is not None or stream.sent is not _ENDED:
            # (A short response has ended without a window; what returns of it is of no use.)
            stream.send_window.credit(consumed, growth)
            if stream.outbox:
                table.scheduler.add(stream)
        table.scheduler.wake_starved()
