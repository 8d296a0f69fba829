from __future__ import annotations

from typing import Any

from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.observers.live_counts import BUCKETS, LEASE, NOBODY, SHOWN, STEP, LiveCounts
from asgi_tunnel_edge.observers.observer import ExchangeObserver, notify


class Exchanges:
    """Tells observers of exchanges; ``time`` is what a test says."""

    def __init__(self) -> None:
        self.time = 0.0
        self.now = lambda: self.time
        self.observers: list[ExchangeObserver] = []
        self.counts = LiveCounts(self, lambda name: name if name.endswith("a.test") else None)

    def attach(self, observer: ExchangeObserver) -> None:
        """Note it."""
        if observer not in self.observers:
            self.observers.append(observer)

    def detach(self, observer: ExchangeObserver) -> None:
        """Forget it."""
        self.observers.remove(observer)

    def closed(self, *entries: Entry) -> None:
        """Tell of exchanges."""
        for entry in entries:
            notify(self.observers, entry)

    def look(self) -> list[dict[str, Any]]:
        """Look at the counts."""
        return self.counts.look()


def entry(hostname: str = "a.test", status: int = 200, seconds: float = 0.0) -> Entry:
    """One exchange."""
    return Entry(b"1", b"192.0.2.1", b"GET", hostname, b"/", status, 10, seconds, "")


def test_what_is_counted() -> None:
    """Requests, classes, bytes, durations by name; made-up names are one; only from a look on."""
    one = Exchanges()
    one.closed(entry())
    assert one.look() == []
    for status in (200, 204, 404, 503, 101):
        one.closed(entry(status=status))
    one.closed(entry("evil.test"))
    one.closed(entry("worse.test", status=404))
    newest, other = one.look()
    assert (newest["name"], newest["requests"]) == (NOBODY, 2)
    assert (other["name"], other["requests"], other["sent"]) == ("a.test", 5, 50)
    assert other["statuses"] == [1, 2, 0, 1, 1]
    assert sum(other["durations"]) == 4  # a WebSocket lasts as long as it is wanted


def test_durations() -> None:
    """Each is in the first bound that it does not exceed; very long ones are in the last."""
    one = Exchanges()
    one.look()
    for seconds in (0.0, 0.001, 0.0011, 0.001 * STEP**7 * 0.99, 1e9):
        one.closed(entry(seconds=seconds))
    (found,) = one.look()
    durations = found["durations"]
    assert len(durations) == BUCKETS
    assert [number for number, count in enumerate(durations) if count] == [0, 1, 7, BUCKETS - 1]
    assert durations[0] == 2


def test_who_looks_no_more() -> None:
    """Counting ends by itself, and begins anew with the next look."""
    one = Exchanges()
    one.look()
    one.closed(entry())
    one.time += LEASE
    one.closed(entry())
    assert one.observers == []
    assert one.look() == []
    assert one.look() == []
    assert len(one.observers) == 1
    one.closed(entry())
    one.time += LEASE
    assert one.look() == []


def test_a_reply_is_bounded() -> None:
    """Those with the newest requests are in it."""
    one = Exchanges()
    one.look()
    for number in range(SHOWN + 3):
        one.closed(entry(f"{number}.a.test"))
    names = [found["name"] for found in one.look()]
    assert len(names) == SHOWN
    assert names[0] == f"{SHOWN + 2}.a.test"
    assert "0.a.test" not in names
