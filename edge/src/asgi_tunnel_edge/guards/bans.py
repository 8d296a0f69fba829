"""Turns away whom the operator has banned (403): ``asgi-tunnel-edge ban add``.

Bans are kept in the store and come with each snapshot. Unlike all other guards this one also
stands before tunnels: a banned address has no connection to the edge at all.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..network import Networks
from ..replies import Reply
from .guard import RequestContext

if TYPE_CHECKING:
    from ..ban import BanRecord

__all__ = ["BANNED", "BanGuard"]

BANNED: Final = Reply(403, "this address is banned", source="bans", reason="banned")


class BanGuard:
    """See the module."""

    __slots__ = ("_networks", "_records", "denied")

    def __init__(self) -> None:
        self.denied = 0
        self._records: Sequence[BanRecord] = ()
        self._networks: Networks | None = None  # None: no bans, nothing to look up

    def apply(self, records: Sequence[BanRecord], *, now: float, wall: float) -> bool:
        """Follow the store; return whether anything changed.

        Args:
            records: All bans.
            now: Monotonic seconds: what bans end by from here on, so that a clock which is set
                neither frees nor bans anybody (T49).
            wall: Seconds since 1970 at the same moment: what the store ends bans by.
        """
        if records == self._records:
            return False
        self._records = records
        networks = Networks(
            (
                record.address,
                math.inf if record.expires_at is None else now + record.expires_at - wall,
            )
            for record in records
        )
        self._networks = networks if records else None
        return True

    def is_banned(self, number: int, now: float) -> bool:
        """Whether an address (:func:`..network.number_of`) is banned now."""
        return self._networks is not None and self._networks.find(number, now) is not None

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """See :class:`.guard.Guard`."""
        networks = self._networks
        if networks is None or networks.find(context.visitor.number, now) is None:
            return None
        self.denied += 1
        return BANNED
