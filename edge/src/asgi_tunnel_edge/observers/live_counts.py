"""Counts exchanges by hostname while somebody looks: for ``asgi-tunnel-edge top``.

It is an observer only as long as somebody does: otherwise an exchange pays nothing for it. Asked by
:mod:`..questions`.
"""

from __future__ import annotations

import itertools
import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Protocol

from .access_log import Entry
from .observer import ExchangeObserver

__all__ = ["NOBODY", "STEP", "LiveCounts"]

LEASE: Final = 15.0
"""Seconds that it goes on counting after the last look: a look comes each second."""

SHOWN: Final = 500
"""Hostnames in one reply, 80 KB: 2 ms of the event loop. Those with the newest requests; a screen
has room for fifty."""

STEP: Final = 1.5
"""From one bound of a duration to the next: a percentile is right to a fifth."""

BUCKETS: Final = 30
"""Durations up to 1 ms, 1.5 ms and so on, to two minutes and more."""

NOBODY: Final = "-"
"""Stands for all hostnames that no token has: visitors make them up."""

_LOG_STEP: Final = math.log(STEP)


class _Count:
    """What one hostname had."""

    __slots__ = ("durations", "requests", "sent", "statuses")

    def __init__(self) -> None:
        self.requests = 0
        self.statuses = [0, 0, 0, 0, 0]  # 1xx to 5xx
        self.sent = 0  # bytes of bodies
        self.durations = [0] * BUCKETS  # WebSockets are not among them


class Observed(Protocol):
    """What tells observers of exchanges: :class:`..context.EdgeContext`."""

    now: Callable[[], float]

    def attach(self, observer: ExchangeObserver) -> None:
        """Tell an observer from now on; once, however often it is called."""

    def detach(self, observer: ExchangeObserver) -> None:
        """Tell it no more."""


class LiveCounts:
    """See the module; an :class:`.observer.ExchangeObserver`.

    Args:
        observed: Tells of exchanges, as long as somebody looks.
        name_of: Returns the registered name that a hostname belongs to; None: no token has it.
    """

    def __init__(self, observed: Observed, name_of: Callable[[str], str | None]) -> None:
        self._observed = observed
        self._name_of = name_of
        self._until = 0.0
        # In the order of their newest requests; no more than the store has names.
        self._counts: OrderedDict[str, _Count] = OrderedDict()

    def closed(self, entry: Entry) -> None:
        """See :class:`.observer.ExchangeObserver`."""
        if self._observed.now() >= self._until:
            self._observed.detach(self)
            self._counts.clear()
            return
        name = self._name_of(entry.hostname) or NOBODY
        count = self._counts.get(name)
        if count is None:
            count = self._counts[name] = _Count()
        self._counts.move_to_end(name)
        count.requests += 1
        count.sent += entry.sent
        status = entry.status
        if 100 <= status < 600:
            count.statuses[status // 100 - 1] += 1
        if status != 101:
            count.durations[_bucket(entry.seconds)] += 1

    def look(self) -> list[dict[str, Any]]:
        """Return what was counted since the first look, and go on counting for a while.

        Returns:
            ``name``, ``requests``, ``statuses`` (1xx to 5xx), ``sent`` (bytes), and ``durations``:
            how many took up to 1 ms, ``STEP`` ms, its square and so on.
        """
        now = self._observed.now()
        if now >= self._until:
            self._counts.clear()
        self._until = now + LEASE
        self._observed.attach(self)
        newest = itertools.islice(reversed(self._counts.items()), SHOWN)
        return [
            {
                "name": name,
                "requests": count.requests,
                "statuses": [*count.statuses],  # these go on counting
                "sent": count.sent,
                "durations": [*count.durations],
            }
            for name, count in newest
        ]


def _bucket(seconds: float) -> int:
    """Return the number of the first bound that a duration does not exceed."""
    if seconds <= 0.001:
        return 0
    return min(math.ceil(math.log(seconds * 1000) / _LOG_STEP), BUCKETS - 1)
