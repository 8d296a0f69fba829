"""Relays the bytes of one connection between a visitor and a stream: end to end, unread.

What the visitor has sent so far is kept until the app's side accepts: a ClientHello changes nothing
yet, so that it may be sent again when the first upstream is lost. From then on a lost session ends
the connection.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from enum import Enum, auto
from typing import Final

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Fields, RequestHead, ResponseHead

from ..observers.access_log import Entry
from ..observers.observer import ExchangeObserver
from ..replies import Reply
from ..request import Request
from ..route import Route, Upstream
from .placement import Placed, Placement, Repeat
from .writer import Holder

__all__ = ["FIRST_BYTES", "ByteExchange", "ByteLine"]

FIRST_BYTES: Final = 64 * 1024
"""Bytes of a visitor that are kept until the app's side accepts; then reading stops."""

REFUSED: Final = "the app takes no end-to-end connections"


class _Phase(Enum):
    WAITING = auto()  # no upstream yet
    SENT = auto()  # the stream is open, and not accepted yet
    OPEN = auto()
    OVER = auto()


# Aliases: docs/adr/0006-compiled-wheels.md.
_WAITING: Final = _Phase.WAITING
_SENT: Final = _Phase.SENT
_OPEN: Final = _Phase.OPEN
_OVER: Final = _Phase.OVER
_BYTES: Final = StreamKind.BYTES
_new: Final = tuple.__new__


class ByteLine(Holder):
    """The visitor's connection, as its exchange sees it."""

    __slots__ = ()

    @property
    def is_paused(self) -> bool:
        """Whether the visitor reads slower than the app writes."""
        raise NotImplementedError

    def write_large(self, pieces: Sequence[Buffer]) -> None:
        """Send pieces at the end of this iteration of the event loop, perhaps uncopied."""
        raise NotImplementedError

    def end_stream(self) -> None:
        """Send the end of this direction behind what is written."""
        raise NotImplementedError

    def pause_reading(self) -> None:
        """Take no more bytes from the visitor."""
        raise NotImplementedError

    def resume_reading(self) -> None:
        """Go on taking them."""
        raise NotImplementedError

    def refuse(self) -> None:
        """Say that nobody speaks TLS here, and close; not a byte was written yet."""
        raise NotImplementedError

    def close(self) -> None:
        """Both directions have ended: close behind what is written."""
        raise NotImplementedError

    def cut(self) -> None:
        """Reset the connection: what was sent cannot look complete."""
        raise NotImplementedError


