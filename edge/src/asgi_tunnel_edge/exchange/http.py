"""Relays one HTTP exchange between a visitor and a stream.

The request was read and checked by the visitor's front; :mod:`.placement` finds the upstream, and
the front's :class:`.writer.ResponseWriter` turns the response into bytes. What is here: which
phase the exchange is in, window given back as the visitor takes bytes, and its end.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Fields, HeadError, RequestHead, ResponseHead, add_visitor
from asgi_tunnel.protocol.limits import WINDOW_FLOOR

from ..observers.access_log import Entry
from ..observers.observer import ExchangeObserver
from ..replies import RETRY_AFTER, Reply
from ..request import Request
from ..route import Route, Upstream
from .placement import Placed, Placement, Repeat
from .writer import ResponseWriter

_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})

TOO_LARGE_A_HEAD: Final = Reply(431, "the request head is too large to be relayed", closes=False)
LOST: Final = "the tunnel to the app was lost"
BROKEN: Final = "the app's side broke the tunnel's protocol"
TAKES_NONE: Final = Reply(
    503, "the app takes no requests at the moment", RETRY_AFTER, closes=False, reason="app-busy"
)


class _Phase(Enum):
    WAITING = auto()  # no upstream yet
    SENT = auto()  # the request is on its way, no byte of the response has come
    RESPONDING = auto()  # the head of the response has left
    OVER = auto()


# Aliases: docs/adr/0006-compiled-wheels.md.
_WAITING: Final = _Phase.WAITING
_SENT: Final = _Phase.SENT
_RESPONDING: Final = _Phase.RESPONDING
_OVER: Final = _Phase.OVER
_NEVER: Final = Repeat.NEVER
_IF_REFUSED: Final = Repeat.IF_REFUSED
_IF_LOST: Final = Repeat.IF_LOST
_HTTP: Final = StreamKind.HTTP
_new: Final = tuple.__new__


class HTTPExchange(Placed):
    """One HTTP exchange; the stream's handler on the edge.

    Args:
        writer: Of the visitor's front.
        request: What was read.
        head: The same for the wire.
        route: Whose sessions to use.
        observers: Hear of the exchange at its end.
    """

    __slots__ = (
        "_head",
        "_is_body_sent",
        "_observers",
        "_outcome",
        "_phase",
        "_placement",
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
        observers: Sequence[ExchangeObserver],
    ) -> None:
        super().__init__()
        self._writer = writer
        self._request = request
        self._head = head
        self._route = route
        self._observers = observers
        self._phase = _WAITING
        self._upstream: Upstream | None = None
        self._stream_id = 0
        is_bodiless = request.length == 0
        self._is_body_sent = is_bodiless
        if not is_bodiless:
            repeat = _NEVER
        elif request.method in _SAFE:
            repeat = _IF_LOST
        else:
            repeat = _IF_REFUSED
        self._placement = Placement(route, writer, repeat=repeat, gives_up=repeat is _IF_LOST)
        self._unconsumed = 0  # flow-controlled bytes that the visitor has not taken yet
        self._sent = 0
        self._status = 0
        self._outcome = ""

    @property
    def is_over(self) -> bool:
        """See :class:`.writer.Exchange`."""
        return self._phase is _OVER

    # -- the request -------------------------------------------------------------------------

    @property
    def request(self) -> Request | None:
        """See :class:`.placement.Placed`."""
        return self._request

    @property
    def visitor(self) -> str:
        """See :class:`.placement.Placed`."""
        return self._head.arrival.peer_host.decode("latin-1")

    def start(self) -> None:
        """See :class:`.writer.Exchange`; the body comes after."""
        self._placement.start(self)

    def open_on(self, upstream: Upstream) -> None:
        """See :class:`.placement.Placed`."""
        self._upstream = upstream
        self._phase = _SENT
        head = self._head
        if self.identity and upstream.takes_visitor:
            head = add_visitor(head, self.identity)
        try:
            self._stream_id = upstream.open_stream(_HTTP, head, self, end=self._is_body_sent)
        except HeadError:
            self._upstream = None
            self._writer.release()
            self.refuse(TOO_LARGE_A_HEAD)

    def send_body(self, data: bytes, *, end: bool) -> None:
        """See :class:`.writer.Exchange`."""
        if end:
            self._is_body_sent = True
        upstream = self._upstream
        if upstream is None or self._phase is _OVER:
            return
        if not upstream.send_data(self._stream_id, data, end=end) and not end:
            self._writer.pause_request()

    def abandon(self, code: int, outcome: str, status: int) -> None:
        """See :class:`.writer.Exchange`."""
        if self._phase is _OVER:
            return
        self._placement.cancel()
        if self._upstream is not None:
            self._upstream.reset_stream(self._stream_id, ResetCode(code))
        self._outcome = outcome
        self._end(self._status or status)

    def time_out(self) -> None:
        """See :class:`.writer.Exchange`."""
        self._placement.time_out()

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """See :meth:`.placement.Placement.stalled`."""
        if self._phase is _SENT:
            self._placement.stalled(self, self._stream_id, lost_for, hold)

    def writable(self) -> None:
        """See :class:`.writer.Exchange`."""
        size, self._unconsumed = self._unconsumed, 0
        if size and self._upstream is not None:
            self._upstream.consume(self._stream_id, size)

    # -- the response (StreamHandler) --------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Send the head of the response, and its first bytes, in one write."""
        status = head.status
        if status < 200:
            self._informational(head)
            return
        why = self._writer.start(head, data, end=end)
        if why is not None:
            self._reset(ResetCode.PROTOCOL_ERROR, why)
            if self._writer.has_started:
                self._status = status
                self._sent += len(data)
                self._abort(why)
            else:
                self.refuse(_bad_response(why))
            return
        self._phase = _RESPONDING
        self._status = status
        size = len(data)
        # A small response that came whole is below the floor: no window waits for it.
        self._account(size, 0 if end and size <= WINDOW_FLOOR else size, end)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Send a piece of the response's body."""
        if self._phase is not _RESPONDING:
            return
        why = self._writer.data(data, end=end)
        if why is not None:
            self._unconsumed += flow_controlled_size
            self._reset(ResetCode.PROTOCOL_ERROR, why)
            self._abort(why)
            return
        self._account(len(data), flow_controlled_size, end)

    def on_trailers(self, fields: Fields) -> None:
        """End the response with trailers."""
        if self._phase is not _RESPONDING:
            return
        why = self._writer.trailers(fields)
        if why is not None:
            self._reset(ResetCode.PROTOCOL_ERROR, why)
            self._abort(why)
        else:
            self._complete()

    def on_close(self, code: int, reason: str) -> None:
        """Not for HTTP: the app's side broke the protocol."""
        self._reset(ResetCode.PROTOCOL_ERROR, "CLOSE on an exchange")
        self._fail(BROKEN)

    def on_writable(self) -> None:
        """Go on with the request body."""
        self._writer.resume_request()

    def on_reset(self, code: int, reason: str) -> None:
        """The app gave the exchange up, or its session is lost: try again, or say so."""
        if self._phase is not _SENT:
            self._fail(reason or "the tunnel was lost")
        elif self._placement.lost(self, code):
            if self._placement.is_waiting:
                self._phase = _WAITING
                self._upstream = None
        elif code == ResetCode.SESSION_LOST:
            self._fail(LOST, "tunnel-lost")
        elif code == ResetCode.REFUSED:
            self.refuse(TAKES_NONE)
        else:
            self._fail("the app gave up on the request")

    # -- inside ------------------------------------------------------------------------------

    def _informational(self, head: ResponseHead) -> None:
        if head.status == 101:
            self._reset(ResetCode.PROTOCOL_ERROR, "101 on an exchange")
            self._fail("the app tried to change the protocol")
        elif head.status != 100 or not self._is_body_sent:
            self._writer.informational(head)

    def _account(self, size: int, flow_controlled_size: int, end: bool) -> None:
        """Give the window of what was written back, now or when the visitor has taken it."""
        self._sent += size
        if end:
            self._unconsumed += flow_controlled_size
            self._complete()
        elif flow_controlled_size:
            if self._writer.is_paused:
                self._unconsumed += flow_controlled_size
            elif self._upstream is not None:
                self._upstream.consume(self._stream_id, flow_controlled_size)

    def _complete(self) -> None:
        upstream = self._upstream
        if upstream is not None:
            if self._is_body_sent:
                upstream.release(self._stream_id)
                if self._unconsumed:
                    upstream.consume(self._stream_id, self._unconsumed)
            else:
                upstream.reset_stream(self._stream_id, ResetCode.CANCELLED, "an early response")
        self._end(self._status)
        self._writer.finish()

    def _reset(self, code: ResetCode, why: str) -> None:
        if self._upstream is not None:
            self._upstream.reset_stream(self._stream_id, code, why)

    def refuse(self, reply: Reply) -> None:
        """See :class:`.placement.Placed`: nothing of a response has been sent."""
        if self._phase is _OVER:
            return  # what came of its body while it waited is malformed, which ends it
        self._outcome = reply.why
        self._end(reply.status)
        keep_alive = self._is_body_sent and not reply.closes
        self._writer.reply(reply, request_id=self._head.request_id, keep_alive=keep_alive)

    def _fail(self, why: str, reason: str = "app-failed") -> None:
        """502 when nothing was sent; else cut."""
        if self._phase is _SENT:
            self.refuse(Reply(502, why, closes=False, reason=reason))
        elif self._phase is _RESPONDING:
            self._abort(why)

    def _abort(self, why: str) -> None:
        self._outcome = why
        self._end(self._status)
        self._writer.abort()

    def _end(self, status: int) -> None:
        self._phase = _OVER
        self._placement.end()
        head = self._head
        entry = _new(
            Entry,
            (
                head.request_id,
                head.arrival.peer_host,
                head.method,
                self._route.hostname,
                head.target,
                status,
                0 if head.method == b"HEAD" else self._sent,
                time.perf_counter() - self._placement.started,
                self._outcome,
            ),
        )
        for observer in self._observers:
            observer.closed(entry)


def _bad_response(why: str) -> Reply:
    why = f"the app's response was refused: {why}"
    return Reply(502, why, closes=False, reason="bad-response")
