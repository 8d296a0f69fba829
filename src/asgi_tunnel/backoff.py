"""How long to wait before the next try: full jitter, for ever."""

from __future__ import annotations

import random
from typing import Final

BASE: Final = 0.5
"""Seconds; the first wait is between 0 and this."""

CAP: Final = 8.0
"""Seconds; the longest wait, so that a network that is back is noticed soon."""

STABLE_AFTER: Final = 10.0
"""Seconds a session has to last before waits start small again: a session that is cut as soon as
it is there must not become a busy loop."""

PERMANENT: Final = 60.0
"""Seconds between tries that are not expected to help: the token is refused."""


class Backoff:
    """Waits for one connection."""

    __slots__ = ("_tries",)

    def __init__(self) -> None:
        self._tries = 0

    def reset(self) -> None:
        """Start small again."""
        self._tries = 0

    def next(self) -> float:
        """Return the seconds to wait now: anything from 0 to a bound that doubles (full jitter)."""
        bound = min(CAP, BASE * 2**self._tries)
        self._tries = min(self._tries + 1, 10)
        return random.uniform(0, bound)  # noqa: S311 - spreads a crowd, hides no secret
