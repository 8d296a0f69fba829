"""Counts each exchange by the hostname that serves it, a minute at a time.

On the hot path: an exchange pays for two lookups and a handful of additions. Called by the context
for each exchange; emptied by :mod:`.book` once a minute.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

from ..observers.access_log import Entry
from ..observers.live_counts import NOBODY
from .tally import Tally

__all__ = ["HistoryCounter"]

MAX_SPELLINGS: Final = 4096
"""Hostnames below wildcards whose registered name is remembered within a minute: visitors make them
up. Others are looked up each time, 0.2 us more."""


_OWN: Final = "-"
"""What entries have in place of a hostname where the edge's own pages were asked for."""


def _known() -> dict[str, Tally]:
    return {_OWN: Tally()}  # which nobody reads


class HistoryCounter:
    """See the module; an :class:`..observers.observer.ExchangeObserver`.

    Args:
        name_of: Returns the registered name that a hostname belongs to; None: no token has it.
    """

    def __init__(self, name_of: Callable[[str], str | None]) -> None:
        self._name_of = name_of
        self._tallies: dict[str, Tally] = {}  # by registered name: no more than the store has
        self._known = _known()  # the same, by the hostname that was visited

    def closed(self, entry: Entry) -> None:
        """See :class:`..observers.observer.ExchangeObserver`."""
        tally = self._known.get(entry.hostname)
        if tally is None:
            tally = self._find(entry.hostname)
        tally.count(entry.status, entry.sent, entry.seconds)

    @property
    def tallies(self) -> Mapping[str, Tally]:
        """What was counted since the last :meth:`take`, by registered name."""
        return self._tallies

    def take(self) -> dict[str, Tally]:
        """Return what was counted, and begin anew."""
        taken, self._tallies, self._known = self._tallies, {}, _known()
        return taken

    def _find(self, hostname: str) -> Tally:
        name = self._name_of(hostname) or NOBODY
        tally = self._tallies.get(name)
        if tally is None:
            tally = self._tallies[name] = Tally()
        if name != NOBODY and len(self._known) < MAX_SPELLINGS:
            self._known[hostname] = tally
        return tally
