"""Turns visitors away from hostnames that are closed for maintenance (503).

``asgi-tunnel-edge host maintenance`` keeps them in the store, from where they come with each
snapshot. Exchanges that have begun go on, and the app keeps its tunnel.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from ..network import Networks
from ..replies import Reply
from .guard import RequestContext

if TYPE_CHECKING:
    from ..maintenance import MaintenanceRecord

__all__ = ["RETRY_AFTER", "MaintenanceGuard"]

RETRY_AFTER: Final = 120
"""Seconds after which to come back where no end is known: for crawlers; pages look more often."""


class _Closed:
    """One hostname."""

    __slots__ = ("_allow", "_ends", "_record")

    def __init__(self, record: MaintenanceRecord, ends: float) -> None:
        self._record = record
        self._ends = ends  # monotonic; infinite where no end is known
        self._allow = Networks((one, math.inf) for one in record.allow) if record.allow else None

    def admits(self, number: int) -> bool:
        """Whether a visitor may pass."""
        return self._allow is not None and self._allow.find(number, 0.0) is not None

    def reply(self, now: float) -> Reply:
        """Say so; an end that is over is not named any more."""
        left = self._ends - now
        is_ahead = 0 < left < math.inf
        return Reply(
            503,
            "the app is closed for maintenance",
            math.ceil(left) if is_ahead else RETRY_AFTER,
            source="maintenance",
            closes=False,
            reason="maintenance",
            notice=self._record.message,
            until=self._record.until if is_ahead else None,
        )


class MaintenanceGuard:
    """See the module."""

    __slots__ = ("_closed", "_records", "denied")

    def __init__(self) -> None:
        self.denied = 0
        self._records: Sequence[MaintenanceRecord] = ()
        self._closed: dict[str, _Closed] = {}

    @property
    def is_used(self) -> bool:
        """Whether anything is closed."""
        return bool(self._closed)

    def apply(self, records: Sequence[MaintenanceRecord], *, now: float, wall: float) -> None:
        """Follow the store.

        Args:
            records: All hostnames that are closed.
            now: Monotonic seconds, which ends are counted by from here on (T49).
            wall: Seconds since 1970 at the same moment.
        """
        if records == self._records:
            return
        self._records = records
        self._closed = {
            record.hostname: _Closed(
                record, math.inf if record.until is None else now + record.until - wall
            )
            for record in records
        }

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """See :class:`.guard.Guard`."""
        closed = self._closed.get(context.name)
        if closed is None or closed.admits(context.visitor.number):
            return None
        self.denied += 1
        return closed.reply(now)
