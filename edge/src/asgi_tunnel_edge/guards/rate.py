"""Limits how many requests a second one address, and one hostname, may have (429).

GCRA (ITU-T I.371): for each key one number is kept, the time at which the next request would be
due at the rate. A request may come before that by the burst's tolerance, and moves it on by one
interval; one that is refused moves nothing, so whoever waits as told is served.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from typing import Final

from .facts import Deny, Facts, Pace

__all__ = ["MAX_KEYS", "RateGuard"]

MAX_KEYS: Final = 32_768
"""Addresses and hostnames remembered, 8 MB. The one heard of longest ago goes first: at the default
rate it is forgotten without harm after 5 seconds of silence."""

_ADDRESS: Final = "too many requests come from this address"
_HOSTNAME: Final = "too many requests come for this name right now"


class RateGuard:
    """See the module."""

    __slots__ = ("_due", "denied")

    def __init__(self) -> None:
        self.denied = 0
        self._due: OrderedDict[str, float] = OrderedDict()  # least recently heard of first

    def __len__(self) -> int:
        return len(self._due)

    def check(self, facts: Facts, now: float) -> Deny | None:
        """See :class:`.facts.Guard`."""
        rules, client = facts.rules, facts.client
        if rules.pace.interval and not client.is_exempt:
            # A name with a rate of its own is counted by itself; "/" is in no hostname.
            key = f"{client.group}/{facts.name}" if rules.has_own_pace else client.group
            wait = self._take(key, rules.pace, now)
            if wait:
                self.denied += 1
                return Deny(429, _ADDRESS, math.ceil(wait), "rate")
        if rules.hostname_pace.interval and facts.name:
            wait = self._take(f"/{facts.name}", rules.hostname_pace, now)
            if wait:
                self.denied += 1
                return Deny(429, _HOSTNAME, math.ceil(wait), "rate")
        return None

    def _take(self, key: str, pace: Pace, now: float) -> float:
        """Count a request; return 0, or the seconds after which it would be taken."""
        due = self._due
        at = due.get(key)
        if at is None:
            if len(due) >= MAX_KEYS:
                due.popitem(last=False)
            due[key] = now + pace.interval
            return 0.0
        due.move_to_end(key)
        wait = at - now - pace.tolerance
        # The clock's own grain: a request exactly at its time is not early.
        if wait > 1e-9:
            return wait
        due[key] = max(at, now) + pace.interval
        return 0.0
