"""Counts wrong tokens for each address, so that no address can try many.

It decides nothing about a token and keeps none: only hashes.  Called by :mod:`.tunnels` for each
handshake whose token is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..shares.distinct import DistinctCounter
from ..shares.spent import Spending

__all__ = ["FAILURES", "FAILURE_WINDOW", "MAX_ADDRESSES", "FailureLimiter"]

FAILURES: Final = 20
"""Different wrong tokens from one address in ``FAILURE_WINDOW``; more are refused with 429."""

FAILURE_WINDOW: Final = 60.0
"""Seconds in which wrong tokens are counted, and after which an address starts again at zero."""

MAX_ADDRESSES: Final = 10_000
"""Addresses remembered, 12 MB; one more takes the place of one that has sent the fewest."""


class FailureLimiter:
    """Wrong tokens by address.

    Different ones only: apps whose token was revoked send the same one again and again, and share
    their address with apps whose token is good.
    """

    def __init__(self) -> None:
        self._failures: DistinctCounter[str] = DistinctCounter(
            window=FAILURE_WINDOW, most=FAILURES, size=MAX_ADDRESSES
        )

    def join(self, spending: Spending, now: Callable[[], float]) -> None:
        """Count together with the other serving processes from now on."""

        def add(parts: list[str], mark: int) -> None:
            self._failures.add_mark(parts[0], mark, now())

        note = spending.share_marks("tokens", add)
        self._failures.spent = lambda group, mark: note([group], mark)

    def __len__(self) -> int:
        return len(self._failures)

    def count(self, group: str, token: str, now: float) -> bool:
        """Count a wrong token; return whether its address has sent too many.

        Args:
            group: The address, or the network that counts as one (:func:`..address.group_of`).
            token: What came in the Authorization field; any text.
            now: Monotonic seconds.
        """
        return self._failures.add(group, token, now) > FAILURES
