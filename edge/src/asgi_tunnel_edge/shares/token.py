"""What one token may have and do at one time, over all of its sessions and hostnames."""

from __future__ import annotations

from collections.abc import Container
from typing import Final

from asgi_tunnel.protocol.limits import OVERHEAD_BURST, OVERHEAD_RATE
from asgi_tunnel.protocol.overhead import Allowance

__all__ = ["UNLIMITED", "TokenShare", "TokenShares"]

UNLIMITED: Final = 1 << 62
"""Visitors of a route that belongs to no token: a page of the edge's own."""


class TokenShare:
    """The share of one token; its routes and sessions hold the same one.

    Args:
        max_visitors: Exchanges and WebSockets in progress, those that wait for the app included.

    Attributes:
        max_visitors: As given; may change while it is in use.
        overhead: Frames without content or effect that its sessions may send.
        visitors: How many are in progress.
    """

    __slots__ = ("max_visitors", "overhead", "visitors")

    def __init__(self, max_visitors: int = UNLIMITED) -> None:
        self.max_visitors = max_visitors
        self.overhead = Allowance(OVERHEAD_RATE, OVERHEAD_BURST)
        self.visitors = 0

    def follow(self, *, max_visitors: int, max_frames: int) -> None:
        """Change what the token may have and do; what is in progress goes on.

        Args:
            max_visitors: As for the class.
            max_frames: A second, without content or effect; five times as many at once.
        """
        self.max_visitors = max_visitors
        self.overhead.change(max_frames, max_frames * OVERHEAD_BURST // OVERHEAD_RATE)

    def enter(self) -> bool:
        """Count a visitor; False when there is no place for it."""
        if self.visitors >= self.max_visitors:
            return False
        self.visitors += 1
        return True

    def leave(self) -> None:
        """A visitor that was counted is done."""
        self.visitors -= 1


class TokenShares:
    """The shares of all tokens of the store."""

    __slots__ = ("_by_id",)

    def __init__(self) -> None:
        self._by_id: dict[str, TokenShare] = {}

    def of(self, token_id: str) -> TokenShare:
        """Return the share of a token that is in the store."""
        share = self._by_id.get(token_id)
        if share is None:
            share = self._by_id[token_id] = TokenShare()
        return share

    def keep(self, token_ids: Container[str]) -> None:
        """Forget the shares of all other tokens."""
        for token_id in [one for one in self._by_id if one not in token_ids]:
            del self._by_id[token_id]
