from __future__ import annotations

import itertools
import random

import pytest

from asgi_tunnel_edge.certificates.acme import schedule
from asgi_tunnel_edge.certificates.acme.messages import SuggestedWindow
from asgi_tunnel_edge.certificates.acme.schedule import (
    DAY,
    HOUR,
    ari_delay,
    lifetime_renewal,
    retry_at,
    window_renewal,
)

CHANCE = random.Random(7)


@pytest.mark.parametrize("days", [1, 6, 47, 90, 398])
def test_by_lifetime(days: int) -> None:
    """Two thirds of whatever the lifetime is, spread a little: never after a fortieth of a day."""
    found = [lifetime_renewal(0, days * DAY, CHANCE) for _ in range(500)]
    assert min(found) >= days * DAY * 2 / 3
    assert max(found) <= days * DAY * 0.7
    assert max(found) - min(found) > days * DAY / 40


def window(start: str, end: str, **options: float) -> float | None:
    """For a certificate of the first ten days of 1970."""
    fields = {"chosen": 0.0, "not_before": 0.0, "not_after": 10 * DAY, **options}
    return window_renewal(SuggestedWindow(start=start, end=end), chance=CHANCE, **fields)


def test_by_window() -> None:
    """A moment in the CA's window, each as likely; one chosen before stays while it fits."""
    found = [window("1970-01-05T00:00:00Z", "1970-01-06T00:00:00Z") or 0 for _ in range(500)]
    assert 4 * DAY <= min(found) < 4.1 * DAY
    assert 4.9 * DAY < max(found) <= 5 * DAY
    kept = window("1970-01-05T00:00:00Z", "1970-01-06T00:00:00Z", chosen=4.5 * DAY)
    assert kept == 4.5 * DAY


def test_window_of_a_broken_ca() -> None:
    """Neither the far past nor the far future, whatever is suggested; nonsense is no window."""
    assert window("1960-01-05T00:00:00Z", "1960-01-06T00:00:00Z") == 6 * HOUR
    assert window("2960-01-05T00:00:00Z", "2960-01-06T00:00:00Z") == 9 * DAY
    for start, end in [
        ("1970-01-06T00:00:00Z", "1970-01-05T00:00:00Z"),
        ("1970-01-06T00:00:00Z", "1970-01-06T00:00:00Z"),
        ("soon", "later"),
        ("1970-01-05T00:00:00", "1970-01-06T00:00:00"),
    ]:
        assert window(start, end) is None


def test_ari_delay() -> None:
    """Between a minute and a day, six hours where nothing is said (RFC 9773 section 4.3)."""
    assert [ari_delay(wanted) for wanted in (None, 0, -5, 3600, 1e9)] == [
        6 * HOUR,
        60,
        60,
        3600,
        DAY,
    ]


def test_retries() -> None:
    """They grow from five minutes to six hours, and are at most four in the first hour."""
    now, times = 0.0, []
    for count in range(1, 40):
        times.append(now)
        now = retry_at(count, kind="connection", now=now, wanted=None, chance=CHANCE)
    assert 3 <= sum(time < HOUR for time in times) <= 5
    gaps = [after - before for before, after in itertools.pairwise(times)]
    assert all(gap <= 6 * HOUR * 1.2 for gap in gaps)
    assert all(gap >= 6 * HOUR * 0.8 for gap in gaps[10:])
    assert retry_at(10**9, kind="dns", now=0, wanted=None, chance=CHANCE) <= 7.2 * HOUR


def test_retry_when_the_ca_says_so() -> None:
    """A rate limit is waited for, a week if need be; any other word of a CA for a day at most."""
    week = 7 * DAY
    assert retry_at(1, kind="rateLimited", now=0, wanted=week, chance=CHANCE) == week
    assert retry_at(1, kind="serverInternal", now=0, wanted=week, chance=CHANCE) == DAY
    assert retry_at(1, kind="dns", now=0, wanted=1.0, chance=CHANCE) >= 240  # not sooner


def test_caps_are_below_those_of_a_public_ca() -> None:
    """Let's Encrypt: 300 orders in 3 hours."""
    assert schedule.MAX_ORDERS_PER_HOUR * 3 <= 300
