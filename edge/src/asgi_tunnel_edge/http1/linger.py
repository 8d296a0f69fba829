"""Reading on behind the last response: a reset would take it from a visitor that still sends.

Made when a connection has said all; its clock is LINGER in :mod:`.deadlines`.
"""

from __future__ import annotations

import math
from typing import Final

__all__ = ["LINGER_BYTES", "MAX_LINGER", "Linger"]

MAX_LINGER: Final = 30.0
"""Seconds while bytes come, for a visitor that reads the response behind its upload: 50 MB at
14 Mbit/s. Such a connection is idle for the table, and gives way when that is full."""

LINGER_BYTES: Final = 256 * 1024
"""Bytes dropped behind the close of a WebSocket. Behind a response time is the bound: its visitor
may read it only when all of its request is sent."""


class Linger:
    """How much came since the end, and whether to go on.

    Args:
        now: Monotonic seconds.
        is_websocket: The connection was a WebSocket.
    """

    __slots__ = ("_dropped", "_end", "_limit", "_looked_at")

    def __init__(self, now: float, *, is_websocket: bool) -> None:
        self._end = now + MAX_LINGER
        self._limit = LINGER_BYTES if is_websocket else math.inf
        self._dropped = 0
        self._looked_at = 0  # bytes dropped up to the last look

    def drop(self, size: int) -> bool:
        """Count bytes; return whether they are too many."""
        self._dropped += size
        return self._dropped > self._limit

    def goes_on(self, now: float) -> bool:
        """Whether more came since the last look, and may come."""
        came = self._dropped > self._looked_at
        self._looked_at = self._dropped
        return came and now < self._end
