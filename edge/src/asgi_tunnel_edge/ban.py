"""One ban as the edge keeps it. Who is banned now is decided in ``guards.bans``."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["MAX_BANS", "MAX_REASON", "BanRecord"]

MAX_BANS: Final = 10_000
"""Bans in the store: read whole into a snapshot by a running edge, 30 ms for all. More addresses
than that are better banned as networks."""

MAX_REASON: Final = 200
"""Characters of a ban's reason: one line of a table."""


class BanRecord(Struct, frozen=True, kw_only=True):
    """A banned address or network. Times are whole seconds since 1970, UTC."""

    address: str  #: as ``network.normalise_network`` spells it
    created_at: int
    expires_at: int | None = None  #: None: until somebody takes it back
    reason: str = ""

    def is_over(self, now: float) -> bool:
        """Has it expired?"""
        return self.expires_at is not None and now >= self.expires_at
