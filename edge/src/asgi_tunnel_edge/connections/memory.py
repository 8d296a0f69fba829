"""How many bytes the whole edge may keep for others, and whether it still takes new work.

Each connection and each session has bounds of its own (``docs/limits.md``); this one is over all of
them.  It is looked at by the listener's clock, a few times a second, and not for each byte: what
comes in between two looks is what the line carries in that time.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Collection, Iterable, Mapping
from heapq import heapify, heapreplace
from operator import attrgetter
from typing import Final, Protocol, TypeVar

__all__ = [
    "CEILING",
    "PATIENCE",
    "RELIEF",
    "Evictable",
    "Holding",
    "MemoryBudget",
    "Stalling",
    "choose_culprits",
    "choose_stalled",
]

_log = logging.getLogger("asgi_tunnel_edge.connections")

RELIEF: Final = 0.9
"""Share of ``max_buffered_bytes`` at which new work is taken again: a gap, so that an edge at its
limit does not refuse and accept by turns."""

CEILING: Final = 1.25
"""Share of ``max_buffered_bytes`` above which what runs is ended at once, without ``PATIENCE``. It
grows on to its own bounds, and without this the system would end the whole edge."""

PATIENCE: Final = 2.0
"""Seconds of refusing everybody after which those are ended who keep the most, visitors who do not
read first: otherwise a few thousand who read 500 bytes a second, or one app that acknowledges
nothing, would keep all others out for ever."""


class Holding(Protocol):
    """Whoever bytes are kept for."""

    @property
    def buffered(self) -> int:
        """Bytes."""


class Evictable(Holding, Protocol):
    """Whoever can be ended to free them."""

    def evict(self) -> None:
        """End it."""


class Stalling(Holding, Protocol):
    """A visitor, as the budget sees it."""

    @property
    def stall_deadline(self) -> float:
        """When one who takes nothing is judged; infinite for one who does."""


AnyStalling = TypeVar("AnyStalling", bound=Stalling)
AnyHolding = TypeVar("AnyHolding", bound=Holding)


class MemoryBudget:
    """Says when new work is to be refused.

    Args:
        limit: Bytes.

    Attributes:
        used: Bytes, at the last look.
        is_exceeded: New work is refused.
        relief: Bytes at which it is taken again.
        excess: Bytes that have to be freed now, down to where new work is taken again.
    """

    __slots__ = (
        "_ceiling",
        "_limit",
        "_since",
        "excess",
        "is_exceeded",
        "relief",
        "used",
    )

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._ceiling = int(limit * CEILING)
        self.relief = int(limit * RELIEF)
        self._since = 0.0  # when refusing began
        self.excess = 0
        self.used = 0
        self.is_exceeded = False

    def look(self, used: int, now: float) -> bool:
        """Take a new sum; return whether new work is refused from now on.

        Args:
            used: Bytes.
            now: Monotonic seconds.
        """
        self.used = used
        if self.is_exceeded:
            if used <= self.relief:
                self.is_exceeded = False
                _log.info("new requests are taken again: %d bytes are buffered", used)
        elif used > self._limit:
            self.is_exceeded = True
            self._since = now
            _log.warning(
                "new requests are refused: %d bytes are buffered, max_buffered_bytes is %d",
                used,
                self._limit,
            )
        is_late = self.is_exceeded and now - self._since >= PATIENCE
        self.excess = used - self.relief if is_late or used > self._ceiling else 0
        return self.is_exceeded


def choose_stalled(visitors: Iterable[AnyStalling], excess: int) -> list[AnyStalling]:
    """Pick visitors who take nothing, the longest waiting first, who hold ``excess`` bytes.

    An honest one reads on and is judged later; one who reads well enough is never among them.
    """
    chosen: list[AnyStalling] = []
    stalled = [one for one in visitors if one.stall_deadline < math.inf]
    for visitor in sorted(stalled, key=attrgetter("stall_deadline")):
        if excess <= 0:
            break
        chosen.append(visitor)
        excess -= visitor.buffered
    return chosen


def choose_culprits(
    holders: Mapping[str, Collection[AnyHolding]], excess: int
) -> list[tuple[str, AnyHolding]]:
    """Pick who holds the most until ``excess`` bytes are freed.

    The largest member of the holder that keeps the most in all goes first, and so on: many small
    members of one holder are found before one larger member of another.

    Args:
        holders: The members of each holder, by its name.
        excess: Bytes to free.

    Returns:
        Names and members, in the order of choice.
    """
    totals: list[tuple[int, str, list[tuple[int, int, AnyHolding]]]] = []
    for name, members in holders.items():
        sized = sorted((one.buffered, number, one) for number, one in enumerate(members))
        totals.append((-sum(size for size, _, _ in sized), name, sized))
    heapify(totals)
    chosen: list[tuple[str, AnyHolding]] = []
    while excess > 0 and totals:
        total, name, sized = totals[0]
        if not total:
            break  # nobody holds anything
        size, _, member = sized.pop()
        chosen.append((name, member))
        excess -= size
        heapreplace(totals, (total + size, name, sized))
    return chosen
