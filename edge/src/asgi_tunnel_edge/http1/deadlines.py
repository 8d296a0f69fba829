"""The clocks of one connection: which runs in which state, and what its end does.

=============  ===================  ==================================  ===========================
clock          runs in              runs out after                      then
=============  ===================  ==================================  ===========================
REQUEST        HEAD                 ``head_timeout``, while idle        408; an idle connection
                                    ``keep_alive_timeout``              closes
BODY           BODY, while reading  ``body_grace``, again and again     408 below ``min_body_rate``,
                                                                        or without a byte
HOLD           HELD                 ``hold_timeout``                    503
LINGER         DRAIN                ``LINGER``, up to ``MAX_LINGER``    closes, or goes on while the
                                    while the visitor sends             visitor reads a response
EXCHANGE       BODY, RESPONSE,      ``max_time`` of the hostname        408, 504 or a cut response
               HELD
WRITE          any                  ``body_grace``, again and again,    cut below ``min_body_rate``
                                    while the visitor reads too slowly
HALF_CLOSED    RESPONSE, HELD       ``HALF_CLOSE_GRACE``, renewed       closes
                                    while its socket takes bytes
UNREAD         any, not reading     ``UNREAD_CHECK``, again and again   closes when the peer is gone
=============  ===================  ==================================  ===========================

The first four exclude each other, so they share one deadline. Nothing here has a timer: the edge's
sweep asks :meth:`Deadlines.expired` a few times a second, so every clock is late by up to that.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final

from ..settings.config import Limits
from ..settings.guards import Pace
from .states import State

__all__ = [
    "HALF_CLOSE_GRACE",
    "LINGER",
    "RETIRED_IDLE",
    "STATE_CLOCK",
    "UNREAD_CHECK",
    "Clock",
    "Deadlines",
]

LINGER: Final = 2.0
"""Seconds a closed connection is still read, so that the response is not lost to a reset."""

HALF_CLOSE_GRACE: Final = 0.5
"""Seconds after the visitor's FIN; renewed as often as its socket has taken response bytes."""

UNREAD_CHECK: Final = 1.0
"""Seconds between two looks whether a visitor that is not read, for the app is slow, has left."""

RETIRED_IDLE: Final = 5.0
"""Seconds that an idle connection may be used once more after another process took over. Who sends
a request while its connection is being closed has to send it again, and not every client does: most
that send requests at all do so within this time, and hear with the response that it is closed."""

SWEEP: Final = 0.25
"""Seconds that an expiry is seen late, at most: a hold is given up that much before its end."""


class Clock(IntEnum):
    """What has run out; see the module."""

    REQUEST = 0
    BODY = 1
    HOLD = 2
    LINGER = 3
    EXCHANGE = 4
    WRITE = 5
    HALF_CLOSED = 6
    UNREAD = 7


STATE_CLOCK: Final[Mapping[State, Clock]] = {
    State.HEAD: Clock.REQUEST,
    State.BODY: Clock.BODY,
    State.HELD: Clock.HOLD,
    State.DRAIN: Clock.LINGER,
}
"""The clock that belongs to a state. It stops when the state ends."""

_NO_EXCHANGE: Final = frozenset({State.HEAD, State.UPGRADED, State.DRAIN, State.CLOSED})


