"""Finds an upstream for an exchange, waits for one, and tries again: once, for all kinds.

An exchange holds a placement and is asked by it: :meth:`Placed.open_on` when there is an upstream,
:meth:`Placed.refuse` when there is none. What passes on the stream is the exchange's own business.
"""

from __future__ import annotations

import time
from enum import IntEnum
from typing import Final

from asgi_tunnel.protocol.codes import ResetCode

from ..directory import Route, Upstream
from ..replies import RETRY_AFTER, Reply
from .writer import Exchange, ResponseWriter

MAX_TRIES: Final = 3
"""Upstreams that one exchange is tried on."""

OFFLINE: Final = Reply(503, "the app behind this name is not connected", RETRY_AFTER)
CROWDED: Final = Reply(503, "too many visitors wait for this app", RETRY_AFTER)


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

    def open_on(self, upstream: Upstream) -> None:
        """Open a stream; also a second time, when the first upstream was lost."""
        raise NotImplementedError

    def refuse(self, reply: Reply) -> None:
        """Say why there is no response from an app."""
        raise NotImplementedError


class Placement:
    """Where one exchange is served.

    Args:
        exchange: Whose it is.
        route: Whose sessions to use.
        writer: Told when the exchange begins and ends to wait.
        repeat: When the request may be sent again.
        gives_up: Whether it waits for an upstream that is away no longer than a new request would;
            otherwise it waits for the session to resume.

    Attributes:
        is_waiting: It waits for an upstream.
    """

    __slots__ = (
        "_exchange",
        "_gives_up",
        "_repeat",
        "_route",
        "_tries",
        "_upstream",
        "_writer",
        "is_waiting",
        "started",
    )

    def __init__(
        self,
        exchange: Placed,
        route: Route,
        writer: ResponseWriter,
        *,
        repeat: Repeat,
        gives_up: bool,
    ) -> None:
        self._exchange = exchange
        self._route = route
        self._writer = writer
        self._repeat = repeat
        self._gives_up = gives_up
        self._tries = 0
        self._upstream: Upstream | None = None
        self.is_waiting = False
        self.started = time.perf_counter()

    def start(self) -> None:
        """Choose an upstream, or wait for one."""
        upstream = self._route.choose()
        if upstream is None:
            self._wait()
        else:
            self._open(upstream)

    def lost(self, code: int) -> bool:
        """Try again after a stream without a response was reset; False: it stays lost.

        Args:
            code: A :class:`ResetCode`: REFUSED, no app has begun with it; SESSION_LOST, one may.
        """
        if code == ResetCode.REFUSED:
            needed = _IF_REFUSED
        elif code == ResetCode.SESSION_LOST:
            needed = _IF_LOST
        else:
            return False
        if self._repeat < needed or self._tries >= MAX_TRIES:
            return False
        upstream = self._route.choose(avoid=self._upstream)
        if upstream is None:
            self._wait()
        else:
            self._open(upstream)
        return True

    def stalled(self, stream_id: int, lost_for: float, hold: float) -> None:
        """Give up on an upstream that is away, when nothing is lost by that.

        Another upstream gets a request that may be sent twice at once; without another it waits no
        longer than a new request would.

        Args:
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
            self._open(other)
        elif min(lost_for, time.perf_counter() - self.started) >= hold:
            upstream.reset_stream(stream_id, ResetCode.CANCELLED)
            self._exchange.refuse(OFFLINE)

    def time_out(self) -> None:
        """No upstream came in time."""
        if self.is_waiting:
            self.cancel()
            self._writer.release()
            self._exchange.refuse(OFFLINE)

    def cancel(self) -> None:
        """Wait no longer."""
        if self.is_waiting:
            self.is_waiting = False
            self._route.give_up(self._resume)

    def _open(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._tries += 1
        self._exchange.open_on(upstream)

    def _wait(self) -> None:
        self._upstream = None
        if self._route.wait(self._resume):
            self.is_waiting = True
            self._writer.hold()
        else:
            self._exchange.refuse(CROWDED)

    def _resume(self, upstream: Upstream) -> None:
        self.is_waiting = False
        self._open(upstream)
        self._writer.release()
