"""Relays one WebSocket between a visitor and a stream, from the handshake to the close codes.

A refusal of the app is an ordinary response and leaves through the same
:class:`.writer.ResponseWriter` as every other one; after 101 the visitor's frames are read and
written here, over the :class:`.writer.ByteChannel` that the upgrade gave.
"""

from __future__ import annotations

import math
import time
from enum import Enum, auto
from typing import Final

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Fields, HeadError, RequestHead, ResponseHead, add_visitor
from asgi_tunnel.protocol.output import LARGE
from asgi_tunnel.protocol.overhead import Allowance

from ..context import EdgeContext
from ..errors import WebSocketError
from ..observers.access_log import Entry
from ..observers.observer import notify
from ..replies import RETRY_AFTER, Reply
from ..request import Request
from ..route import Route, Upstream
from . import websocket_frames as frames
from .fields import bad_fields
from .http import BROKEN, LOST, TOO_LARGE_A_HEAD
from .placement import Placed, Placement, Repeat
from .websocket_frames import Control, FrameReader
from .writer import ByteChannel, ResponseWriter

CLOSE_TIMEOUT: Final = 10.0
"""Seconds a visitor gets to answer a close frame (uvicorn's number)."""

MAX_PONGS: Final = 16
"""Pings answered in one read: of a flood, the rest gets no pong, as RFC 6455 5.5.3 allows."""


OVERHEAD_RATE: Final = 1000
"""Frames without content that a visitor may send a second: pings, pongs, empty messages, fragments
smaller than their header. A browser sends none; a message with content is none."""

OVERHEAD_BURST: Final = 65_536
"""The same at once: what a program sends that empties its queue."""


class _Phase(Enum):
    WAITING = auto()  # no upstream yet
    ASKED = auto()  # the app has not responded to the handshake
    DENYING = auto()  # the app refuses with a response of its own
    OPEN = auto()
    CLOSING = auto()  # a close frame was sent, the visitor's is due
    OVER = auto()


