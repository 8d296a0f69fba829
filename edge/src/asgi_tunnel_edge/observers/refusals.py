"""Sums up what the access log would say of one visitor's refused requests again and again.

Nobody has to be served to fill a disk: malformed heads, wrong tokens and probes are refused at some
thousand a second.  The first of a minute have a line each, as every other request; the rest
is one line with a count.  Called by :mod:`..context` for each reply to what a visitor did wrong.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Sequence
from typing import Final

from ..address import networks_of
from .access_log import Entry
from .observer import ExchangeObserver, notify

__all__ = ["RefusalFilter", "RefusalSum"]

WINDOW: Final = 60.0
"""Seconds for which refusals are counted."""

MAX_LINES: Final = 20
"""Lines of one visitor and one reason in a window; a person who tries something makes fewer."""

MAX_NETWORK_LINES: Final = 80
"""The same of an IPv6 /48, which one customer of a data centre has, and in it 65,536 visitors."""

MAX_ALL_LINES: Final = 6000
"""Lines of all visitors in a window: 100 a second, 1 GB a day at the worst."""

MAX_VISITORS: Final = 10_000
"""Pairs of visitor and reason that are counted, 3 MB; what is above is one count for all."""

_EVERYBODY: Final = "-"


class _Count:
    """The refusals of one visitor, or of one network, for one reason."""

    __slots__ = ("left_out", "lines", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.lines = 0
        self.left_out = 0


class RefusalSum:
    """See the module.

    Args:
        observers: Hear of each entry that is not left out, and of the sums.
    """

    def __init__(self, observers: Sequence[ExchangeObserver]) -> None:
        self._observers = observers
        self._counts: dict[tuple[str, int, str], _Count] = {}
        self._since = 0.0  # of `_lines`
        self._lines = 0

    def closed(self, entry: Entry, now: float) -> None:
        """Tell the observers of a refused request, or count it.

        Args:
            entry: With the visitor's address.
            now: Monotonic seconds.
        """
        if now - self._since >= WINDOW:
            self._since, self._lines = now, 0
        groups = networks_of(entry.peer.decode("latin-1"))
        network: _Count | None = None
        if len(groups) > 1:
            network = self._count_of(groups[-1], entry, now)
            if network.lines >= MAX_NETWORK_LINES:
                network.left_out += 1
                return
        count = self._count_of(groups[0], entry, now)
        if count.lines >= MAX_LINES or self._lines >= MAX_ALL_LINES:
            count.left_out += 1
            return
        if network is not None:
            network.lines += 1
        count.lines += 1
        self._lines += 1
        notify(self._observers, entry)

    def _count_of(self, group: str, entry: Entry, now: float) -> _Count:
        key = (group, entry.status, entry.outcome)
        count = self._counts.get(key)
        if count is None:
            if len(self._counts) >= MAX_VISITORS:
                key = (_EVERYBODY, entry.status, _EVERYBODY)
            count = self._counts.setdefault(key, _Count(now))
        return count

    def flush(self, now: float) -> None:
        """Tell the observers what was counted in windows that are over.

        Args:
            now: Monotonic seconds; infinity for all windows.
        """
        for key, count in list(self._counts.items()):
            if now - count.since >= WINDOW:
                del self._counts[key]
                if count.left_out:
                    notify(self._observers, _sum(key, count.left_out))

    def stop(self) -> None:
        """Tell all, at the end."""
        self.flush(math.inf)


class RefusalFilter:
    """Observes exchanges: what is a group's own doing is summed up, all else has its line.

    Args:
        refusals: Sums up.
        observers: Hear of the others.
        outcomes: Of exchanges that are summed up.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        refusals: RefusalSum,
        observers: Sequence[ExchangeObserver],
        outcomes: Collection[str],
        now: Callable[[], float],
    ) -> None:
        self._refusals = refusals
        self._observers = observers
        self._outcomes = outcomes
        self._now = now

    def closed(self, entry: Entry) -> None:
        """See :class:`.observer.ExchangeObserver`."""
        if entry.outcome and entry.outcome in self._outcomes:
            self._refusals.closed(entry, self._now())
        else:
            notify(self._observers, entry)


def _sum(key: tuple[str, int, str], left_out: int) -> Entry:
    group, status, outcome = key
    times = "time" if left_out == 1 else "times"
    why = f"{outcome} ({left_out:,} more {times} in a minute)"
    return Entry(b"-", group.encode("latin-1"), b"-", "-", b"-", status, 0, 0.0, why)
