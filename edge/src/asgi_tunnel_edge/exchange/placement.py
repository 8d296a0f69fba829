"""Finds an upstream for an exchange, waits for one, and tries again: once, for all kinds.

An exchange holds a placement and is asked by it: :meth:`Placed.open_on` when there is an upstream,
:meth:`Placed.refuse` when there is none. What passes on the stream is the exchange's own business.
"""

from __future__ import annotations

import time
from enum import IntEnum
from typing import Final

from asgi_tunnel.protocol.codes import ResetCode

from ..address import networks_of
from ..counts import DISPLACED, LEFT, RESUMED, TIMED_OUT
from ..replies import RETRY_AFTER, TOO_MANY_WAITING, Reply
from ..request import Request
from ..route import Route, Upstream
from .writer import Exchange, Holder

MAX_TRIES: Final = 3
"""Upstreams that one exchange is tried on."""

OFFLINE: Final = Reply(
    503, "the app behind this name is not connected", RETRY_AFTER, closes=False, reason="offline"
)
CROWDED: Final = TOO_MANY_WAITING
"""Closes the connection: a next request in it would take the next one's place, and so on."""
FULL: Final = Reply(503, "too many visitors use this app right now", RETRY_AFTER, reason="app-full")


class Repeat(IntEnum):
    """When a request may be sent a second time."""

    NEVER = 0  #: an app may have begun with it, or what it carried is gone
    IF_REFUSED = 1  #: it has no body: as long as no app has begun with it
    IF_LOST = 2  #: it has no effect either: as long as no response has begun


_IF_REFUSED: Final = Repeat.IF_REFUSED
_IF_LOST: Final = Repeat.IF_LOST


class Placed(Exchange):
    """An exchange that a :class:`Placement` finds an upstream for."""

    __slots__ = ()

    @property
    def visitor(self) -> str:
        """The address of the visitor."""
        raise NotImplementedError

    @property
    def request(self) -> Request | None:
        """What was read; None: bytes that the edge cannot read."""
        raise NotImplementedError

    def open_on(self, upstream: Upstream) -> None:
        """Open a stream; also a second time, when the first upstream was lost."""
        raise NotImplementedError

    def refuse(self, reply: Reply) -> None:
        """Say why there is no response from an app."""
        raise NotImplementedError


