"""An HTTP exchange that knows where its time went: for its visitor, and for the edge's pages.

Made by ``dispatch`` in the place of :class:`.http.HTTPExchange` where ``server_timing`` is on, or
traces are kept, so that an exchange without it pays nothing. (https://www.w3.org/TR/server-timing/)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.head import ASK_DURATION, DURATION, Fields, RequestHead, ResponseHead

from ..observers.observer import ExchangeObserver
from ..observers.traces import Trace, TraceRing
from ..request import Request
from ..route import Route, Upstream
from .fields import is_number
from .http import HTTPExchange
from .writer import ResponseWriter

__all__ = ["TimedHTTPExchange"]

_NAME: Final = b"server-timing"
_new: Final = tuple.__new__  # docs/adr/0006-compiled-wheels.md


class TimedHTTPExchange(HTTPExchange):
    """See the module; arguments as those of :class:`.http.HTTPExchange`, and two more.

    Args:
        tells: The response has the field Server-Timing.
        traces: Keep the times; made when the request was read. None: nobody does.

    Four parts, one after the other, up to the head of the response:

    - ``edge``: from the request's head until the edge asked an app, or began to wait for one.
    - ``hold``: from there until the request was sent to the app that responded: the wait for an
      app, and tries on sessions that were lost.
    - ``tunnel`` and ``app``: from there until the response's head came. ``app`` is what the app's
      side says of it; where it cannot say that, ``tunnel`` is both.
    """

    __slots__ = (
        "_app",
        "_asked_upstream",
        "_began",
        "_body_at",
        "_head_at",
        "_opened_at",
        "_placed_at",
        "_tells",
        "_traces",
    )

    def __init__(  # noqa: PLR0913 - those of an exchange, and two
        self,
        writer: ResponseWriter,
        request: Request,
        head: RequestHead,
        route: Route,
        observers: Sequence[ExchangeObserver],
        *,
        tells: bool = True,
        traces: TraceRing | None = None,
    ) -> None:
        super().__init__(writer, request, head, route, observers)
        self._tells = tells
        self._traces = traces
        self._asked_upstream = False  # how long its app takes
        self._app = -1.0  # seconds that it took, as its side says; negative: it does not
        # By `time.perf_counter`; 0: not yet.
        self._began = self._placement.started if traces is None else traces.began
        self._opened_at = self._placed_at = self._head_at = self._body_at = 0.0

    def start(self) -> None:
        """See :class:`.writer.Exchange`."""
        super().start()
        if not self._placed_at:
            self._placed_at = time.perf_counter()  # it waits

    def open_on(self, upstream: Upstream) -> None:
        """See :class:`.placement.Placed`: ask how long the app takes, where it can say that."""
        now = self._opened_at = time.perf_counter()
        if not self._placed_at:
            self._placed_at = now
        head, asks = self._head, upstream.tells_duration
        if asks != self._asked_upstream:
            self._asked_upstream = asks
            fields: Fields = [*head.fields, ASK_DURATION] if asks else head.fields[:-1]
            self._head = head._replace(fields=fields)
        super().open_on(upstream)

    def send_body(self, data: bytes, *, end: bool) -> None:
        """See :class:`.writer.Exchange`."""
        if end:
            self._body_at = time.perf_counter()
        super().send_body(data, end=end)

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Note when it came, and add the field; one of the app's own stays, on a line of its own.

        The exchange may be over when this returns.
        """
        if head.status >= 200:
            self._head_at = time.perf_counter()
            fields = list(head.fields)
            self._take_duration(fields)
            if self._tells:
                fields.append((_NAME, self._parts()))
            head = _new(ResponseHead, (head.status, fields))
        super().on_head(head, data, end)

    def _take_duration(self, fields: Fields) -> None:
        """Take what the app's side says out of the fields.

        Where it was not asked, such a line is no field, and the response is refused for it.
        """
        if not self._asked_upstream or not fields or fields[-1][0] != DURATION:
            return
        value = fields.pop()[1]
        if is_number(value):
            self._app = min(int(value) / 1e6, self._head_at - self._opened_at)  # two clocks

    def _parts(self) -> bytes:
        edge = self._placed_at - self._began
        hold = self._opened_at - self._placed_at
        rest = self._head_at - self._opened_at
        app = self._app
        if app < 0:
            tail = b'tunnel;desc="tunnel and app";dur=%.2f' % (rest * 1000)
        else:
            tail = b"tunnel;dur=%.2f, app;dur=%.2f" % ((rest - app) * 1000, app * 1000)
        return b"edge;dur=%.2f, hold;dur=%.2f, %s" % (edge * 1000, hold * 1000, tail)

    def _end(self, status: int) -> None:
        """Keep where the time went."""
        super()._end(status)
        if self._traces is not None:
            self._traces.add(self._trace(self._traces, status))

    def _trace(self, traces: TraceRing, status: int) -> Trace:
        now = time.perf_counter()
        began = self._began
        # What it has not come to has taken no time; the rest belongs to what it was in.
        placed = self._placed_at or now
        opened = self._opened_at or now
        head_at = self._head_at or now
        app = self._app
        head = self._head
        arrival = head.arrival
        return Trace(
            request_id=head.request_id.decode("latin-1"),
            began=time.time() - (now - began),
            hostname=self._route.hostname,
            token_id=self._route.token_id,
            method=head.method.decode("latin-1"),
            path=head.target.partition(b"?")[0].decode("latin-1"),
            peer=arrival.client[0],
            status=status,
            sent=0 if head.method == b"HEAD" else self._sent,
            outcome=self._outcome,
            tls=traces.handshake(arrival.client),
            edge=placed - began,
            hold=opened - placed,
            tunnel=head_at - opened - max(app, 0.0),
            app=None if app < 0 else app,
            response=now - head_at,
            body=max(self._body_at - began, 0.0),
        )
