"""How fast an address group does something: opens connections, or makes errors.

Asked for each connection, before TLS, and never for a request: a group that opens connections too
fast, or whose connections end in errors, is not served until it has slowed down. The groups are
those of :func:`..address.networks_of`, and each level has its own allowance.

The rate is GCRA (ITU-T I.371), as in ``guards/rate.py``: one number for each key.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from .spent import SpentTable

__all__ = ["CONNECTIONS", "ERRORS", "MAX_KEYS", "Allowance", "Ledger", "forget_one"]

MAX_KEYS: Final = 32_768
"""Groups remembered by one ledger: 8 MB. Of those who owe nothing the one heard of longest ago is
forgotten first; a debt of the defaults is gone after 10 seconds by itself."""

_LOOK: Final = 16
"""Keys that are looked at for the one to forget. Who wants to be forgotten needs a whole table of
other networks that each owe as much."""

_WIDER: Final = (1, 4, 16)
"""How many times the rate and the burst of an address a /56 and a /48 have: many visitors may be in
one, and one visitor may have all of one."""


class Allowance(NamedTuple):
    """What one address may do."""

    rate: float  #: a second
    burst: int  #: at once


CONNECTIONS: Final = Allowance(200.0, 2000)
"""Connections of one address: a handshake costs 1 ms of a core, so one address can take a fifth of
one. Two hundred browsers behind one NAT that come back together open 1,200."""

ERRORS: Final = Allowance(10.0, 100)
"""Malformed requests, failed TLS handshakes and wrong tokens of one address. A broken client that
tries again each second is never noticed; a scanner at full speed is stopped after 100."""


class Ledger:
    """What groups owe, by one allowance.

    Args:
        allowance: Of one address, and of an IPv6 /64.

    Attributes:
        interval: Seconds between two events at the rate.
        spent: Notes what is counted here, for other processes; None: there are none.
    """

    __slots__ = ("_due", "_tolerance", "interval", "spent")

    def __init__(self, allowance: Allowance) -> None:
        self.interval = 1 / allowance.rate
        self._tolerance = (allowance.burst - 1) / allowance.rate
        self._due: OrderedDict[str, float] = OrderedDict()  # least recently heard of first
        self.spent: SpentTable | None = None

    def __len__(self) -> int:
        return len(self._due)

    def add(self, path: Sequence[str], now: float) -> None:
        """Count one event of an address.

        Args:
            path: Its groups, from the narrowest to the widest.
            now: Monotonic seconds.
        """
        spent = self.spent
        for key, width in zip(path, _WIDER, strict=False):
            self.charge(key, self.interval / width, now)
            if spent is not None:
                spent.note(key, self.interval / width)

    def charge(self, key: str, seconds: float, now: float) -> None:
        """Let a group owe more: what it did, here or in another process.

        Args:
            key: The group.
            seconds: At the rate.
            now: Monotonic seconds.
        """
        due = self._due
        # What is owed has a bound: who stops is served again after the burst's time.
        latest = now + self._tolerance + self.interval
        at = due.get(key)
        if at is None:
            if len(due) >= MAX_KEYS:
                forget_one(due, now)
            due[key] = min(now + seconds, latest)
        else:
            due.move_to_end(key)
            due[key] = min(max(at, now) + seconds, latest)

    def wait(self, path: Sequence[str], now: float) -> float:
        """Return the seconds until an address is served again.

        Negative while it is: so much of the burst is left, in seconds at the rate.

        A group that is asked about is remembered as long as one that does something.
        """
        due = self._due
        longest = -self._tolerance
        for key in path:
            at = due.get(key)
            if at is not None:
                due.move_to_end(key)
                longest = max(longest, at - now - self._tolerance)
        return longest


def forget_one(due: OrderedDict[str, float], now: float) -> None:
    """Make room in a table of GCRA: forget a key that owes nothing, else one that owes the least.

    Args:
        due: When each key has paid what it owes; the one heard of longest ago first. Not empty.
        now: Monotonic seconds.
    """
    least, earliest = "", math.inf
    for _ in range(min(_LOOK, len(due))):
        key, at = due.popitem(last=False)
        if at <= now:
            return
        due[key] = at
        if at < earliest:
            least, earliest = key, at
    del due[least]
