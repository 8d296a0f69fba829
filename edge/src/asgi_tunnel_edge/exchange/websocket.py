"""Relays one WebSocket between a visitor and a stream, from the handshake to the close codes."""

from __future__ import annotations

import math
import re
import time
from enum import Enum, auto
from typing import TYPE_CHECKING, Final

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Fields, HeadError, RequestHead, ResponseHead
from asgi_tunnel.session import Session
from asgi_tunnel.transport import LARGE

from ..directory import Route
from ..observers.access_log import Entry
from ..replies import accept_field, answer, date_field, status_line
from ..request import Request
from . import websocket_frames as frames
from .http import HOP_FIELDS, RETRY_AFTER, bad_fields
from .websocket_frames import Control, FrameReader, WebSocketError

if TYPE_CHECKING:
    from ..context import Ingress
    from ..http1.connection import Visitor

_DIGITS: Final = re.compile(rb"[0-9]{1,18}").fullmatch

CLOSE_TIMEOUT: Final = 10.0
"""Seconds a visitor gets to answer a close frame (uvicorn's number)."""

MAX_PONGS: Final = 16
"""Pings answered in one read: of a flood, the rest gets no answer, as RFC 6455 5.5.3 allows."""


class _Phase(Enum):
    HELD = auto()  # waits for a session
    ASKED = auto()  # the app has not answered the handshake
    DENYING = auto()  # the app refuses with an answer of its own
    OPEN = auto()
    CLOSING = auto()  # a close frame was sent, the visitor's is due
    OVER = auto()