class WebSocketExchange(Placed):
    """One WebSocket; the stream's handler on the edge.

    Large because it is the handler of both sides, and each of their ends depends on the other's.

    Args:
        writer: Of the visitor's front.
        request: The handshake.
        head: The same for the wire.
        route: Whose sessions to use.
        context: Clock, limits and observers.
    """

    __slots__ = (
        "_allowance",
        "_channel",
        "_context",
        "_deadline",
        "_fragment",
        "_head",
        "_heard",
        "_is_app_done",
        "_is_pinged",
        "_is_visitor_done",
        "_outcome",
        "_phase",
        "_placement",
        "_reader",
        "_request",
        "_route",
        "_sent",
        "_status",
        "_stream_id",
        "_unconsumed",
        "_upstream",
        "_writer",
    )

    def __init__(
        self,
        writer: ResponseWriter,
        request: Request,
        head: RequestHead,
        route: Route,
        context: EdgeContext,
    ) -> None:
        super().__init__()
        self._writer = writer
        self._request = request
        self._head = head
        self._route = route
        self._context = context
        self._phase = _Phase.WAITING
        self._channel: ByteChannel | None = None  # once the handshake is done
        self._upstream: Upstream | None = None
        self._stream_id = 0
        # An app may act on a handshake, and a WebSocket's own client tries again.
        self._placement = Placement(route, writer, repeat=Repeat.NEVER, gives_up=True)
        self._reader = FrameReader(context.limits.max_websocket_message)
        self._fragment = False  # a message toward the visitor is in progress
        self._unconsumed = 0  # flow-controlled bytes that the visitor has not taken yet
        self._is_app_done = False  # the app has sent CLOSE
        self._is_visitor_done = False  # CLOSE was sent to the app
        self._heard = 0.0
        self._is_pinged = False
        self._deadline = math.inf
        self._sent = 0
        self._status = 0
        self._outcome = ""
        self._allowance: Allowance | None = None  # made for the first frame without content

    @property
    def is_over(self) -> bool:
        """See :class:`.writer.Exchange`."""
        return self._phase is _Phase.OVER

    # -- the handshake -----------------------------------------------------------------------

    @property
    def request(self) -> Request | None:
        """See :class:`.placement.Placed`."""
        return self._request

    @property
    def visitor(self) -> str:
        """See :class:`.placement.Placed`."""
        return self._head.arrival.peer_host.decode("latin-1")

    def start(self) -> None:
        """See :class:`.writer.Exchange`."""
        self._placement.start(self)

    def open_on(self, upstream: Upstream) -> None:
        """See :class:`.placement.Placed`."""
        self._upstream = upstream
        self._phase = _Phase.ASKED
        head = self._head
        if self.identity and upstream.takes_visitor:
            head = add_visitor(head, self.identity)
        try:
            self._stream_id = upstream.open_stream(StreamKind.WEBSOCKET, head, self, end=False)
        except HeadError:
            self._upstream = None
            self._writer.release()
            self.refuse(TOO_LARGE_A_HEAD)

    def time_out(self) -> None:
        """See :class:`.writer.Exchange`."""
        self._placement.time_out()

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """See :meth:`.placement.Placement.stalled`."""
        if self._phase is _Phase.ASKED:
            self._placement.stalled(self, self._stream_id, lost_for, hold)

    def send_body(self, data: bytes, *, end: bool) -> None:
        """Not for a handshake: it has no body."""

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Complete the handshake, or pass on the app's refusal."""
        if head.status == 101:
            if end or len(data):
                self._reset(ResetCode.PROTOCOL_ERROR, "a body on a handshake")
                self.refuse(Reply(502, BROKEN, reason="app-failed"))
            else:
                self._accept(head)
        elif head.status >= 200:
            self._deny(head, data, end)

    def _accept(self, head: ResponseHead) -> None:
        why = bad_fields(head.fields) or self._bad_subprotocol(head.fields)
        if why is not None:
            self._reset(ResetCode.PROTOCOL_ERROR, why)
            why = f"the app's response was refused: {why}"
            self.refuse(Reply(502, why, reason="bad-response"))
            return
        self._phase = _Phase.OPEN
        self._status = 101
        self._heard = self._context.now()
        self._channel = channel = self._writer.upgrade(head, self)
        channel.resume_reading()  # bytes that came before the handshake was done
        context = self._context
        if context.is_stopping and (context.is_ending or not context.is_replaced):
            self.shut_down()  # those that were open before it have been

    def _bad_subprotocol(self, fields: Fields) -> str | None:
        chosen = [value for name, value in fields if name == b"sec-websocket-protocol"]
        if not chosen:
            return None
        offered = {
            one.strip()
            for name, value in self._request.fields
            if name == b"sec-websocket-protocol"
            for one in value.split(b",")
        }
        if len(chosen) > 1 or chosen[0] not in offered:
            return "it chose a subprotocol that was not offered"
        return None

    def _deny(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Pass on a response that is not 101; its first bytes count as flow-controlled."""
        if self._phase is not _Phase.ASKED:
            self._reset(ResetCode.PROTOCOL_ERROR, "a second head")
            self._give_up(BROKEN)
            return
        why = self._writer.start(head, data, end=end)
        if why is not None and not self._writer.has_started:
            self._reset(ResetCode.PROTOCOL_ERROR, why)
            self.refuse(Reply(502, "the app's response was refused", reason="bad-response"))
            return
        self._phase = _Phase.DENYING
        self._status = head.status
        self._tell_app(1006, "")
        self._denied(why, len(data), len(data), end)

    def _denied(self, why: str | None, size: int, flow_controlled_size: int, end: bool) -> None:
        """Account for a piece of a refusal that was written."""
        self._sent += size
        if why is not None:
            self._reset(ResetCode.PROTOCOL_ERROR, why)
            self._give_up(why)
        elif not end:
            self._credit(flow_controlled_size)
        else:
            self._is_app_done = True
            self._release()
            self._finish()
            self._writer.finish()

    # -- from the visitor --------------------------------------------------------------------

    def data_received(self, data: bytes) -> bytes:
        """Read frames and relay what they carry; see :class:`.writer.Exchange`."""
        self._heard = self._context.now()
        self._is_pinged = False
        channel = self._channel
        if self._phase is _Phase.OVER or channel is None:
            return b""
        pongs = 0
        self.overhead = 0
        reader = self._reader
        try:
            for item in reader.feed(data):
                if isinstance(item, Control):
                    if item.opcode == frames.PING:
                        pongs += 1
                        if pongs <= MAX_PONGS and self._may_pong(channel):
                            head = frames.encode_header(frames.PONG, len(item.payload))
                            channel.write(head + item.payload)
                    elif item.opcode == frames.CLOSE:
                        self._visitor_closed(channel, *frames.read_close(item.payload))
                        return b""
                elif self._phase is _Phase.OPEN and self._upstream is not None:
                    room = self._upstream.send_data(
                        self._stream_id, item.data, text=item.is_text, more=not item.is_last
                    )
                    if not room:
                        channel.pause_reading()
                        self._heard = math.inf  # unread, it cannot be judged silent
            if reader.overhead:
                self._count_overhead()
        except WebSocketError as error:
            # RFC 6455 section 7.1.7: what follows is not read, not even the visitor's own close.
            self._outcome = error.why
            self._close(error.code, error.why)
            self._tell_app(error.code, error.why)
            self._finish()
            channel.close()
            return b""
        return reader.rest

    def _count_overhead(self) -> None:
        reader, allowance = self._reader, self._allowance
        if allowance is None:
            allowance = self._allowance = Allowance(OVERHEAD_RATE, OVERHEAD_BURST)
        self.overhead, reader.overhead = reader.overhead, 0
        if not allowance.take(self.overhead, self._context.now()):
            raise WebSocketError(1008, "too many frames came that carry nothing")

    def _may_pong(self, channel: ByteChannel) -> bool:
        """Whether a ping gets a pong: not of a visitor that pings and does not read."""
        return self._phase is _Phase.OPEN and not channel.is_stalled

    def _visitor_closed(self, channel: ByteChannel, code: int, reason: str) -> None:
        if self._phase is _Phase.OPEN:
            channel.write(frames.encode_close(code))
        self._tell_app(code, reason)
        self._finish()
        channel.close()

    def abandon(self, code: int, outcome: str, status: int) -> None:
        """See :class:`.writer.Exchange`: the visitor is gone without a close frame."""
        self._placement.cancel()
        if self._phase in (_Phase.ASKED, _Phase.DENYING):
            self._reset(ResetCode(code), outcome)
        else:
            self._tell_app(1006, "")
        self._outcome = self._outcome or outcome
        self._finish()

    def writable(self) -> None:
        """See :class:`.writer.Exchange`."""
        size, self._unconsumed = self._unconsumed, 0
        if size and self._upstream is not None:
            self._upstream.consume(self._stream_id, size)

    def check(self, now: float) -> None:
        """Ping a silent visitor; end one that sends no pong."""
        channel = self._channel
        if channel is None:
            return
        if now >= self._deadline:
            channel.cut()
        elif self._phase is _Phase.OPEN:
            interval = self._context.limits.websocket_ping_interval
            if now - self._heard > 2 * interval:
                self._outcome = "visitor is silent"
                self._tell_app(1006, "the visitor did not answer a ping")
                self._close(1011, "no pong in time")
            elif now - self._heard > interval and not self._is_pinged:
                self._is_pinged = True
                channel.write(frames.encode_header(frames.PING, 0))

    def shut_down(self) -> None:
        """The edge stops."""
        if self._phase is _Phase.OPEN:
            self._tell_app(1012, "the edge restarts")
            self._close(1012, "the edge restarts")

    # -- from the app (StreamHandler) --------------------------------------------------------

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Send a message, or a fragment of one; or a piece of a refusal."""
        channel = self._channel
        if self._phase is _Phase.DENYING:
            self._denied(self._writer.data(data, end=end), len(data), flow_controlled_size, end)
            return
        if self._phase is _Phase.OPEN and channel is not None:
            opcode = frames.CONTINUATION
            if not self._fragment:
                opcode = frames.TEXT if text else frames.BINARY
            self._fragment = more
            head = frames.encode_header(opcode, len(data), is_final=not more)
            if len(data) >= LARGE:
                channel.write_large((head, data))
            else:
                channel.write(b"".join((head, data)))
            self._sent += len(data)
        self._credit(flow_controlled_size)
        if end and self._phase is _Phase.OPEN:  # without the CLOSE that ends a WebSocket
            self._reset(ResetCode.PROTOCOL_ERROR, "END on a WebSocket")
            self._outcome = BROKEN
            self._close(1011, "the app failed")

    def on_close(self, code: int, reason: str) -> None:
        """The app closes, or answers the visitor's close."""
        self._is_app_done = True
        self._tell_app(code, reason)
        if self._phase is _Phase.OPEN:
            may_send = code == 1005 or frames.is_close_code(code)
            self._close(code if may_send else 1011, reason)
        self._release()

    def on_reset(self, code: int, reason: str) -> None:
        """The stream is over: say why, as far as a close code can."""
        self._is_visitor_done = self._is_app_done = True
        if self._phase is _Phase.ASKED:
            if code in (ResetCode.REFUSED, ResetCode.SESSION_LOST):
                self.refuse(Reply(503, LOST, RETRY_AFTER, reason="tunnel-lost"))
            else:
                self.refuse(Reply(502, "the app gave up on the request", reason="app-failed"))
        elif self._phase is _Phase.DENYING:
            self._give_up(reason)
        elif self._phase is _Phase.OPEN:
            self._outcome = reason or "tunnel lost"
            if code == ResetCode.SESSION_LOST:
                self._close(1014, LOST)
            elif code == ResetCode.REFUSED:
                self._close(1012, "the app restarts")
            else:
                self._close(1011, "the app failed")

    def on_trailers(self, fields: Fields) -> None:
        """End a refusal; not for a WebSocket."""
        if self._phase is _Phase.DENYING:
            self._denied(self._writer.trailers(fields), 0, 0, True)
            return
        self._reset(ResetCode.PROTOCOL_ERROR, "TRAILERS on a WebSocket")
        self.on_reset(ResetCode.PROTOCOL_ERROR, "")

    def on_writable(self) -> None:
        """Go on reading."""
        self._heard = self._context.now()
        if self._channel is not None:
            self._channel.resume_reading()

    # -- inside ------------------------------------------------------------------------------

    def _credit(self, size: int) -> None:
        if self._writer.is_paused and self._phase is not _Phase.OVER:
            self._unconsumed += size
        elif self._upstream is not None:
            self._upstream.consume(self._stream_id, size)

    def _tell_app(self, code: int, reason: str) -> None:
        """End the visitor's direction, once."""
        if not self._is_visitor_done and self._upstream is not None:
            self._is_visitor_done = True
            self._upstream.send_close(self._stream_id, code, reason)
            self._release()

    def _release(self) -> None:
        if self._is_app_done and self._is_visitor_done and self._upstream is not None:
            self._upstream.release(self._stream_id)

    def _close(self, code: int, reason: str) -> None:
        """Send a close frame and wait for the visitor's."""
        channel = self._channel
        if self._phase is _Phase.OPEN and channel is not None:
            self._phase = _Phase.CLOSING
            self._deadline = self._context.now() + CLOSE_TIMEOUT
            channel.write(frames.encode_close(code, reason))
            channel.resume_reading()

    def _reset(self, code: ResetCode, why: str) -> None:
        self._is_visitor_done = self._is_app_done = True
        if self._upstream is not None:
            self._upstream.reset_stream(self._stream_id, code, why)

    def refuse(self, reply: Reply) -> None:
        """See :class:`.placement.Placed`."""
        if self._phase is _Phase.OVER:
            return
        self._outcome = reply.why
        self._status = reply.status
        self._finish()
        self._writer.reply(reply, request_id=self._head.request_id)

    def _give_up(self, why: str) -> None:
        """Cut a refusal that has begun and cannot be completed."""
        self._outcome = why
        self._finish()
        self._writer.abort()

    def _finish(self) -> None:
        if self._phase is _Phase.OVER:
            return
        self._phase = _Phase.OVER
        self._placement.end()
        self._deadline = math.inf
        self.writable()  # a visitor that left without reading takes no more: nobody else would ask
        head = self._head
        entry = Entry(
            head.request_id,
            head.arrival.peer_host,
            head.method,
            self._route.hostname,
            head.target,
            self._status or 499,
            self._sent,
            time.perf_counter() - self._placement.started,
            self._outcome,
        )
        notify(self._context.observers, entry)