class ByteExchange(Placed):
    """One connection; the stream's handler on the edge.

    Args:
        line: Of the visitor.
        head: Who it is, and which hostname it asks for.
        route: Whose sessions to use.
        observers: Hear of it at its end.
    """

    __slots__ = (
        "_first",
        "_has_app_ended",
        "_has_visitor_ended",
        "_head",
        "_line",
        "_observers",
        "_outcome",
        "_phase",
        "_placement",
        "_route",
        "_sent",
        "_stream_id",
        "_unconsumed",
        "_upstream",
    )

    def __init__(
        self,
        line: ByteLine,
        head: RequestHead,
        route: Route,
        observers: Sequence[ExchangeObserver],
    ) -> None:
        super().__init__()
        self._line = line
        self._head = head
        self._route = route
        self._observers = observers
        self._phase = _WAITING
        self._upstream: Upstream | None = None
        self._stream_id = 0
        self._placement = Placement(route, line, repeat=Repeat.IF_LOST, gives_up=True)
        self._first = b""  # what was sent before the app's side has accepted
        self._has_visitor_ended = False
        self._has_app_ended = False
        self._unconsumed = 0  # flow-controlled bytes that the visitor has not taken yet
        self._sent = 0
        self._outcome = ""

    @property
    def is_over(self) -> bool:
        """See :class:`.writer.Exchange`."""
        return self._phase is _OVER

    @property
    def request(self) -> Request | None:
        """See :class:`.placement.Placed`."""
        return None

    @property
    def visitor(self) -> str:
        """See :class:`.placement.Placed`."""
        return self._head.arrival.peer_host.decode("latin-1")

    # -- from the visitor --------------------------------------------------------------------

    def start(self) -> None:
        """See :class:`.writer.Exchange`; the first bytes come after."""
        self._placement.start(self)

    def open_on(self, upstream: Upstream) -> None:
        """See :class:`.placement.Placed`."""
        self._upstream = upstream
        self._phase = _SENT
        self._stream_id = upstream.open_stream(_BYTES, self._head, self, end=False)
        if self._first or self._has_visitor_ended:
            upstream.send_data(self._stream_id, self._first, end=self._has_visitor_ended)

    def send_body(self, data: bytes, *, end: bool) -> None:
        """See :class:`.writer.Exchange`: relay bytes, or the end of them."""
        self._has_visitor_ended = self._has_visitor_ended or end
        phase = self._phase
        if phase is _OVER:
            return
        if phase is not _OPEN:
            self._first += data
            if len(self._first) > FIRST_BYTES:
                self._line.pause_reading()
        upstream = self._upstream
        if upstream is not None:
            if not upstream.send_data(self._stream_id, data, end=end) and not end:
                self._line.pause_reading()
            if end and self._has_app_ended:
                self._complete()

    def writable(self) -> None:
        """See :class:`.writer.Exchange`."""
        self.taken_but(0)

    def taken_but(self, size: int) -> None:
        """The visitor has taken all but ``size`` bytes: let the app send as many more.

        A slow one takes long for a whole window, and the app's side sees that it reads at all by
        the window alone.
        """
        given = self._unconsumed - size
        if given > 0 and self._upstream is not None:
            self._unconsumed = size
            self._upstream.consume(self._stream_id, given)

    def abandon(self, code: int, outcome: str, status: int) -> None:
        """See :class:`.writer.Exchange`."""
        if self._phase is _OVER:
            return
        self._placement.cancel()
        if self._upstream is not None:
            self._upstream.reset_stream(self._stream_id, ResetCode(code))
        self._outcome = outcome
        self._end(status if self._phase is not _OPEN else 200)

    def time_out(self) -> None:
        """See :class:`.writer.Exchange`."""
        self._placement.time_out()

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """See :meth:`.placement.Placement.stalled`."""
        if self._phase is _SENT:
            self._placement.stalled(self, self._stream_id, lost_for, hold)

    # -- from the app (StreamHandler) --------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """The app's side accepts, perhaps with its first bytes."""
        if head.status != 200 or self._phase is not _SENT:
            self._break("a HEAD that does not accept")
            return
        self._phase = _OPEN
        self._first = b""
        self._line.resume_reading()
        self._relay(data, len(data), end)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Send bytes to the visitor."""
        if self._phase is _OPEN:
            self._relay(data, flow_controlled_size, end)

    def on_trailers(self, fields: Fields) -> None:
        """Not for bytes: the app's side broke the protocol."""
        self._break("TRAILERS on bytes")

    def on_close(self, code: int, reason: str) -> None:
        """Not for bytes: the app's side broke the protocol."""
        self._break("CLOSE on bytes")

    def on_writable(self) -> None:
        """Go on with what the visitor sends."""
        self._line.resume_reading()

    def on_reset(self, code: int, reason: str) -> None:
        """The app's side gave it up, or its session is lost: try again, or say so."""
        if self._phase is _SENT and self._placement.lost(self, code):
            if self._placement.is_waiting:
                self._phase = _WAITING
                self._upstream = None
            return
        refused = code == ResetCode.REFUSED
        self._fail(REFUSED if refused else reason or "the tunnel to the app was lost")

    # -- inside ------------------------------------------------------------------------------

    def _relay(self, data: Buffer, flow_controlled_size: int, end: bool) -> None:
        """Write bytes; give their window back, now or when the visitor has taken them."""
        if data:
            self._sent += len(data)
            self._line.write_large([data])
        if flow_controlled_size:
            if self._line.is_paused:
                self._unconsumed += flow_controlled_size
            elif self._upstream is not None:
                self._upstream.consume(self._stream_id, flow_controlled_size)
        if end:
            self._has_app_ended = True
            if self._has_visitor_ended:
                self._complete()
            else:
                self._line.end_stream()

    def _complete(self) -> None:
        upstream = self._upstream
        if upstream is not None:
            upstream.release(self._stream_id)
            if self._unconsumed:
                upstream.consume(self._stream_id, self._unconsumed)
        self._end(200)
        self._line.close()

    def _break(self, why: str) -> None:
        if self._upstream is not None:
            self._upstream.reset_stream(self._stream_id, ResetCode.PROTOCOL_ERROR, why)
        self._fail("the app's side broke the tunnel's protocol")

    def refuse(self, reply: Reply) -> None:
        """See :class:`.placement.Placed`: there is nobody who could speak TLS."""
        if self._phase is _OVER:
            return
        self._outcome = reply.why
        self._end(reply.status)
        self._line.refuse()

    def _fail(self, why: str) -> None:
        was_open = self._phase is _OPEN
        self._outcome = why
        self._end(200 if was_open else 502)
        if not was_open:
            self._line.refuse()
        elif self._has_app_ended:
            self._line.close()  # what the visitor has not taken yet is complete
        else:
            self._line.cut()

    def _end(self, status: int) -> None:
        self._phase = _OVER
        self._placement.end()
        self._first = b""
        head = self._head
        entry = _new(
            Entry,
            (
                head.request_id,
                head.arrival.peer_host,
                b"TLS",
                self._route.hostname,
                b"-",
                status,
                self._sent,
                time.perf_counter() - self._placement.started,
                self._outcome,
            ),
        )
        for observer in self._observers:
            observer.closed(entry)
