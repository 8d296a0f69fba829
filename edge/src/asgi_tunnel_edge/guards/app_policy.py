"""Holds what apps want refused: rates (429), unknown paths (404), and who may come in.

``policy`` says which rules hold for a request, and dispatch asks this after all other guards. A
size and a time are bounds of the exchange, which dispatch sets; here is what they may be.

An app may only be stricter than ``edge.toml``. A rule that names an access policy which is not
there lets nobody in (503): the app counts on it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from asgi_tunnel.protocol.policy import PolicyRule

from ..policy.matcher import Match
from ..replies import Reply
from ..shares.rate import RateLimit
from ..shares.spent import Spending, SpentTable, mark_of
from .guard import Rules, VisitorAddress
from .rate import MAX_KEYS, RateGuard

__all__ = ["AppPolicyGuard", "stricter"]

MAX_NOTES: Final = 6
"""Sentences for the app in one WELCOME, which has room for no more."""

_LOOK_EVERY: Final = 64
"""Keys that are forgotten of one token before it is looked which one has the most."""

_MAX_NOTE: Final = 200

_SEPARATOR: Final = "\0"  # between token and key, in what other processes are told

_RATE: Final = "the app takes no more such requests from this address right now"
_UNKNOWN_PATH: Final = Reply(
    404, "the app serves no such path", closes=False, source="policy", reason="unknown-path"
)
_NO_ACCESS: Final = Reply(
    503,
    "the app wants a login here that this edge does not know",
    closes=False,
    source="policy",
    reason="access-unknown",
)


class AppPolicyGuard:
    """See the module.

    Args:
        access: Names of the access policies of ``edge.toml``.
    """

    __slots__ = ("_access", "_evicted", "_keys", "_largest", "_rates", "_spent", "denied")

    def __init__(self, access: Collection[str] = ()) -> None:
        self.denied = 0
        self._access = frozenset(access)
        self._rates: dict[str, RateGuard] = {}  # by token id
        self._keys = 0  # in all of them
        self._largest = ""  # the token that had most of them at the last look
        self._evicted = 0  # keys that were forgotten for others
        self._spent: SpentTable | None = None

    def join(self, spending: Spending, now: Callable[[], float]) -> None:
        """Count together with the other serving processes from now on."""

        def charge(told: str, seconds: float) -> None:
            owner, _, key = told.partition(_SEPARATOR)
            table = self._table(owner)
            before, at = len(table), now()
            table.charge(key, seconds, at)
            self._grown(len(table) - before, at)

        self._spent = spending.share("policy", charge)

    def check(self, match: Match, visitor: VisitorAddress, now: float) -> Reply | None:
        """Decide about one request.

        Args:
            match: What holds for it.
            visitor: Whose it is.
            now: Monotonic seconds.
        """
        if match.is_unknown:
            self.denied += 1
            return _UNKNOWN_PATH
        if not visitor.is_exempt:
            for key, limit in match.rates:
                wait = self._take(match.owner, visitor.group + key, limit, now)
                if wait:
                    self.denied += 1
                    return Reply(429, _RATE, math.ceil(wait), closes=False, source="policy")
        for name in match.access:
            if name not in self._access:
                self.denied += 1
                return _NO_ACCESS
        return None

    def _take(self, owner: str, key: str, limit: RateLimit, now: float) -> float:
        """Count a request."""
        spent = self._spent
        if spent is not None:  # a path may be long, and have any letters
            key = f"{mark_of(key):x}"
        table = self._table(owner)
        before = len(table)
        wait = table.take(key, limit, now)
        if not wait and spent is not None:
            spent.note(f"{owner}{_SEPARATOR}{key}", limit.interval)
        self._grown(len(table) - before, now)
        return wait

    def _table(self, owner: str) -> RateGuard:
        table = self._rates.get(owner)
        if table is None:
            table = self._rates[owner] = RateGuard()
        return table

    def _grown(self, by: int, now: float) -> None:
        """Of all tokens the one with the most keys makes room for a new one."""
        self._keys += by
        if self._keys > MAX_KEYS:
            if self._evicted % _LOOK_EVERY == 0 or self._largest not in self._rates:
                self._largest = max(self._rates, key=self._size)
            self._evicted += 1
            largest = self._rates[self._largest]
            largest.forget(now)
            self._keys -= 1
            if not len(largest):
                del self._rates[self._largest]

    def _size(self, owner: str) -> int:
        return len(self._rates[owner])

    def notes(
        self, rules: Iterable[PolicyRule], names: Mapping[str, Rules], end_to_end: Collection[str]
    ) -> tuple[str, ...]:
        """Return what of an app's rules holds in another way than it says, for its log.

        Args:
            rules: Of its HELLO.
            names: What ``edge.toml`` has for the hostnames that it serves.
            end_to_end: Those of the hostnames that the edge cannot read.
        """
        found: list[str] = []
        if end_to_end:
            found.append(f"no rule holds for {min(end_to_end)}: the edge cannot read what is sent")
        for rule in rules:
            if rule.access and rule.access not in self._access:
                found.append(
                    f"{rule.path}: edge.toml has no [access.{rule.access}], so nobody is let in"
                )
            for key, wanted, limit in (
                ("max_body", rule.max_body, "max_body"),
                ("timeout", rule.timeout, "max_time"),
            ):
                held = [
                    (getattr(one, limit), name)
                    for name, one in names.items()
                    if getattr(one, limit)
                ]
                if wanted and held and min(held)[0] < wanted:
                    allowed, name = min(held)
                    found.append(
                        f"{rule.path}: {key} {wanted:g} is {allowed:g} for {name} (edge.toml)"
                    )
        if len(found) > MAX_NOTES:
            more = len(found) - MAX_NOTES + 1
            found = [*found[: MAX_NOTES - 1], f"and {more} more"]
        return tuple(one[:_MAX_NOTE] for one in found)


def stricter(allowed: float, wanted: float) -> float:
    """Return the smaller of two bounds, of which 0 is none."""
    if not wanted:
        return allowed
    return min(allowed, wanted) if allowed else wanted