class WebSocketRelay:
    """One WebSocket; the stream's handler on the edge.

    Args:
        visitor: The connection.
        request: The handshake.
        head: The same for the wire.
        route: Whose session to use.
        ingress: Shared things: clock, limits, log.
    """

    __slots__ = (
        "_deadline",
        "_fragment",
        "_head",
        "_heard",
        "_ingress",
        "_is_app_done",
        "_is_pinged",
        "_is_visitor_done",
        "_left",
        "_outcome",
        "_owed",
        "_phase",
        "_reader",
        "_request",
        "_route",
        "_sent",
        "_session",
        "_started",
        "_status",
        "_stream_id",
        "_visitor",
    )

    def __init__(
        self,
        visitor: Visitor,
        request: Request,
        head: RequestHead,
        route: Route,
        ingress: Ingress,
    ) -> None:
        self._visitor = visitor
        self._request = request
        self._head = head
        self._route = route
        self._ingress = ingress
        self._phase = _Phase.HELD
        self._session: Session | None = None
        self._stream_id = 0
        self._reader = FrameReader(ingress.limits.max_websocket_message)
        self._fragment = False  # a message toward the visitor is in progress
        self._owed = 0  # cost of bytes that the visitor has not taken yet
        self._is_app_done = False  # the app has sent CLOSE
        self._is_visitor_done = False  # CLOSE was sent to the app
        self._heard = 0.0
        self._is_pinged = False
        self._deadline = math.inf
        self._left: int | None = None  # bytes of a refusal still to come, when they are announced
        self._sent = 0
        self._status = 0
        self._outcome = ""
        self._started = time.perf_counter()

    @property
    def is_open(self) -> bool:
        """Whether frames are spoken: the handshake is done."""
        return self._phase in (_Phase.OPEN, _Phase.CLOSING)

    # -- the handshake -----------------------------------------------------------------------

    def start(self) -> None:
        """Choose a session and ask the app, or wait for one."""
        session = self._route.choose()
        if session is not None:
            self._open(session)
        elif self._route.wait(self._resume):
            self._visitor.hold(self._route)
        else:
            self._refuse(503, "too many visitors wait for this app", RETRY_AFTER)

    def time_out(self) -> None:
        """No session came in time."""
        self._route.give_up(self._resume)
        self._refuse(503, "the app behind this name is not connected", RETRY_AFTER)

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """The session is away: a handshake waits no longer than for an app that is offline."""
        waited = min(lost_for, time.perf_counter() - self._started)
        if self._phase is _Phase.ASKED and waited >= hold:
            self._reset(ResetCode.CANCELLED, "the app is not connected")
            self._refuse(503, "the app behind this name is not connected", RETRY_AFTER)

    def _resume(self, session: Session) -> None:
        self._open(session)
        self._visitor.released()

    def _open(self, session: Session) -> None:
        self._session = session
        self._phase = _Phase.ASKED
        try:
            self._stream_id = session.open_stream(StreamKind.WEBSOCKET, self._head, self, end=False)
        except HeadError:
            self._refuse(431, "the request head is too large to be relayed")

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Complete the handshake, or pass on the app's refusal."""
        if head.status == 101:
            if end or len(data):
                self._reset(ResetCode.PROTOCOL_ERROR, "a body on a handshake")
                self._refuse(502, "the app's side broke the tunnel's protocol")
            else:
                self._accept(head)
        elif head.status >= 200:
            self._deny(head, data, end)

    def _accept(self, head: ResponseHead) -> None:
        why = bad_fields(head.fields) or self._bad_subprotocol(head.fields)
        if why is not None:
            self._reset(ResetCode.PROTOCOL_ERROR, why)
            self._refuse(502, f"the app's answer was refused: {why}")
            return
        key = self._request.websocket_key
        assert key is not None
        lines = [
            status_line(101),
            b"upgrade: websocket\r\nconnection: Upgrade\r\n",
            accept_field(key),
            date_field(),
        ]
        for name, value in head.fields:
            if name not in HOP_FIELDS and name not in _OWN_FIELDS:
                lines.append(name + b": " + value + b"\r\n")
        lines.append(b"\r\n")
        self._visitor.write(b"".join(lines))
        self._phase = _Phase.OPEN
        self._status = 101
        self._heard = self._ingress.now()
        self._visitor.taken_over()

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
        """Pass on an answer that is not 101.  The connection closes after it."""
        why = bad_fields(head.fields) or self._bad_length(head)
        if why is not None or self._phase is not _Phase.ASKED:
            self._reset(ResetCode.PROTOCOL_ERROR, why or "a second head")
            self._refuse(502, "the app's answer was refused")
            return
        self._phase = _Phase.DENYING
        self._status = head.status
        lines = [status_line(head.status), date_field()]
        for name, value in head.fields:
            if name not in HOP_FIELDS and name != b"date":
                lines.append(name + b": " + value + b"\r\n")
        lines.append(b"connection: close\r\n\r\n")
        self._visitor.write(b"".join(lines))
        self._visitor.taken_over()
        self._tell_app(1006, "")
        self._deny_body(data, len(data), end)

    def _bad_length(self, head: ResponseHead) -> str | None:
        """Note how long the refusal is; return what is wrong with what it says about that."""
        lengths = [value for name, value in head.fields if name == b"content-length"]
        if lengths:
            if len(lengths) > 1 or not _DIGITS(lengths[0]):
                return "its Content-Length is no single number"
            self._left = int(lengths[0])
        if head.status in (204, 304):
            self._left = 0
        return None

    def _deny_body(self, data: Buffer, cost: int, end: bool) -> None:
        if self._left is not None:
            data = data[: self._left]  # bytes beyond could pass for an answer of their own
            self._left -= len(data)
        self._visitor.write(bytes(data))
        self._sent += len(data)
        if not end:
            self._credit(cost)
            return
        self._is_app_done = True
        self._release()
        self._finish()
        if self._left:
            self._visitor.cut()
        else:
            self._visitor.close_soon()

    # -- from the visitor --------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Read frames and relay what they carry."""
        self._heard = self._ingress.now()
        self._is_pinged = False
        if self._phase is _Phase.OVER:
            return
        pongs = 0
        try:
            for item in self._reader.feed(data):
                if isinstance(item, Control):
                    if item.opcode == frames.PING:
                        pongs += 1
                        if pongs <= MAX_PONGS and self._may_pong():
                            head = frames.encode_header(frames.PONG, len(item.payload))
                            self._visitor.write(head + item.payload)
                    elif item.opcode == frames.CLOSE:
                        self._visitor_closed(*frames.read_close(item.payload))
                        return
                elif self._phase is _Phase.OPEN and self._session is not None:
                    room = self._session.send_data(
                        self._stream_id, item.data, text=item.is_text, more=not item.is_last
                    )
                    if not room:
                        self._visitor.pause_body()
                        self._heard = math.inf  # unread, it cannot be judged silent
        except WebSocketError as error:
            # RFC 6455 section 7.1.7: what follows is not read, not even an answer to the close.
            self._outcome = error.why
            self._close(error.code, error.why)
            self._tell_app(error.code, error.why)
            self._finish()
            self._visitor.close_soon()

    def _may_pong(self) -> bool:
        """Whether a ping is answered: not for one who pings and does not read."""
        return self._phase is _Phase.OPEN and not self._visitor.is_stalled

    def _visitor_closed(self, code: int, reason: str) -> None:
        if self._phase is _Phase.OPEN:
            self._visitor.write(frames.encode_close(code))
        self._tell_app(code, reason)
        self._finish()
        self._visitor.close_soon()

    def connection_lost(self) -> None:
        """The visitor is gone without a close frame."""
        if self._phase is _Phase.HELD:
            self._route.give_up(self._resume)
        elif self._phase in (_Phase.ASKED, _Phase.DENYING):
            self._reset(ResetCode.CANCELLED, "visitor left")
        else:
            self._tell_app(1006, "")
        self._outcome = self._outcome or ("visitor left" if self._phase is not _Phase.OVER else "")
        self._finish()

    def writable(self) -> None:
        """The visitor took what was written: let the app send more."""
        owed, self._owed = self._owed, 0
        if owed and self._session is not None:
            self._session.consume(self._stream_id, owed)

    def check(self, now: float) -> None:
        """Ping a silent visitor; end one that does not answer."""
        if now >= self._deadline:
            self._visitor.cut()
        elif self._phase is _Phase.OPEN:
            interval = self._ingress.limits.websocket_ping_interval
            if now - self._heard > 2 * interval:
                self._outcome = "visitor is silent"
                self._tell_app(1006, "the visitor did not answer a ping")
                self._close(1011, "no pong in time")
            elif now - self._heard > interval and not self._is_pinged:
                self._is_pinged = True
                self._visitor.write(frames.encode_header(frames.PING, 0))

    def shut_down(self) -> None:
        """The edge stops."""
        if self._phase is _Phase.OPEN:
            self._tell_app(1012, "the edge restarts")
            self._close(1012, "the edge restarts")

    # -- from the app (StreamHandler) --------------------------------------------------------

    def on_data(self, data: Buffer, cost: int, end: bool, text: bool, more: bool) -> None:
        """Send a message, or a fragment of one."""
        if self._phase is _Phase.DENYING:
            self._deny_body(data, cost, end)
            return
        if self._phase is _Phase.OPEN:
            opcode = frames.CONTINUATION
            if not self._fragment:
                opcode = frames.TEXT if text else frames.BINARY
            self._fragment = more
            head = frames.encode_header(opcode, len(data), is_final=not more)
            if len(data) >= LARGE:
                self._visitor.write_large((head, data))
            else:
                self._visitor.write(b"".join((head, data)))
            self._sent += len(data)
        self._credit(cost)
        if end and self._phase is _Phase.OPEN:  # without the CLOSE that ends a WebSocket
            self._reset(ResetCode.PROTOCOL_ERROR, "END on a WebSocket")
            self._outcome = "the app's side broke the tunnel's protocol"
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
                self._refuse(503, "the tunnel to the app was lost", RETRY_AFTER)
            else:
                self._refuse(502, "the app gave up on the request")
        elif self._phase is _Phase.DENYING:
            self._finish()
            self._visitor.cut()
        elif self._phase is _Phase.OPEN:
            self._outcome = reason or "tunnel lost"
            if code == ResetCode.SESSION_LOST:
                self._close(1014, "the tunnel to the app was lost")
            elif code == ResetCode.REFUSED:
                self._close(1012, "the app restarts")
            else:
                self._close(1011, "the app failed")

    def on_trailers(self, fields: Fields) -> None:
        """Not for a WebSocket."""
        self._reset(ResetCode.PROTOCOL_ERROR, "TRAILERS on a WebSocket")
        self.on_reset(ResetCode.PROTOCOL_ERROR, "")

    def on_writable(self) -> None:
        """Read on."""
        self._heard = self._ingress.now()
        self._visitor.resume_body()

    # -- inside ------------------------------------------------------------------------------

    def _credit(self, cost: int) -> None:
        if self._visitor.is_paused and self._phase is not _Phase.OVER:
            self._owed += cost
        elif self._session is not None:
            self._session.consume(self._stream_id, cost)

    def _tell_app(self, code: int, reason: str) -> None:
        """End the visitor's direction, once."""
        if not self._is_visitor_done and self._session is not None:
            self._is_visitor_done = True
            self._session.send_close(self._stream_id, code, reason)
            self._release()

    def _release(self) -> None:
        if self._is_app_done and self._is_visitor_done and self._session is not None:
            self._session.release(self._stream_id)

    def _close(self, code: int, reason: str) -> None:
        """Send a close frame and wait for the visitor's."""
        if self._phase is _Phase.OPEN:
            self._phase = _Phase.CLOSING
            self._deadline = self._ingress.now() + CLOSE_TIMEOUT
            self._visitor.write(frames.encode_close(code, reason))
            self._visitor.resume_body()

    def _reset(self, code: ResetCode, why: str) -> None:
        self._is_visitor_done = self._is_app_done = True
        if self._session is not None:
            self._session.reset_stream(self._stream_id, code, why)

    def _refuse(self, status: int, why: str, retry_after: int | None = None) -> None:
        self._outcome = why
        self._status = status
        self._visitor.write(
            answer(status, why, request_id=self._head.request_id, retry_after=retry_after)
        )
        self._finish()
        self._visitor.close_soon()

    def _finish(self) -> None:
        if self._phase is _Phase.OVER:
            return
        self._phase = _Phase.OVER
        self._deadline = math.inf
        self.writable()  # a visitor that left without reading takes no more: nobody else would ask
        head = self._head
        self._ingress.access_log.add(
            Entry(
                head.request_id,
                head.arrival.peer_host,
                head.method,
                self._route.hostname,
                head.target,
                self._status or 499,
                self._sent,
                time.perf_counter() - self._started,
                self._outcome,
            )
        )


_OWN_FIELDS: Final = frozenset(
    {b"sec-websocket-accept", b"sec-websocket-extensions", b"content-length", b"date"}
)
