"""The deadlines of everything that happens at one service, with a single timer.

Most exchanges are over long before anything of them is due, so to set a deadline and to clear it
touches a dict and no timer.  A timer for each exchange costs as much as its response to read.
"""

from __future__ import annotations

import asyncio
import math
from typing import Final, Protocol

TOLERANCE: Final = 0.001
"""Seconds that something may be due early: the timers of event loops are as fine."""


class Timed(Protocol):
    """What has a deadline."""

    def on_due(self, now: float) -> None:
        """The deadline has come, and is cleared; ``now`` in the loop's seconds.  Never raises."""


class Deadlines:
    """When what is due, in the loop's seconds; bounded by the service's connections."""

    __slots__ = ("_due", "_timer", "_timer_at")

    def __init__(self) -> None:
        self._due: dict[Timed, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        # Not later than the first deadline; often earlier, and then it finds nothing to do.
        self._timer_at = math.inf

    def set(self, one: Timed, when: float) -> None:
        """Let something be due at ``when``, instead of before."""
        self._due[one] = when
        if when < self._timer_at:
            self._start(when)

    def clear(self, one: Timed) -> None:
        """Let it never be due."""
        self._due.pop(one, None)

    def close(self) -> None:
        """Stop the timer when nothing needs it: the service is closed."""
        if not self._due and self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._timer_at = math.inf

    def _start(self, when: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer_at = when
        self._timer = asyncio.get_running_loop().call_at(when, self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._timer_at = math.inf
        now = asyncio.get_running_loop().time()
        for one in [one for one, when in self._due.items() if when <= now + TOLERANCE]:
            if self._due.pop(one, None) is not None:  # the one before may have cleared it
                one.on_due(now)
        if self._due:
            first = min(self._due.values())
            if first < self._timer_at:
                self._start(first)
