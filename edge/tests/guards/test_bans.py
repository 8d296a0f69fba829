from __future__ import annotations

import time

import pytest

from asgi_tunnel_edge.ban import BanRecord
from asgi_tunnel_edge.guards.bans import BanGuard
from asgi_tunnel_edge.network import number_of
from asgi_tunnel_edge.tokens import Snapshot

from .conftest import World


def ban(address: str, expires_at: int | None = None) -> BanRecord:
    """A ban as the store has it."""
    return BanRecord(address=address, created_at=1, expires_at=expires_at)


def test_banned_until_it_is_over() -> None:
    """A ban ends by itself, by the monotonic clock; one without a time does not."""
    guard = BanGuard()
    records = (ban("203.0.113.7", 5060), ban("2001:db8::/64"))
    assert guard.apply(records, now=100.0, wall=5000.0)
    one, other = number_of("203.0.113.7"), number_of("2001:db8::1")
    assert guard.is_banned(one, 159.9)
    assert not guard.is_banned(one, 160.0)
    assert guard.is_banned(other, 1e9)
    assert not guard.is_banned(number_of("203.0.113.8"), 100.0)
    assert not guard.is_banned(number_of("no address"), 100.0)


def test_same_bans_change_nothing() -> None:
    """A snapshot that changed in something else is told from one with other bans."""
    guard = BanGuard()
    assert not guard.apply((), now=0.0, wall=0.0)
    assert guard.apply((ban("203.0.113.7"),), now=0.0, wall=0.0)
    assert not guard.apply((ban("203.0.113.7"),), now=9.0, wall=9.0)
    assert guard.apply((), now=9.0, wall=9.0)
    assert not guard.is_banned(number_of("203.0.113.7"), 9.0)


def test_wider_ban_outlives_a_narrow_one() -> None:
    """Two bans that both hold an address: it is banned as long as one of them lasts."""
    guard = BanGuard()
    guard.apply((ban("203.0.113.7", 10), ban("203.0.113.0/24", 100)), now=0.0, wall=0.0)
    assert guard.is_banned(number_of("203.0.113.7"), 50.0)


def test_requests_and_connections_are_refused(world: World) -> None:
    """The operator's ban holds for exempt addresses too, and everything refused is counted."""
    bans = [ban("203.0.113.0/24"), ban("127.0.0.1", int(time.time()) + 60)]
    assert world.guards.apply(Snapshot.of(1, [], bans=bans))
    assert world.status(address="203.0.113.9") == 403
    assert world.status(address="127.0.0.1") == 403
    assert world.status(address="198.51.100.1") == 0
    assert world.guards.refuses("203.0.113.1")
    assert not world.guards.refuses("198.51.100.1")
    assert world.guards.counts()["bans"] == 3
    world.wait(61)
    assert world.status(address="127.0.0.1") == 0


@pytest.mark.parametrize("count", [10_000])
def test_as_many_as_there_may_be(count: int) -> None:
    """All bans that the store holds are followed well within a second."""
    records = tuple(ban(f"10.{n >> 8}.{n & 255}.1") for n in range(count))
    guard = BanGuard()
    start = time.perf_counter()
    guard.apply(records, now=0.0, wall=0.0)
    assert time.perf_counter() - start < 1.0
    assert all(guard.is_banned(number_of(record.address), 0.0) for record in records)
