"""Who was turned away lately."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tunnel_edge.observers import limited
from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.observers.limited import LimitedVisitors

if TYPE_CHECKING:
    import pytest


def entry(peer: str, outcome: str, *, hostname: str = "a.test", status: int = 403) -> Entry:
    """An exchange that is over."""
    return Entry(b"1", peer.encode(), b"GET", hostname, b"/", status, 0, 0.0, outcome)


def test_refusals_are_counted_by_visitor_hostname_and_reason() -> None:
    """The newest first; what was relayed, or cut short, is none."""
    now = iter([1.0, 2.0, 3.0, 4.0])
    seen = LimitedVisitors({"a share is full"}, now=lambda: next(now))
    for peer, outcome in (
        ("203.0.113.1", "refused: rate"),
        ("203.0.113.2", "a share is full"),
        ("203.0.113.1", "refused: rate"),
        ("203.0.113.3", ""),
        ("203.0.113.3", "the visitor left"),
        ("203.0.113.1", "refused: scanner"),
    ):
        seen.closed(entry(peer, outcome))
    assert [(one.address, one.reason, one.times, one.first, one.last) for one in seen.newest()] == [
        ("203.0.113.1", "scanner", 1, 4.0, 4.0),
        ("203.0.113.1", "rate", 2, 1.0, 3.0),
        ("203.0.113.2", "a share is full", 1, 2.0, 2.0),
    ]


def test_strangers_do_not_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who was not turned away for longest is forgotten first."""
    monkeypatch.setattr(limited, "MAX_VISITORS", 2)
    seen = LimitedVisitors()
    for peer in ("1", "2", "1", "3"):
        seen.closed(entry(peer, "refused: rate"))
    assert [one.address for one in seen.newest()] == ["3", "1"]