class Placement:
    """Where one exchange is served.

    It knows its exchange only while it waits: objects that hold each other are left to the
    garbage collector, and requests are many.

    Args:
        route: Whose sessions to use.
        writer: Hears when the exchange begins and ends to wait.
        repeat: When the request may be sent again.
        gives_up: Whether it waits for an upstream that is away no longer than a new request would;
            otherwise it waits for the session to resume.

    Attributes:
        started: When the exchange began, by ``time.perf_counter``.
    """

    __slots__ = (
        "_gives_up",
        "_is_counted",
        "_policy",
        "_repeat",
        "_route",
        "_tries",
        "_upstream",
        "_waiting",
        "_waits_since",
        "_writer",
        "started",
    )

    def __init__(
        self,
        route: Route,
        writer: Holder,
        *,
        repeat: Repeat,
        gives_up: bool,
    ) -> None:
        self._route = route
        self._writer = writer
        self._repeat = repeat
        self._gives_up = gives_up
        self._tries = 0
        self._is_counted = False  # among the visitors of its token
        self._policy = route.policy  # that it was let in by
        self._upstream: Upstream | None = None
        self._waiting: Placed | None = None
        self.started = time.perf_counter()

    @property
    def is_waiting(self) -> bool:
        """Whether its exchange waits for an upstream."""
        return self._waiting is not None

    def start(self, exchange: Placed) -> None:
        """Choose an upstream for an exchange, or wait for one."""
        if not self._route.share.enter():
            exchange.refuse(FULL)
            return
        self._is_counted = True
        upstream = self._route.choose()
        if upstream is None:
            self._wait(exchange)
        else:
            self._open(exchange, upstream)

    def lost(self, exchange: Placed, code: int) -> bool:
        """Try again after a stream without a response was reset; False: it stays lost.

        When the edge ends all sessions are lost, one after the other: the next one would begin
        with a request that is cut with it.

        Args:
            exchange: Whose stream it was.
            code: A :class:`ResetCode`: REFUSED, no app has begun with it; SESSION_LOST, one may.
        """
        if code == ResetCode.REFUSED:
            needed = _IF_REFUSED
        elif code == ResetCode.SESSION_LOST:
            needed = _IF_LOST
        else:
            return False
        if self._repeat < needed or self._tries >= MAX_TRIES or self._route.is_closed:
            return False
        upstream = self._route.choose(avoid=self._upstream)
        if upstream is None:
            self._wait(exchange)
        else:
            self._open_again(exchange, upstream)
        return True

    def stalled(self, exchange: Placed, stream_id: int, lost_for: float, hold: float) -> None:
        """Give up on an upstream that is away, when nothing is lost by that.

        Another upstream gets a request that may be sent twice at once; without another it waits no
        longer than a new request would.

        Args:
            exchange: Whose stream it is.
            stream_id: Of the exchange, on the upstream that is away.
            lost_for: Seconds since its peer was heard.
            hold: Seconds that a visitor waits for an app.
        """
        upstream = self._upstream
        if upstream is None or not self._gives_up:
            return
        may_move = self._repeat == _IF_LOST and self._tries < MAX_TRIES
        other = self._route.choose() if may_move else None
        if other is not None:
            upstream.reset_stream(stream_id, ResetCode.CANCELLED)
            self._open_again(exchange, other)
        elif min(lost_for, time.perf_counter() - self.started) >= hold:
            upstream.reset_stream(stream_id, ResetCode.CANCELLED)
            exchange.refuse(OFFLINE)

    def time_out(self) -> None:
        """No upstream came in time."""
        exchange = self._end_wait(TIMED_OUT)
        if exchange is not None:
            self._route.give_up(self)
            self._writer.release()
            exchange.refuse(OFFLINE)

    def end(self) -> None:
        """The exchange is over; may be called twice."""
        if self._is_counted:
            self._is_counted = False
            self._route.share.leave()

    def cancel(self) -> None:
        """Wait no longer."""
        if self._end_wait(LEFT) is not None:
            self._route.give_up(self)

    def _open(self, exchange: Placed, upstream: Upstream) -> None:
        self._upstream = upstream
        self._tries += 1
        exchange.open_on(upstream)

    def _wait(self, exchange: Placed) -> None:
        self._upstream = None
        self._waiting = exchange
        self._waits_since = time.perf_counter()
        self._route.holds.waiting += 1
        self._writer.hold()
        self._route.wait(self, networks_of(exchange.visitor))

    def _end_wait(self, outcome: str) -> Placed | None:
        """Return the exchange that waited; None where none did."""
        exchange, self._waiting = self._waiting, None
        if exchange is not None:
            self._route.holds.end(outcome, time.perf_counter() - self._waits_since)
        return exchange

    def refuse(self, reply: Reply) -> None:
        """See :class:`..route.Waiter`."""
        exchange = self._end_wait(LEFT)
        if exchange is not None:
            self._writer.release()
            exchange.refuse(reply)

    def resume(self, session: Upstream) -> None:
        """See :class:`..route.Waiter`."""
        exchange = self._end_wait(RESUMED)
        if exchange is None:
            return
        deny = self._judge(exchange)
        if deny is None:
            self._open(exchange, session)
            self._writer.release()
        else:
            self._writer.release()
            exchange.refuse(deny)

    def _open_again(self, exchange: Placed, upstream: Upstream) -> None:
        """Send it to another session, whose app may want it refused by now."""
        deny = self._judge(exchange)
        if deny is None:
            self._open(exchange, upstream)
        else:
            exchange.refuse(deny)

    def _judge(self, exchange: Placed) -> Reply | None:
        """Hold what an app wants refused that it had not said when the exchange was let in."""
        if self._route.policy is self._policy:
            return None
        policy = self._policy = self._route.policy
        request, judge = exchange.request, self._route.judge
        if policy is None or request is None or judge is None:
            return None
        return judge(policy, request, exchange)

    def give_way(self) -> None:
        """See :class:`..route.Waiter`: the visitor hears when to come back."""
        exchange = self._end_wait(DISPLACED)
        if exchange is not None:
            self._writer.release()
            exchange.refuse(CROWDED)
