"""When to renew, when to try again, and how much at most. Pure: time and chance are arguments."""

from __future__ import annotations

import datetime as dt
import random
from typing import TYPE_CHECKING, Final

from .problems import UNREACHABLE

if TYPE_CHECKING:
    from .messages import SuggestedWindow

__all__ = [
    "CA_WIDE",
    "HOUR",
    "MAX_FAILURES_PER_HOUR",
    "MAX_ORDERS_PER_HOUR",
    "REPORT_EVERY",
    "ari_delay",
    "lifetime_renewal",
    "retry_at",
    "window_renewal",
]

HOUR: Final = 3600.0
DAY: Final = 24 * HOUR

MAX_ORDERS_PER_HOUR: Final = 50
"""Orders begun, of one account: half of what Let's Encrypt takes (300 in 3 hours)."""

MAX_FAILURES_PER_HOUR: Final = 20
"""Failures of all names: an edge whose ports are closed fails for each of its names."""

REPORT_EVERY: Final = DAY
"""Seconds between two reports of a failure that goes on."""

RENEW_AFTER: Final = 2 / 3
"""Part of a lifetime after which a certificate is renewed, where the CA says nothing (no ARI):
30 days before the end of 90, 2 days before the end of 6."""

JITTER: Final = 1 / 30
"""Part of a lifetime over which renewals are spread: certificates that were ordered together are
not renewed together."""

LATEST: Final = 0.9
"""Part of a lifetime after which a certificate is renewed, whatever the CA suggests."""

MIN_AGE: Final = 6 * HOUR
"""Seconds (but a tenth of a lifetime at most) before the CA's suggestion is followed: one that
always suggests a moment in the past must not make the edge order without end."""

_FIRST_RETRY: Final = 5 * 60.0
"""Seconds: with doubling, four tries in the first hour. Let's Encrypt takes five failed validations
of a name in an hour."""

_FIRST_RETRY_UNREACHABLE: Final = 60.0  # seconds: nothing was counted there
_LAST_RETRY: Final = 6 * HOUR
"""Seconds: a certificate of six days has eight tries in its last two."""

_ARI_DEFAULT: Final = 6 * HOUR
_ARI_MIN: Final = 60.0
_ARI_MAX: Final = DAY  # RFC 9773 section 4.3.2

CA_WIDE: Final = frozenset(
    {UNREACHABLE, "badNonce", "externalAccountRequired", "serverInternal", "userActionRequired"}
)
"""Kinds of refusals that the next name would get too."""


def lifetime_renewal(not_before: float, not_after: float, chance: random.Random) -> float:
    """When to renew by the lifetime alone, in seconds since 1970."""
    lifetime = not_after - not_before
    return not_before + lifetime * (RENEW_AFTER + chance.uniform(0, JITTER))


def window_renewal(
    window: SuggestedWindow,
    *,
    chosen: float,
    not_before: float,
    not_after: float,
    chance: random.Random,
) -> float | None:
    """When to renew by what the CA suggests (RFC 9773 section 4.2).

    Args:
        window: The CA's.
        chosen: The moment chosen before; kept while it is in the window.
        not_before: Of the certificate.
        not_after: Of the certificate.
        chance: Chooses a moment, each as likely.

    Returns:
        Seconds since 1970; None for a window that is none.
    """
    start, end = _seconds(window.start), _seconds(window.end)
    if start is None or end is None or end <= start:
        return None
    moment = chosen if start <= chosen <= end else chance.uniform(start, end)
    lifetime = not_after - not_before
    earliest = not_before + min(MIN_AGE, lifetime / 10)
    return min(max(moment, earliest), not_before + lifetime * LATEST)


def ari_delay(wanted: float | None) -> float:
    """Seconds until the CA is asked again when to renew, from its Retry-After in seconds."""
    return min(max(_ARI_DEFAULT if wanted is None else wanted, _ARI_MIN), _ARI_MAX)


def retry_at(
    count: int, *, kind: str, now: float, wanted: float | None, chance: random.Random
) -> float:
    """When to try again after a failure, in seconds since 1970.

    Args:
        count: Failures since the last success, this one included.
        kind: Of the refusal.
        now: Seconds since 1970.
        wanted: The CA's own word; it can only make the wait longer. A rate limit may last for
            days, anything else for one.
        chance: Spreads tries by a fifth.
    """
    first = _FIRST_RETRY_UNREACHABLE if kind in CA_WIDE else _FIRST_RETRY
    delay = min(first * 2.0 ** min(count - 1, 20), _LAST_RETRY) * chance.uniform(0.8, 1.2)
    if wanted is None:
        return now + delay
    return max(now + delay, wanted if kind == "rateLimited" else min(wanted, now + DAY))


def _seconds(text: str) -> float | None:
    try:
        when = dt.datetime.fromisoformat(text)
        return when.timestamp() if when.tzinfo is not None else None
    except (ValueError, OverflowError):
        return None
