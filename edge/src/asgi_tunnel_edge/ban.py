"""Bans as the edge keeps them. Who is banned now is decided in ``guards``."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = ["MAX_BANS", "MAX_REASON", "MAX_SCANNER_BANS", "BanRecord", "ScannerBan"]

MAX_BANS: Final = 10_000
"""Bans in the store: read whole into a snapshot by a running edge, 30 ms for all. More addresses
than that are better banned as networks."""

MAX_SCANNER_BANS: Final = 2_000
"""Bans of the scanner guard at one time, 1 MB; the first one banned goes first. Strangers cause
them, and each change of them is written and read whole, once a second at the most: 15 ms."""

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


class ScannerBan(Struct, frozen=True, kw_only=True):
    """An address that the scanner guard has banned from the hostnames of one owner.

    The edge makes them itself and keeps them in the store, so that they are seen and taken back
    there.
    """

    address: str  #: one address, or the network that counts as one
    owner: str  #: the id of a token; empty: of the names that no token has
    created_at: int
    expires_at: int
    reason: str

    def is_over(self, now: float) -> bool:
        """Has it expired?"""
        return now >= self.expires_at
