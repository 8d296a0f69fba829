"""How numbers and times are written."""

from __future__ import annotations

import time

import pytest

from asgi_tunnel_edge.dashboard.words import (
    ago,
    amount,
    duration,
    hostname,
    iso,
    moment,
    number,
    rate,
)

NOTHING = "\u2013"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, NOTHING), (0, "0 B"), (999, "999 B"), (1000, "1.0 kB"), (123_456, "123 kB")],
)
def test_amounts(value: float | None, text: str) -> None:
    """A thousand of one are one of the next."""
    assert amount(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (None, NOTHING),
        (0.0004, "400 µs"),
        (0.0012, "1.2 ms"),
        (0.012, "12 ms"),
        (0.9994, "999 ms"),
        (1.44, "1.4 s"),
        (42.4, "42 s"),
        (61, "1 min"),
        (7200, "2 h"),
        (90_000 * 2, "2 d"),
    ],
)
def test_durations(seconds: float | None, text: str) -> None:
    """In the unit that leaves two digits or so."""
    assert duration(seconds) == text


def test_times() -> None:
    """Behind, ahead, and to the second."""
    now = time.time()
    assert ago(None) == "never"
    assert ago(now) == "just now"
    assert ago(now - 300.5) == "5 min ago"
    assert ago(now + 86_400 * 3 + 60) == "in 3 d"
    assert moment(0) == "1970-01-01 00:00:00 UTC"
    assert moment(None) == NOTHING
    assert iso(0) == "1970-01-01T00:00:00Z"


def test_numbers() -> None:
    """Rates below ten have one digit behind the point."""
    assert [number(one) for one in (None, 0, 1234.4)] == [NOTHING, "0", "1,234"]
    assert [rate(one) for one in (None, 0, 0.42, 12.3, 1200)] == [
        NOTHING,
        "0",
        "0.4",
        "12",
        "1,200",
    ]


def test_names_that_stand_for_several() -> None:
    """Nobody has a hostname of that spelling."""
    assert hostname("-") == "names of no token"
    assert hostname("+") == "other hostnames"
    assert hostname("shop.example.org") == "shop.example.org"
