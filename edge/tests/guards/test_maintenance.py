"""Hostnames that are closed, and who is let in."""

from __future__ import annotations

import time

from asgi_tunnel_edge.maintenance import MaintenanceRecord
from asgi_tunnel_edge.tokens import Snapshot

from .conftest import World, make_world

SHOP = "shop.a.test"


def close(world: World, *records: MaintenanceRecord) -> None:
    """Let the guards hear of what is closed."""
    world.guards.apply(Snapshot.of(1, [], maintenance=records))


def test_a_closed_hostname_is_refused(world: World) -> None:
    """With its own words; the others are served, and it is again once it is open."""
    close(world, MaintenanceRecord(hostname=SHOP, since=1, message="New disks."))
    reply = world.ask("/a?b", host=SHOP)
    assert reply is not None
    assert (reply.status, reply.reason, reply.notice) == (503, "maintenance", "New disks.")
    assert (reply.retry_after, reply.until) == (120, None)
    assert reply.outcome == "refused: maintenance"
    assert not reply.closes
    assert world.status(host="blog.a.test") == 0
    assert world.guards.counts()["maintenance"] == 1
    close(world)
    assert world.status(host=SHOP) == 0


def test_a_wildcard_is_closed_with_all_below_it(world: World) -> None:
    """By the name that a token has."""
    close(world, MaintenanceRecord(hostname="*.a.test", since=1))
    assert world.status(host="x.a.test", name="*.a.test") == 503
    assert world.status(host=SHOP) == 0


def test_an_end_is_named_until_it_is_over(world: World) -> None:
    """The hostname stays closed: nobody knows whether the work is done."""
    until = int(time.time()) + 3600
    close(world, MaintenanceRecord(hostname=SHOP, since=1, until=until))
    reply = world.ask(host=SHOP)
    assert reply is not None
    assert reply.until == until
    assert 3500 < (reply.retry_after or 0) <= 3601
    world.wait(3700)
    reply = world.ask(host=SHOP)
    assert reply is not None
    assert (reply.retry_after, reply.until) == (120, None)


def test_who_does_the_work_is_let_in(world: World) -> None:
    """By address or network; other guards still look at them."""
    allow = ("198.51.100.7", "2001:db8::/64")
    close(world, MaintenanceRecord(hostname=SHOP, since=1, allow=allow))
    for address, status in {
        "198.51.100.7": 0,
        "::ffff:198.51.100.7": 0,
        "2001:db8::5": 0,
        "198.51.100.8": 503,
        "2001:db8:1::5": 503,
        "": 503,
    }.items():
        assert world.status(host=SHOP, address=address) == status, address
    assert world.status("/.env", host=SHOP, address="198.51.100.7") == 404


def test_other_guards_come_first() -> None:
    """Who is not served at all hears nothing of the work."""
    world = make_world(deny=["203.0.113.0/24"])
    close(world, MaintenanceRecord(hostname=SHOP, since=1))
    assert world.status(host=SHOP) == 403
    assert world.status(host=SHOP, address="198.51.100.1") == 503
