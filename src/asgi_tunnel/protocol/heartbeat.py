"""When the peer was heard last, and the PING that asks whether it is there.

Time is an argument, monotonic seconds.  :mod:`.connection` sends what this class numbers.
"""

from __future__ import annotations

from typing import Final

from .limits import SUSPECT_AFTER, Timing

UNKNOWN_ROUND_TRIP: Final = 0.1
"""Seconds, until the first PONG."""


class Heartbeat:
    """Silence on one session's transport.

    Args:
        timing: What the edge decided in WELCOME.
        now: When the transport was new.

    Attributes:
        last_receive: When the peer was heard last.
        round_trip: Seconds, as the last PONG measured.
        was_heard: Whether the peer has shown that it has the session: by a PONG, or by resuming it.
    """

    __slots__ = (
        "_ping_id",
        "_sent_at",
        "_timing",
        "last_receive",
        "round_trip",
        "was_heard",
    )

    def __init__(self, timing: Timing, now: float) -> None:
        self._timing = timing
        self.last_receive = now
        self.round_trip = UNKNOWN_ROUND_TRIP
        self.was_heard = False
        self._ping_id = 0
        self._sent_at: float | None = None  # of the PING that waits for its PONG

    def ping(self, now: float) -> int:
        """Count a PING as sent; return its number.  Only the last one is waited for."""
        self._ping_id += 1
        self._sent_at = now
        return self._ping_id

    def pong(self, ping_id: int) -> None:
        """Take a PONG, which measures the round trip unless its number is old or made up."""
        sent_at = self._sent_at
        if sent_at is not None and ping_id == self._ping_id:
            self._sent_at = None
            self.was_heard = True
            self.round_trip = self.last_receive - sent_at

    def stop(self) -> None:
        """Wait for no PONG: the transport is gone."""
        self._sent_at = None

    def is_suspect(self, now: float) -> bool:
        """Whether a PING waits for so long that no new stream should start here."""
        sent_at = self._sent_at
        return sent_at is not None and now - max(sent_at, self.last_receive) > SUSPECT_AFTER

    def is_silent(self, now: float) -> bool:
        """Whether the transport counts as lost."""
        return now - self.last_receive >= self._timing.heartbeat_timeout

    def next_deadline(self) -> float:
        """Return when the next PING is due, or the end of the wait for the peer."""
        interval, last = self._timing.heartbeat_interval, self.last_receive
        if self._sent_at is None:
            return last + interval
        return min(max(self._sent_at, last) + interval, last + self._timing.heartbeat_timeout)
