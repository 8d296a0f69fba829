"""Bans as the edge keeps them. Who is banned now is decided in ``guards``."""

from __future__ import annotations

from typing import Final

from msgspec import Struct

__all__ = [
    "APP",
    "MAX_APP_BANS",
    "MAX_BANS",
    "MAX_REASON",
    "MAX_SCANNER_BANS",
    "MAX_TOKEN_BANS",
    "BanRecord",
    "ScannerBan",
    "app_owner",
    "token_of",
]

MAX_BANS: Final = 10_000
"""Bans in the store: read whole into a snapshot by a running edge, 30 ms for all. More addresses
than that are better banned as networks."""

MAX_SCANNER_BANS: Final = 2_000
"""Bans of the scanner guard at one time, 1 MB; the first one banned goes first. Strangers cause
them, and each change of them is written and read whole, once a second at the most: 15 ms."""

MAX_APP_BANS: Final = 2_000
"""Bans of all apps together, for the same reason. Above it the app with the most gives one up."""

MAX_TOKEN_BANS: Final = 200
"""Bans of the apps of one token; one more is refused. Networks say more in one."""

APP: Final = "app:"
"""Before the id of a token, as the owner of a ban: its app has made it, and not the guard."""

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
    """An address that the scanner guard, or an app, has banned from the hostnames of one owner.

    The edge makes them itself and keeps them in the store, so that they are seen and taken back
    there.
    """

    address: str  #: one address, or the network that counts as one; an app's may be any network
    owner: str  #: the id of a token; empty: of the names that no token has; see `APP`
    created_at: int
    expires_at: int
    reason: str

    def is_over(self, now: float) -> bool:
        """Has it expired?"""
        return now >= self.expires_at


def app_owner(token_id: str) -> str:
    """Return the owner of the bans that the apps of a token make."""
    return f"{APP}{token_id}"


def token_of(owner: str) -> str | None:
    """Return the token whose app has made a ban; None: the scanner guard has."""
    return owner.removeprefix(APP) if owner.startswith(APP) else None
