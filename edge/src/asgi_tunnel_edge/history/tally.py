"""What one hostname had in one span of time, and what can be read off it. Pure."""

from __future__ import annotations

import struct
from bisect import bisect_left
from collections.abc import Iterable
from typing import Final, Self

from ..observers.live_counts import BUCKETS, STEP

__all__ = ["BOUNDS", "Tally"]

BOUNDS: Final = tuple(0.001 * STEP**step for step in range(BUCKETS - 1))
"""Seconds up to which a duration counts into each bucket; the last one takes the rest."""

_PACKED: Final = struct.Struct(f"<{BUCKETS}I")
_MOST: Final = 2**32 - 1


class Tally:
    """Counts of exchanges, which can be added.

    Attributes:
        requests: All of them.
        statuses: By hundreds, 1xx to 5xx.
        sent: Bytes of responses' bodies.
        durations: By bucket (:data:`BOUNDS`); WebSockets are not among them.
    """

    __slots__ = ("durations", "requests", "sent", "statuses")

    def __init__(self) -> None:
        self.requests = 0
        self.statuses = [0, 0, 0, 0, 0]
        self.sent = 0
        self.durations = [0] * BUCKETS

    def count(self, status: int, sent: int, seconds: float) -> None:
        """Count one exchange that is over."""
        self.requests += 1
        self.sent += sent
        if 100 <= status < 600:
            self.statuses[status // 100 - 1] += 1
        if status != 101:
            self.durations[bisect_left(BOUNDS, seconds)] += 1

    def add(self, other: Tally) -> Self:
        """Count all that another one has counted."""
        self.requests += other.requests
        self.sent += other.sent
        self.statuses = [a + b for a, b in zip(self.statuses, other.statuses, strict=True)]
        self.durations = [a + b for a, b in zip(self.durations, other.durations, strict=True)]
        return self

    @classmethod
    def sum(cls, tallies: Iterable[Tally]) -> Self:
        """Return all of them together."""
        found = cls()
        for one in tallies:
            found.add(one)
        return found

    @property
    def errors(self) -> int:
        """Responses of the app, or of the edge in its place, that say it failed: 5xx."""
        return self.statuses[4]

    def percentile(self, share: float) -> float | None:
        """Return the seconds that a share of the exchanges did not exceed.

        Within a bucket they are taken to be spread evenly, so it is right to a fifth or so.

        Args:
            share: From 0 to 1.
        """
        total = sum(self.durations)
        if not total:
            return None
        wanted, seen = share * total, 0
        for place, count in enumerate(self.durations):
            if count and seen + count >= wanted:
                upper = BOUNDS[min(place, len(BOUNDS) - 1)]
                lower = BOUNDS[place - 1] if place else 0.0
                return lower + (upper - lower) * (wanted - seen) / count
            seen += count
        return BOUNDS[-1]

    def pack(self) -> bytes:
        """Return the durations as bytes."""
        return _PACKED.pack(*(min(one, _MOST) for one in self.durations))

    @classmethod
    def unpack(cls, requests: int, statuses: Iterable[int], sent: int, durations: bytes) -> Self:
        """Return what was kept as numbers and :meth:`pack`.

        Raises:
            ValueError: The bytes are something else.
        """
        found = cls()
        found.requests, found.sent, found.statuses = requests, sent, list(statuses)
        try:
            found.durations = list(_PACKED.unpack(durations))
        except struct.error as error:
            message = f"durations of {len(durations)} bytes are none"
            raise ValueError(message) from error
        return found
