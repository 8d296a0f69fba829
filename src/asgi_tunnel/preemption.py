"""Gives the core away, if another process waits for it, between two turns of a bulk transfer.

A bulk transfer over a fast link finds something to read or to write in every turn, so it does not
sleep, and the kernel lets it keep its core until the next tick of its clock: up to 4 ms at 250
ticks a second.  A small exchange that has to pass through another process of this machine waits
behind it: an app beside its edge, a proxy in front of it, a database behind.

While nobody exchanges anything small, bulk keeps its core: to give it away costs an upload a sixth
of its rate.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from typing import Final

KEEN: Final = 0.1
"""Seconds after a small exchange in which the next one is looked out for: a browser has read the
answer by then, and asked for what it names."""

RECENT: Final = 0.001
"""Seconds since the last turn of a bulk transfer in which it counts as going on."""

SHORT: Final = 0.0005
"""Seconds in which the core is back from a process that only hands something on.  They are not
counted: it would have had them anyway."""

SHARE: Final = 0.05
"""Part of the time that may be given away in longer pieces, which a process takes that computes."""

SAVED: Final = 0.01
"""Seconds of that share that may be saved up: two or three ticks of the kernel's clock."""


_sched_yield: Final[Callable[[], object] | None] = getattr(os, "sched_yield", None)


class PreemptionPoint:
    """Where this process can do without its core.

    Args:
        give_away: ``sched_yield``: returns when this process has a core again.  None where the
            system has no such call, and then nothing happens.
        clock: Monotonic seconds.
    """

    __slots__ = ("_clock", "_give_away", "_keen_until", "_left", "_seen")

    def __init__(
        self,
        give_away: Callable[[], object] | None = _sched_yield,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give_away = give_away
        self._clock = clock
        self._keen_until = 0.0
        self._left = SAVED  # seconds that may still be given away
        self._seen = clock()

    def expect(self) -> None:
        """A small exchange has been handed on: somebody may wait for the core because of it."""
        self._keen_until = self._clock() + KEEN

    def hand_on(self) -> None:
        """A small exchange has just left: beside bulk, its next stop gets the core at once."""
        if self._clock() - self._seen < RECENT:
            self.offer()

    def offer(self) -> None:
        """Let whoever waits for the core have it; back at once when nobody does."""
        begin = self._clock()
        if begin >= self._keen_until or self._give_away is None:
            return
        self._left = min(SAVED, self._left + (begin - self._seen) * SHARE)
        self._seen = begin
        if self._left < 0:
            return
        try:
            self._give_away()
        except OSError:  # a sandbox that forbids the call
            self._give_away = None
            return
        away = self._clock() - begin
        if away > SHORT:
            self._left -= away


core: Final = PreemptionPoint()
"""Of this process: every session and every transport has the same cores."""
