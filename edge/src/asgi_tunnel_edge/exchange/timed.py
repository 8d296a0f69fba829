"""An HTTP exchange whose response says where its time went: the field Server-Timing.

Made by ``dispatch`` in the place of :class:`.http.HTTPExchange` where ``server_timing`` is on, so
that an exchange without it pays nothing. (https://www.w3.org/TR/server-timing/)
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Final

from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.head import ASK_DURATION, DURATION, Fields, RequestHead, ResponseHead

from ..observers.observer import ExchangeObserver
from ..request import Request
from ..route import Route, Upstream
from .fields import is_number
from .http import HTTPExchange
from .writer import ResponseWriter

__all__ = ["TimedHTTPExchange"]

_NAME: Final = b"server-timing"
_new: Final = tuple.__new__  # docs/adr/0006-compiled-wheels.md


class TimedHTTPExchange(HTTPExchange):
    """See the module; arguments as those of :class:`.http.HTTPExchange`.

    Four parts, one after the other, in milliseconds, up to the head of the response:

    - ``edge``: from the request's head until the edge asked an app, or began to wait for one.
    - ``hold``: from there until the request was sent to the app that responded: the wait for an
      app, and tries on sessions that were lost.
    - ``tunnel`` and ``app``: from there until the response's head came. ``app`` is what the app's
      side says of it; where it cannot say that, ``tunnel`` is both.
    """

    __slots__ = ("_asked_upstream", "_opened_at", "_placed_at")

    def __init__(
        self,
        writer: ResponseWriter,
        request: Request,
        head: RequestHead,
        route: Route,
        observers: Sequence[ExchangeObserver],
    ) -> None:
        super().__init__(writer, request, head, route, observers)
        self._asked_upstream = False  # how long its app takes
        self._opened_at = self._placed_at = 0.0  # by `time.perf_counter`

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

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Add the field; one of the app's own stays, in a line of its own."""
        if head.status >= 200:
            fields = list(head.fields)
            app = self._take_duration(fields)
            fields.append((_NAME, self._parts(app)))
            head = _new(ResponseHead, (head.status, fields))
        super().on_head(head, data, end)

    def _take_duration(self, fields: Fields) -> float | None:
        """Take what the app's side says out of the fields; None: it says nothing.

        Where it was not asked, such a line is no field, and the response is refused for it.
        """
        if not self._asked_upstream or not fields or fields[-1][0] != DURATION:
            return None
        value = fields.pop()[1]
        return int(value) / 1e6 if is_number(value) else None

    def _parts(self, app: float | None) -> bytes:
        edge = self._placed_at - self._placement.started
        hold = self._opened_at - self._placed_at
        rest = time.perf_counter() - self._opened_at
        if app is None:
            tail = b'tunnel;desc="tunnel and app";dur=%.2f' % (rest * 1000)
        else:
            app = min(app, rest)  # two clocks
            tail = b"tunnel;dur=%.2f, app;dur=%.2f" % ((rest - app) * 1000, app * 1000)
        return b"edge;dur=%.2f, hold;dur=%.2f, %s" % (edge * 1000, hold * 1000, tail)
