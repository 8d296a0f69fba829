"""What each exchange adds, and what that costs."""

from __future__ import annotations

import time

import pytest

from asgi_tunnel_edge.history.counter import MAX_SPELLINGS, HistoryCounter
from asgi_tunnel_edge.observers.access_log import Entry

NAMES = {"shop.example.org": "shop.example.org", "a.b.org": "*.b.org", "c.b.org": "*.b.org"}


def entry(hostname: str, status: int = 200) -> Entry:
    """One exchange."""
    return Entry(b"id", b"192.0.2.1", b"GET", hostname, b"/", status, 100, 0.02, "")


def test_names_below_a_wildcard_are_one() -> None:
    """And all that no token has are one, too."""
    counter = HistoryCounter(NAMES.get)
    for name in ("shop.example.org", "a.b.org", "c.b.org", "a.b.org", "made.up", "made.up.too"):
        counter.closed(entry(name))
    found = {name: tally.requests for name, tally in counter.tallies.items()}
    assert found == {"shop.example.org": 1, "*.b.org": 3, "-": 2}


def test_pages_of_the_edge_itself_do_not_count() -> None:
    """Who looks at the dashboard makes no traffic in it."""
    counter = HistoryCounter(NAMES.get)
    counter.closed(entry("-"))
    counter.take()
    counter.closed(entry("-"))
    assert not counter.tallies


def test_taking_begins_anew() -> None:
    """What was taken does not change any more."""
    counter = HistoryCounter(NAMES.get)
    counter.closed(entry("shop.example.org"))
    taken = counter.take()
    counter.closed(entry("shop.example.org", 500))
    assert taken["shop.example.org"].requests == 1
    assert counter.tallies["shop.example.org"].errors == 1


def test_made_up_names_take_no_memory() -> None:
    """However many a visitor makes up, below a wildcard or not."""
    counter = HistoryCounter(lambda name: "*.b.org" if name.endswith(".b.org") else None)
    for number in range(MAX_SPELLINGS + 100):
        counter.closed(entry(f"x{number}.b.org"))
        counter.closed(entry(f"x{number}.example"))
    assert len(counter._known) <= MAX_SPELLINGS
    assert {name: one.requests for name, one in counter.tallies.items()} == {
        "*.b.org": MAX_SPELLINGS + 100,
        "-": MAX_SPELLINGS + 100,
    }


@pytest.mark.slow
def test_an_exchange_pays_little() -> None:
    """0.4 us measured; ten times as much on a loaded machine would still be a hundredth of one."""
    counter = HistoryCounter(NAMES.get)
    one = entry("shop.example.org")
    best = 1.0
    for _ in range(7):
        begin = time.perf_counter()
        for _ in range(10_000):
            counter.closed(one)
        best = min(best, (time.perf_counter() - begin) / 10_000)
    assert best < 5e-6
