from __future__ import annotations

import math

import pytest

from asgi_tunnel_edge.context import EdgeContext
from asgi_tunnel_edge.observers import refusals
from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.observers.observer import notify
from asgi_tunnel_edge.observers.refusals import RefusalSum
from asgi_tunnel_edge.replies import TOO_MANY_CONNECTIONS, TOO_MANY_WAITING, Reply
from asgi_tunnel_edge.settings.config import Limits


class Seen:
    """An observer that keeps all entries."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []

    def closed(self, entry: Entry) -> None:
        """Keep one."""
        self.entries.append(entry)


def refused(peer: str = "192.0.2.7", status: int = 400, why: str = "malformed") -> Entry:
    """A request that was turned away."""
    return Entry(b"r1", peer.encode(), b"GET", "a.test", b"/", status, 0, 0.0, why)


def sums(seen: Seen) -> list[tuple[bytes, int, str]]:
    """Visitor, status and reason of the entries that stand for several."""
    return [(one.peer, one.status, one.outcome) for one in seen.entries if "more" in one.outcome]


def test_one_line_stands_for_the_rest_of_a_minute() -> None:
    """The first refusals have lines of their own, the others of the minute one with a count."""
    log = RefusalSum([seen := Seen()])
    for number in range(4000):
        log.closed(refused(), number / 100)
    assert seen.entries == [refused()] * 20
    log.flush(59.9)
    assert len(seen.entries) == 20
    log.flush(60.0)
    assert sums(seen) == [(b"192.0.2.7", 400, "malformed (3,980 more times in a minute)")]
    assert seen.entries[-1][:5] == (b"-", b"192.0.2.7", b"-", "-", b"-")
    log.closed(refused(), 61.0)
    log.flush(math.inf)
    assert len(seen.entries) == 22


def test_a_network_of_many_visitors_is_one_line_as_well() -> None:
    """Whoever has a /48 fills no disk by asking from each /64 of it; others have their lines."""
    log = RefusalSum([seen := Seen()])
    for number in range(3000):
        log.closed(refused(f"2001:db8:7:{number:x}::1"), 0.0)
    log.closed(refused("2001:db8:8::1"), 0.0)
    assert len(seen.entries) == 81
    log.flush(math.inf)
    assert sums(seen) == [
        (b"2001:db8:7::/48", 400, "malformed (2,920 more times in a minute)"),
    ]


def test_visitors_and_reasons_are_counted_apart() -> None:
    """A /64 is one visitor; another visitor and another reason have their lines."""
    log = RefusalSum([seen := Seen()])
    for number in range(25):
        log.closed(refused(f"2001:db8::{number}"), 0.0)
    log.closed(refused("2001:db8::1", 404, "unknown"), 0.0)
    log.closed(refused("2001:db8:0:1::1"), 0.0)
    assert len(seen.entries) == 22
    log.stop()
    assert sums(seen) == [(b"2001:db8::/64", 400, "malformed (5 more times in a minute)")]


@pytest.mark.plain  # other bounds
def test_all_visitors_together_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """Neither lines nor memory grow with the number of visitors."""
    monkeypatch.setattr(refusals, "MAX_ALL_LINES", 50)
    monkeypatch.setattr(refusals, "MAX_VISITORS", 10)
    log = RefusalSum([seen := Seen()])
    for number in range(1000):
        log.closed(refused(f"10.0.{number // 250}.{number % 250}"), 1.0)
    assert len(seen.entries) < 50
    assert len(log._counts) <= 11
    log.closed(refused("10.0.0.1"), 61.0)
    log.stop()
    assert [one[0] for one in sums(seen)] == [b"-"]


def test_who_has_its_share_fills_no_log() -> None:
    """T69: 503 to one who opens, or waits for, too much: twenty lines, then one with a count."""
    seen = Seen()
    context = EdgeContext(limits=Limits(), observers=[seen], now=lambda: 1.0)
    for reply in (TOO_MANY_CONNECTIONS, TOO_MANY_WAITING):
        for _ in range(500):
            notify(context.observers, refused(status=reply.status, why=reply.outcome))
            context.note_reply(reply, None, b"192.0.2.8", b"1")
    assert len(seen.entries) == 4 * 20
    context.refusals.stop()
    assert len(seen.entries) == 4 * 21


def test_what_is_not_the_visitors_fault_has_its_lines() -> None:
    """Replies of the edge for an app that is away are not left out."""
    seen = Seen()
    context = EdgeContext(limits=Limits(), observers=[seen], now=lambda: 1.0)
    for _ in range(30):
        context.note_reply(Reply(503, "the app is away"), None, b"192.0.2.7", b"1")
        context.note_reply(Reply(404, "nobody"), None, b"192.0.2.7", b"2")
    assert [one.status for one in seen.entries].count(503) == 30
    assert [one.status for one in seen.entries].count(404) == 20
