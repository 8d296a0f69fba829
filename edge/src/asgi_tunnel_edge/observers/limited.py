"""Who was turned away lately, how often and why: what a person looks at before a ban.

One count for each visitor, hostname and reason, and the newest of them only: strangers decide how
many there would be. Called for each exchange by an edge that has a dashboard.
"""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Collection
from typing import TYPE_CHECKING, Final, NamedTuple

if TYPE_CHECKING:
    from .access_log import Entry

__all__ = ["LimitedVisitor", "LimitedVisitors"]

MAX_VISITORS: Final = 1000
"""Counts that are kept, 0.5 MB; the one that was not raised for longest goes first."""

_REFUSED: Final = "refused: "


class LimitedVisitor(NamedTuple):
    """What one visitor was refused."""

    address: str
    hostname: str
    reason: str  #: the guard, or the edge's sentence
    times: int
    first: float  #: seconds since 1970
    last: float  #: likewise


class LimitedVisitors:
    """See the module; an :class:`.observer.ExchangeObserver`.

    Args:
        shares: What the edge says to whom a share of its room is full.
        now: Seconds since 1970.
    """

    def __init__(
        self, shares: Collection[str] = (), *, now: Callable[[], float] = time.time
    ) -> None:
        self._shares = shares
        self._now = now
        self._counts: OrderedDict[tuple[bytes, str, str], tuple[int, float, float]] = OrderedDict()

    def closed(self, entry: Entry) -> None:
        """See :class:`.observer.ExchangeObserver`."""
        outcome = entry.outcome
        if not outcome or not (outcome.startswith(_REFUSED) or outcome in self._shares):
            return
        key = (entry.peer, entry.hostname, outcome)
        now = self._now()
        count, first, _ = self._counts.pop(key, (0, now, now))
        self._counts[key] = (count + 1, first, now)
        if len(self._counts) > MAX_VISITORS:
            self._counts.popitem(last=False)

    def newest(self) -> list[LimitedVisitor]:
        """Return what was counted, what happened last first."""
        return [
            LimitedVisitor(
                peer.decode("latin-1"), hostname, outcome.removeprefix(_REFUSED), count, first, last
            )
            for (peer, hostname, outcome), (count, first, last) in reversed(self._counts.items())
        ]
