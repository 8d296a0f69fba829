"""Rates of what two looks have counted."""

from __future__ import annotations

from typing import Any

from asgi_tunnel_edge.dashboard.live import Moment
from asgi_tunnel_edge.dashboard.traffic import traffic_of
from asgi_tunnel_edge.observers.live_counts import BUCKETS


def counted(name: str, requests: int, errors: int = 0) -> dict[str, Any]:
    """What a look says of a hostname."""
    return {
        "name": name,
        "requests": requests,
        "statuses": [0, requests - errors, 0, 0, errors],
        "sent": requests * 1000,
        "durations": [requests, *[0] * (BUCKETS - 1)],
    }


def moment(before: list[dict[str, Any]] | None, now: list[dict[str, Any]]) -> Moment:
    """Two looks, two seconds apart; or one."""
    return Moment(
        at=0.0,
        seconds=0.0 if before is None else 2.0,
        traffic={"hostnames": now},
        before={} if before is None else {"hostnames": before},
    )


def test_one_look_says_nothing_of_rates() -> None:
    """Neither that there is traffic nor that there is none."""
    traffic = traffic_of(moment(None, [counted("a", 100)]))
    assert traffic.hosts == ()
    assert traffic.requests is None


def test_the_difference_counts() -> None:
    """By hostname, the busiest first, and in whole."""
    before = [counted("a", 100), counted("b", 10, 2), counted("c", 5)]
    now = [counted("a", 104), counted("b", 30, 7), counted("c", 5), counted("d", 1)]
    traffic = traffic_of(moment(before, now))
    assert [one.name for one in traffic.hosts] == ["b", "a", "d"]
    assert traffic.hosts[0].requests == 10
    assert traffic.hosts[0].errors == 0.25
    assert traffic.hosts[0].p50 == 0.0005
    assert traffic.requests == 12.5
    assert traffic.errors == 0.2
    assert traffic.sent == 12_500


def test_counts_that_began_anew() -> None:
    """Of a process that took the other's place: nothing is below zero."""
    traffic = traffic_of(moment([counted("a", 100)], [counted("a", 6)]))
    assert traffic.requests == 3


def test_only_what_is_shown_counts() -> None:
    """Of an owner: their own names, in the whole too."""
    now = [counted("a", 4), counted("b", 8)]
    traffic = traffic_of(moment([], now), lambda name: name == "a")
    assert [one.name for one in traffic.hosts] == ["a"]
    assert traffic.requests == 2
