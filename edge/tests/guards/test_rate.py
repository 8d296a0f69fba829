from __future__ import annotations

import pytest

from asgi_tunnel_edge.guards import rate

from .conftest import World, make_world


def test_burst_then_rate() -> None:
    """A burst passes at once, then one request each interval; the answer says how long to wait."""
    world = make_world(rate=2.0, burst=3)
    assert [world.status() for _ in range(4)] == [0, 0, 0, 429]
    deny = world.ask()
    assert deny is not None
    assert (deny.retry_after, deny.source) == (1, "rate")
    world.wait(0.4)
    assert world.status() == 429
    world.wait(0.1)
    assert [world.status(), world.status()] == [0, 429]


def test_refused_requests_cost_nothing() -> None:
    """Whoever goes on asking too fast is served at the rate, not shut out for ever."""
    world = make_world(rate=1.0, burst=1)
    served = 0
    for _ in range(1000):
        served += world.status() == 0
        world.wait(0.01)
    assert served == 10
    assert world.guards.counts()["rate"] == 990


def test_waiting_as_told_is_enough() -> None:
    """After ``Retry-After`` seconds the next request passes, whatever the rate."""
    for speed in (0.3, 1.0, 7.0, 200.0):
        world = make_world(rate=speed, burst=5)
        for _ in range(5):
            assert world.status() == 0
        deny = world.ask()
        assert deny is not None
        assert deny.retry_after is not None
        world.wait(deny.retry_after)
        assert world.status() == 0


def test_idle_visitor_has_its_burst_again() -> None:
    """Silence gives the burst back, and not more than that."""
    world = make_world(rate=10.0, burst=4)
    for _ in range(4):
        assert world.status() == 0
    world.wait(3600)
    assert [world.status() for _ in range(5)] == [0, 0, 0, 0, 429]


def test_addresses_do_not_share() -> None:
    """Each address has a rate of its own; an IPv6 /64 is one address, its neighbour another."""
    world = make_world(rate=1.0, burst=1)
    assert world.status(address="203.0.113.7") == 0
    assert world.status(address="203.0.113.8") == 0
    assert world.status(address="::ffff:203.0.113.8") == 429
    assert world.status(address="2001:db8:1:2::1") == 0
    assert world.status(address="2001:db8:1:2:ffff::9") == 429
    assert world.status(address="2001:db8:1:3::1") == 0


def test_default_lets_people_through_and_stops_a_flood(world: World) -> None:
    """Five seconds of 200 a second pass; 2,000 at once do not, except from loopback."""
    assert [world.status() for _ in range(1000)] == [0] * 1000
    world.wait(5.0)
    flood = [world.status() for _ in range(2000)]
    assert flood.count(0) == 1000
    assert [world.status(address="127.0.0.1") for _ in range(2000)] == [0] * 2000
    assert [world.status(address="::1") for _ in range(2000)] == [0] * 2000


def test_zero_turns_it_off() -> None:
    """With rate 0 nobody is limited, and nothing is remembered."""
    world = make_world(rate=0)
    assert [world.status() for _ in range(5000)] == [0] * 5000
    assert len(world.guards.rate) == 0


def test_hostname_of_all_visitors() -> None:
    """A hostname's rate counts everybody, exempt addresses too, and no other hostname."""
    world = make_world(rate=0, hostname_rate=1.0, hostname_burst=2)
    assert world.status(address="203.0.113.1") == 0
    assert world.status(address="127.0.0.1") == 0
    assert world.status(address="203.0.113.3") == 429
    assert world.status(host="blog.a.test") == 0


def test_made_up_hostnames_are_not_remembered() -> None:
    """Names that nobody serves take no place in the table."""
    world = make_world(rate=0, hostname_rate=1.0, hostname_burst=1)
    for number in range(100):
        assert world.status(host=f"n{number}.a.test", name="") == 0
    assert len(world.guards.rate) == 0


def test_rate_of_one_hostname() -> None:
    """A hostname's own rate is counted apart from the edge's."""
    world = make_world({"shop.a.test": {"rate": 1.0, "burst": 1}}, rate=1.0, burst=2)
    assert [world.status(), world.status()] == [0, 429]
    assert [world.status(host="blog.a.test") for _ in range(3)] == [0, 0, 429]
    free = make_world({"*.a.test": {"rate": 0}}, rate=1.0, burst=1)
    assert [free.status() for _ in range(50)] == [0] * 50


@pytest.mark.plain  # another bound
def test_table_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    """A flood of addresses takes the place of those heard of longest ago."""
    monkeypatch.setattr(rate, "MAX_KEYS", 100)
    world = make_world(rate=0.001, burst=1)
    assert world.status(address="203.0.113.1") == 0
    for number in range(99):
        world.status(address=f"198.51.100.{number}")
    assert world.status(address="203.0.113.1") == 429  # heard of again: not the oldest now
    for number in range(99):
        world.status(address=f"192.0.2.{number}")
        assert len(world.guards.rate) == 100
    assert world.status(address="203.0.113.1") == 429
    assert world.status(address="198.51.100.1") == 0  # forgotten


@pytest.mark.plain  # another bound
def test_other_addresses_do_not_give_a_burst_back(monkeypatch: pytest.MonkeyPatch) -> None:
    """T71: who has used its burst is remembered, though a thousand others ask after it."""
    monkeypatch.setattr(rate, "MAX_KEYS", 100)
    world = make_world(rate=1.0, burst=10)
    assert [world.status(address="203.0.113.66") for _ in range(11)][-1] == 429
    for number in range(1000):
        world.status(address=f"198.51.{number // 250}.{number % 250}")
    assert world.status(address="203.0.113.66") == 429