class Deadlines:
    """When which clock runs out, in the seconds of ``now``; infinite: it does not run.

    Args:
        limits: From ``edge.toml``.
        now: Monotonic seconds.

    Attributes:
        pace: How fast bodies have to move; of ``limits`` until an exchange has its own.
        write_due: When a visitor that reads too slowly is judged next.
    """

    __slots__ = (
        "_body_base",
        "_exchange_due",
        "_half_closed_base",
        "_half_closed_due",
        "_limits",
        "_now",
        "_state_due",
        "_unread_due",
        "_write_base",
        "pace",
        "write_due",
    )

    def __init__(self, limits: Limits, now: Callable[[], float]) -> None:
        self._limits = limits
        self.pace = Pace.of(limits.min_body_rate, limits.body_grace)
        self._now = now
        self._state_due = math.inf
        self._exchange_due = math.inf
        self.write_due = math.inf
        self._half_closed_due = math.inf
        self._unread_due = math.inf
        self._body_base = 0  # bytes read when the watch began, and so on
        self._write_base = 0
        self._half_closed_base = 0

    def enter(self, state: State) -> None:
        """Stop the clocks that do not run in a state; its own is started by who knows how long."""
        self._state_due = math.inf
        if self._exchange_due < math.inf and state in _NO_EXCHANGE:
            self._exchange_due = math.inf

    def stop(self) -> None:
        """Stop all clocks: the connection is gone."""
        self._state_due = self._exchange_due = self.write_due = math.inf
        self._half_closed_due = self._unread_due = math.inf

    def expired(self, now: float, state: State) -> Clock | None:
        """Stop and return one clock that has run out, or None."""
        if now >= self._half_closed_due:
            self._half_closed_due = math.inf
            return Clock.HALF_CLOSED
        if now >= self._unread_due:
            self._unread_due = math.inf
            return Clock.UNREAD
        if now >= self.write_due:
            self.write_due = math.inf
            return Clock.WRITE
        if now >= self._exchange_due:
            self._exchange_due = math.inf
            return Clock.EXCHANGE
        if now >= self._state_due:
            self._state_due = math.inf
            return STATE_CLOCK.get(state)
        return None

    # -- the clock of a state ----------------------------------------------------------------

    def await_head(self) -> None:
        """A request head has begun, or a connection: give it ``head_timeout``, and no more."""
        self._state_due = min(self._state_due, self._now() + self._limits.head_timeout)

    def await_next_request(self) -> None:
        """The connection is idle."""
        self._state_due = self._now() + self._limits.keep_alive_timeout

    def bound_idle(self) -> None:
        """Give an idle connection no more than ``RETIRED_IDLE``."""
        self._state_due = min(self._state_due, self._now() + RETIRED_IDLE)

    def watch_body(self, read: int) -> None:
        """Measure the rate of a request body from here.

        Args:
            read: Bytes of bodies read so far.
        """
        self._body_base = read
        self._state_due = self._now() + self.pace.grace

    def hold(self) -> None:
        """Wait for an app."""
        self._state_due = self._now() + max(self._limits.hold_timeout - SWEEP, 0.0)

    def end_hold(self) -> None:
        """Wait no longer: the edge stops."""
        self._state_due = 0.0

    def linger(self) -> None:
        """Read and drop what still comes, for a moment."""
        self._state_due = self._now() + LINGER

    def stop_state(self) -> None:
        """Stop the clock of the state: it is the app that is slow."""
        self._state_due = math.inf

    # -- the others --------------------------------------------------------------------------

    def bound_exchange(self, seconds: float) -> None:
        """Give an exchange ``seconds`` from here."""
        self._exchange_due = self._now() + seconds

    def bound_late(self, seconds: float) -> None:
        """The same, unless it has its time already."""
        if self._exchange_due == math.inf:
            self.bound_exchange(seconds)

    def watch_writing(self, taken: int) -> None:
        """Measure how fast the visitor reads from here.

        Args:
            taken: Bytes that its socket has taken so far.
        """
        self._write_base = taken
        self.write_due = self._now() + self.pace.grace

    def stop_writing(self) -> None:
        """The visitor reads fast enough."""
        self.write_due = math.inf

    def half_closed(self, taken: int) -> None:
        """The visitor sends no more; ``taken`` as for :meth:`watch_writing`."""
        self._half_closed_base = taken
        self._half_closed_due = self._now() + HALF_CLOSE_GRACE

    def stop_half_closed(self) -> None:
        """Nothing is left to wait for."""
        self._half_closed_due = math.inf

    def watch_unread(self) -> None:
        """The visitor is not read from here on."""
        self._unread_due = self._now() + UNREAD_CHECK

    def stop_unread(self) -> None:
        """It is read again."""
        self._unread_due = math.inf

    # -- judging -----------------------------------------------------------------------------

    def is_body_slow(self, read: int) -> bool:
        """Whether less of the body came in ``body_grace`` than ``min_body_rate`` allows."""
        return read - self._body_base < self.pace.need

    def is_reader_slow(self, taken: int) -> bool:
        """Whether less of a response was taken in ``body_grace`` than ``min_body_rate`` allows."""
        return taken - self._write_base < self.pace.need

    def took_nothing(self, taken: int) -> bool:
        """Whether a half-closed visitor has taken no byte since the last look."""
        return taken <= self._half_closed_base
