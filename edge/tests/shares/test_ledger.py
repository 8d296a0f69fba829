"""An address group that does something too fast waits; nobody else does."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.address import networks_of
from asgi_tunnel_edge.shares import ledger
from asgi_tunnel_edge.shares.ledger import Allowance, Ledger

ONE = networks_of("192.0.2.1")


def test_a_burst_is_free_and_then_the_rate_holds() -> None:
    """Ten at once, and one more each tenth of a second."""
    limit = Ledger(Allowance(10.0, 10))
    for _ in range(10):
        assert limit.wait(ONE, 100.0) <= 0
        limit.add(ONE, 100.0)
    assert limit.wait(ONE, 100.0) == pytest.approx(0.1)
    assert limit.wait(ONE, 100.11) <= 0
    assert limit.wait(networks_of("192.0.2.2"), 100.0) < 0


def test_what_is_owed_has_a_bound() -> None:
    """Who has sent a million and stops is served again as soon as who has sent eleven."""
    limit = Ledger(Allowance(10.0, 10))
    for _ in range(100_000):
        limit.add(ONE, 100.0)
    assert limit.wait(ONE, 100.0) <= 0.1 + 1e-6
    assert limit.wait(ONE, 102.0) <= 0


def test_a_wide_network_is_counted_as_one() -> None:
    """An attacker that uses each /64 of a /48 once still has 16 times the allowance, no more."""
    limit = Ledger(Allowance(10.0, 10))
    used = 0
    for number in range(1000):
        path = networks_of(f"2001:db8:0:{number % 256:x}{number // 256:02x}::1")
        if limit.wait(path, 100.0) > 0:
            break
        limit.add(path, 100.0)
        used += 1
    assert 16 * 9 <= used <= 16 * 10
    assert limit.wait(networks_of("2001:db8:1::1"), 100.0) < 0


def test_memory_is_bounded_and_a_debtor_is_not_forgotten(monkeypatch: pytest.MonkeyPatch) -> None:
    """Addresses that owe nothing are forgotten before one that does."""
    monkeypatch.setattr(ledger, "MAX_KEYS", 100)
    limit = Ledger(Allowance(10.0, 1000))
    for _ in range(2000):
        limit.add(ONE, 100.0)
    for number in range(1000):
        other = networks_of(f"198.51.{number // 250}.{number % 250}")
        limit.add(other, 100.0 + number / 20)
    assert len(limit) <= 101
    assert limit.wait(ONE, 100.0) > 0
