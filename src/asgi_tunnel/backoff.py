"""How long to wait before the next try: full jitter, for ever."""

from __future__ import annotations

import random
from typing import Final

BASE: Final = 0.5
"""Seconds; the shortest bound of a wait."""

CAP: Final = 8.0
"""Seconds; the longest wait, so that a network that is back is noticed soon."""

SHARE: Final = 0.25
"""Part of the time without a connection that the next wait may take.  After a short outage the
return is short (0.5 s after 2 s), and a long one does not become a storm."""

STABLE_AFTER: Final = 10.0
"""Seconds a session has to last before an outage counts as a new one: a session that is cut as
soon as it is there must not become a busy loop."""

PERMANENT: Final = 60.0
"""Seconds between tries that are not expected to help: the token is refused."""


class Backoff:
    """Waits for one connection.

    Args:
        now: Monotonic seconds, when the outage began.
    """

    __slots__ = ("_connected", "_since")

    def __init__(self, now: float) -> None:
        self._since = now
        self._connected = now

    def connected(self, now: float) -> None:
        """A session is there."""
        self._connected = now

    def lost(self, now: float) -> float:
        """The session is gone; a new outage begins if it had been stable.

        Returns:
            Seconds it lasted.
        """
        lasted = now - self._connected
        if lasted > STABLE_AFTER:
            self._since = now
        return lasted

    def next(self, now: float) -> float:
        """Return the seconds to wait: anything from 0 to a bound that grows with the outage."""
        bound = min(CAP, max(BASE, SHARE * (now - self._since)))
        return random.uniform(0, bound)  # noqa: S311 - spreads a crowd, hides no secret
