"""What an edge counts where something happens: plain numbers, added up, and read when asked for.

Each part keeps its own counts; :mod:`.metrics` reads them all. Nothing here knows of names or
formats, and adding costs an addition.
"""

from __future__ import annotations

from bisect import bisect_left
from typing import Final

__all__ = [
    "DISPLACED",
    "HANDSHAKE_RESULTS",
    "HOLD_OUTCOMES",
    "LEFT",
    "RESUMED",
    "TIMED_OUT",
    "TUNNELS_REFUSED",
    "Histogram",
    "HoldCounts",
    "TunnelCounts",
]

HOLD_BUCKETS: Final[tuple[float, ...]] = (0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)
"""Seconds that a request waits for an app: a restart takes some, `hold_timeout` is 10."""

RESUMED: Final = "resumed"
TIMED_OUT: Final = "timed_out"
DISPLACED: Final = "displaced"
LEFT: Final = "left"

HOLD_OUTCOMES: Final = (RESUMED, TIMED_OUT, DISPLACED, LEFT)
"""How a wait ends: an app came; none came in time; another visitor needed the place; it left."""

TUNNELS_REFUSED: Final = (
    "unknown",
    "malformed",
    "expired",
    "replaced",
    "revoked",
    "hostname",
    "version",
    "limit",
    "memory",
    "stopping",
)
"""Why a connector gets no session."""


HANDSHAKE_RESULTS: Final = (
    "ok",
    "passed_through",
    "no_certificate",
    "failed",
    "timeout",
    "left",
    "plain_http",
    "displaced",
)
"""How a connection on the TLS port got through its handshake, or did not: TLS is spoken; the app
speaks it; no certificate is for the name; its bytes are no TLS that is spoken here; it took too
long; the peer left; it speaks HTTP without TLS; another one needed the place."""


class Histogram:
    """Counts values by size.

    Args:
        bounds: The upper bounds of its buckets, rising; one more bucket has what is above.

    Attributes:
        bounds: As given.
        counts: How many values are in each bucket, and above.
        total: Their sum.
    """

    __slots__ = ("bounds", "counts", "total")

    def __init__(self, bounds: tuple[float, ...]) -> None:
        self.bounds = bounds
        self.counts = [0] * (len(bounds) + 1)
        self.total = 0.0

    def add(self, value: float) -> None:
        """Count a value."""
        self.counts[bisect_left(self.bounds, value)] += 1
        self.total += value


class HoldCounts:
    """Requests that wait for an app, over all hostnames of one edge.

    Attributes:
        waiting: How many wait now.
        ended: By :data:`HOLD_OUTCOMES`, how long those waited that do not any more, in seconds.
    """

    __slots__ = ("ended", "waiting")

    def __init__(self) -> None:
        self.waiting = 0
        self.ended = {outcome: Histogram(HOLD_BUCKETS) for outcome in HOLD_OUTCOMES}

    def end(self, outcome: str, seconds: float) -> None:
        """A wait is over."""
        self.waiting -= 1
        self.ended[outcome].add(seconds)


class TunnelCounts:
    """What became of connectors and their sessions.

    Attributes:
        opened: Sessions that began.
        resumed: Sessions that went on after their connection was lost.
        lost: Connections that sessions lost.
        ended: Sessions that are over.
        refused: Connectors that got no session, by :data:`TUNNELS_REFUSED`.
    """

    __slots__ = ("ended", "lost", "opened", "refused", "resumed")

    def __init__(self) -> None:
        self.opened = 0
        self.resumed = 0
        self.lost = 0
        self.ended = 0
        self.refused = dict.fromkeys(TUNNELS_REFUSED, 0)
