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


@pytest.mark.plain  # another bound
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


@pytest.mark.plain  # another bound
def test_who_owes_the_most_is_forgotten_last(monkeypatch: pytest.MonkeyPatch) -> None:
    """T71: a flood from other networks that all owe something too does not free an attacker."""
    monkeypatch.setattr(ledger, "MAX_KEYS", 100)
    limit = Ledger(Allowance(10.0, 1000))
    for _ in range(2000):
        limit.add(ONE, 100.0)
    for number in range(10_000):  # two events each, within a second: none has paid when it goes
        other = networks_of(f"198.{number // 65536}.{number // 256 % 256}.{number % 256}")
        limit.add(other, 100.0 + number / 10_000)
        limit.add(other, 100.0 + number / 10_000)
    assert len(limit) == 100
    assert limit.wait(ONE, 101.0) == pytest.approx(-0.9)  # a newcomer has -99.9: all of the burst


def test_one_customer_of_a_data_centre_cannot_make_itself_forgotten() -> None:
    """All /64s of a /48, each with as many errors as it may make: its /48 stays refused."""
    limit = Ledger(ledger.ERRORS)
    now, accepted = 100.0, 0
    for number in range(65_536):
        now += 0.0001
        path = networks_of(f"2001:db8:0:{number:x}::1")
        if limit.wait(path, now) <= 0:
            limit.add(path, now)
            accepted += 1
    burst, rate = 16 * ledger.ERRORS.burst, 16 * ledger.ERRORS.rate
    assert accepted <= burst + rate * 65_536 * 0.0001 + 16
    assert limit.wait(networks_of("2001:db8:0:1::1"), now) > -0.01
    assert len(limit) <= ledger.MAX_KEYS
