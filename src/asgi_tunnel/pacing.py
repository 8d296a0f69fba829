"""Decides when a session sends before its turn ends, and when its process gives its core away.

Both serve one aim: a small exchange should not wait behind a bulk transfer, nor behind the end of a
turn of the event loop that has nothing else for it.  docs/pacing.md shows these measures beside
those of the scheduler, the transport and the edge, in the order in which an exchange meets them.

A :class:`Pacing` belongs to one :class:`.session.Session`.  A :class:`CPUYield` is shared by all
sessions and transports of a process, which have the same cores.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import cache
from typing import Final

from .protocol.limits import URGENT_FRAMES

QUIET_FRAMES: Final = 2
"""Small exchanges in one turn of the loop with which a tunnel still counts as quiet."""

QUIET_TURNS: Final = 8
"""Quiet turns in a row after which a small exchange leaves at once.  In a busy tunnel one message
for all of a turn costs less than it delays the first of them."""

BURST: Final = 8
"""Messages written in one turn of the loop before others get theirs."""

INTERACTIVE_WINDOW: Final = 0.1
"""Seconds after a small exchange in which the next one is expected: a browser has read the response
by then, and asked for what it names."""

RECENT_BULK: Final = 0.001
"""Seconds since the last turn of a bulk transfer in which it counts as going on."""

FREE_YIELD: Final = 0.0005
"""Seconds in which the core is back from a process that only hands something on.  They are not
counted: it would have had them anyway."""

YIELD_SHARE: Final = 0.05
"""Part of the time that may be given away in longer pieces, which a process takes that computes."""

YIELD_BUDGET: Final = 0.01
"""Seconds of that share that may be saved up: two or three ticks of the kernel's clock."""


_sched_yield: Final[Callable[[], object] | None] = getattr(os, "sched_yield", None)


class CPUYield:
    """Gives the core away, if another process waits for it, between two turns of a bulk transfer.

    A bulk transfer over a fast link finds something to read or to write in every turn, so it does
    not sleep, and the kernel lets it keep its core until the next tick of its clock: up to 4 ms at
    250 ticks a second.  A small exchange that has to pass through another process of this machine
    waits behind it: an app behind its edge, a proxy in front of it, a database.

    While nobody exchanges anything small, bulk keeps its core: to give it away costs an upload a
    sixth of its rate (docs/adr/0008-bulk-gives-the-core-away.md).

    Args:
        give_away: ``sched_yield``: returns when this process has a core again.  None where the
            system has no such call, and then nothing happens.
        clock: Monotonic seconds.
    """

    __slots__ = ("_budget", "_clock", "_give_away", "_interactive_until", "_last_bulk")

    def __init__(
        self,
        give_away: Callable[[], object] | None = _sched_yield,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._give_away = give_away
        self._clock = clock
        self._interactive_until = 0.0
        self._budget = YIELD_BUDGET  # seconds that may still be given away
        self._last_bulk = clock()

    def note_interactive(self) -> None:
        """Note a small exchange: for a while, others may wait for the core because of it."""
        self._interactive_until = self._clock() + INTERACTIVE_WINDOW

    def yield_after_send(self) -> None:
        """Give the core to the next stop of a small exchange that has just left beside bulk."""
        if self._clock() - self._last_bulk < RECENT_BULK:
            self.yield_now()

    def yield_now(self) -> None:
        """Let whoever waits for the core have it, after a turn of a bulk transfer.

        Returns at once when nobody waits, when nothing small was exchanged for a while, or when
        the budget is used up.
        """
        begin = self._clock()
        if begin >= self._interactive_until or self._give_away is None:
            return
        self._budget = min(YIELD_BUDGET, self._budget + (begin - self._last_bulk) * YIELD_SHARE)
        self._last_bulk = begin
        if self._budget < 0:
            return
        try:
            self._give_away()
        except OSError:  # a sandbox that forbids the call
            self._give_away = None
            return
        away = self._clock() - begin
        if away > FREE_YIELD:
            self._budget -= away


@cache
def shared_cpu_yield() -> CPUYield:
    """Return the one of this process, for sessions and transports that are given none.

    The budget is a part of the time of all cores that this process has, so two budgets would give
    twice as much away.
    """
    return CPUYield()


class Pacing:
    """What one session decides for its small exchanges.

    Args:
        cpu: Of this process; None for :func:`shared_cpu_yield`.
    """

    __slots__ = ("_cpu", "_quiet_turns", "_turn_frames")

    def __init__(self, cpu: CPUYield | None = None) -> None:
        self._cpu = shared_cpu_yield() if cpu is None else cpu
        self._quiet_turns = QUIET_TURNS  # in a row, up to this one
        self._turn_frames = 0  # sent before the end of this turn

    @property
    def is_quiet(self) -> bool:
        """Whether so little passes that a small exchange gains by leaving alone."""
        return self._quiet_turns >= QUIET_TURNS

    def is_urgent(self, queued: int) -> bool:
        """Whether frames should leave now.

        Args:
            queued: Frames of small exchanges that wait for the end of the turn.
        """
        return self.is_quiet or queued >= URGENT_FRAMES

    def sent_urgently(self, frames: int) -> None:
        """Count frames that left before the end of the turn; give their next stop the core."""
        self._turn_frames += frames
        if self.is_quiet:
            self._cpu.yield_after_send()

    def note_interactive(self) -> None:
        """Note a small response, sent or received: in a quiet tunnel, somebody clicks."""
        if self.is_quiet:
            self._cpu.note_interactive()

    def end_turn(self, frames: int) -> None:
        """Count a turn of the event loop, at whose end ``frames`` were left to send."""
        is_quiet = self._turn_frames + frames <= QUIET_FRAMES
        self._quiet_turns = self._quiet_turns + 1 if is_quiet else 0
        self._turn_frames = 0
