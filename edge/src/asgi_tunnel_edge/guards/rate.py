"""Limits how many requests a second one address, and one hostname, may have (429).

GCRA (ITU-T I.371): for each key one number is kept, the time at which the next request would be
due at the rate. A request may come before that by the burst's tolerance, and moves it on by one
interval; one that is refused moves nothing, so a visitor that waits for Retry-After is served.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from ..replies import Reply
from ..shares.ledger import forget_one
from ..shares.spent import SpentTable
from .guard import RateLimit, RequestContext

__all__ = ["MAX_KEYS", "RateGuard"]

MAX_KEYS: Final = 32_768
"""Addresses and hostnames remembered, 8 MB. Of those who owe nothing the one heard of longest ago
is forgotten first: at the default rate that is without harm after 5 seconds of silence."""

_ADDRESS: Final = "too many requests come from this address"
_HOSTNAME: Final = "too many requests come for this name right now"


class RateGuard:
    """See the module.

    Attributes:
        denied: Requests that were refused so far.
        spent: Notes what is counted here, for other processes; None: there are none.
    """

    __slots__ = ("_due", "denied", "spent")

    def __init__(self) -> None:
        self.denied = 0
        self.spent: SpentTable | None = None
        self._due: OrderedDict[str, float] = OrderedDict()  # least recently heard of first

    def __len__(self) -> int:
        return len(self._due)

    def check(self, context: RequestContext, now: float) -> Reply | None:
        """See :class:`.guard.Guard`."""
        rules, visitor = context.rules, context.visitor
        if rules.rate_limit.interval and not visitor.is_exempt:
            # A name with a rate of its own is counted by itself; "/" is in no hostname.
            key = f"{visitor.group}/{context.name}" if rules.has_own_rate_limit else visitor.group
            wait = self.take(key, rules.rate_limit, now)
            if wait:
                self.denied += 1
                return Reply(429, _ADDRESS, math.ceil(wait), source="rate")
        if rules.hostname_rate_limit.interval and context.name:
            wait = self.take(f"/{context.name}", rules.hostname_rate_limit, now)
            if wait:
                self.denied += 1
                return Reply(429, _HOSTNAME, math.ceil(wait), source="rate")
        return None

    def forget(self, now: float) -> None:
        """Forget a key that owes nothing, else one that owes the least."""
        if self._due:
            forget_one(self._due, now)

    def take(self, key: str, rate_limit: RateLimit, now: float) -> float:
        """Count a request; return 0, or the seconds after which it would be taken.

        Args:
            key: What is counted together.
            rate_limit: Has an interval.
            now: Monotonic seconds.
        """
        due = self._due
        at = due.get(key)
        if at is None:
            if len(due) >= MAX_KEYS:
                forget_one(due, now)
            due[key] = now + rate_limit.interval
            if self.spent is not None:
                self.spent.note(key, rate_limit.interval)
            return 0.0
        due.move_to_end(key)
        wait = at - now - rate_limit.tolerance
        # The clock's own grain: a request exactly at its time is not early.
        if wait > 1e-9:
            return wait
        due[key] = max(at, now) + rate_limit.interval
        if self.spent is not None:
            self.spent.note(key, rate_limit.interval)
        return 0.0

    def charge(self, key: str, seconds: float, now: float) -> None:
        """Let a key owe more: what other processes have let pass.

        Args:
            key: What is counted together.
            seconds: At its rate.
            now: Monotonic seconds.
        """
        due = self._due
        if key not in due and len(due) >= MAX_KEYS:
            forget_one(due, now)
        due[key] = max(due.get(key, now), now) + seconds
        due.move_to_end(key)
