"""Counts of one hostname in one span."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.history.tally import BOUNDS, Tally


def counted(*exchanges: tuple[int, int, float]) -> Tally:
    """Return what some exchanges (status, bytes, seconds) make."""
    tally = Tally()
    for status, sent, seconds in exchanges:
        tally.count(status, sent, seconds)
    return tally


def test_each_exchange_counts_once() -> None:
    """By its hundreds; a status that is none, as 0, has no place, and WebSockets no duration."""
    tally = counted((200, 10, 0.01), (404, 5, 0.02), (500, 0, 0.2), (101, 7, 90.0), (0, 0, 0.0))
    assert tally.requests == 5
    assert tally.statuses == [1, 1, 0, 1, 1]
    assert tally.errors == 1
    assert tally.sent == 22
    assert sum(tally.durations) == 4


@pytest.mark.parametrize("seconds", [0.0, 0.001, 0.0011, 0.2, 5.0, 60.0])
def test_a_percentile_is_near(seconds: float) -> None:
    """It is between the bounds around it, which are not far."""
    found = counted(*[(200, 0, seconds)] * 9).percentile(0.5)
    assert found is not None
    assert (seconds / 1.5 if seconds > 0.001 else 0) <= found <= max(seconds * 1.5, 0.001)


def test_percentiles_of_a_mix() -> None:
    """p50 is among the quick ones, p95 among the slow; of nothing there is none."""
    tally = counted(*[(200, 0, 0.01)] * 90, *[(200, 0, 1.0)] * 10)
    p50, p95 = tally.percentile(0.5), tally.percentile(0.95)
    assert p50 is not None
    assert p95 is not None
    assert 0.007 <= p50 < 0.015
    assert 0.7 <= p95 < 1.5
    assert Tally().percentile(0.5) is None
    assert counted((200, 0, 1e9)).percentile(1.0) == BOUNDS[-1]


def test_what_is_packed_can_be_added() -> None:
    """Two processes, or many minutes, make one row."""
    one, other = counted((200, 10, 0.01)), counted((503, 1, 2.0), (101, 2, 3.0))
    read = Tally.unpack(one.requests, one.statuses, one.sent, one.pack())
    whole = Tally.sum([read, other])
    assert whole.requests == 3
    assert whole.sent == 13
    assert whole.statuses == [1, 1, 0, 0, 1]
    assert sum(whole.durations) == 2
    with pytest.raises(ValueError, match="durations of 3 bytes are none"):
        Tally.unpack(1, [0] * 5, 0, b"abc")
