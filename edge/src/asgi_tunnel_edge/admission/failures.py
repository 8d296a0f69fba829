"""Counts wrong tokens for each address, so that no address can try many.

It decides nothing about a token and keeps none: only digests.  Called by :mod:`.tunnels` for each
handshake whose token is refused.
"""

from __future__ import annotations

import hashlib
from typing import Final

__all__ = ["FAILURES", "FAILURE_WINDOW", "FailureLimiter"]

FAILURES: Final = 20
"""Different wrong tokens from one address in ``FAILURE_WINDOW``; more are refused with 429."""

FAILURE_WINDOW: Final = 60.0
"""Seconds in which wrong tokens are counted, and after which an address starts again at zero."""

_MAX_ADDRESSES: Final = 10_000
"""Addresses remembered; one more empties the table."""


class FailureLimiter:
    """Wrong tokens by address.

    Different ones only: apps whose token was revoked send the same one again and again, and share
    their address with apps whose token is good.
    """

    def __init__(self) -> None:
        self._failures: dict[str, tuple[float, set[bytes]]] = {}  # since when, and which

    def count(self, group: str, token: str, now: float) -> bool:
        """Count a wrong token; return whether its address has sent too many.

        Args:
            group: The address, or the network that counts as one (:func:`..address.group_of`).
            token: What came in the Authorization field; any text.
            now: Monotonic seconds.
        """
        since, digests = self._failures.get(group, (now, set()))
        if now - since > FAILURE_WINDOW:
            since, digests = now, set()
        digest = hashlib.sha256(token.encode("utf-8", "backslashreplace")).digest()
        is_over = len(digests) >= FAILURES and digest not in digests
        if not is_over:
            digests.add(digest)
        if len(self._failures) >= _MAX_ADDRESSES and group not in self._failures:
            self._failures.clear()
        self._failures[group] = since, digests
        return is_over
