"""Who is counted, and how many may come."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_tunnel_edge.connections.table import CROWDED, FULL, ConnectionTable

pytestmark = pytest.mark.plain  # a stand-in for a connection


class FakeConnection:
    """An address, and what was asked of it."""

    def __init__(
        self,
        address: str,
        *,
        is_proxy: bool = False,
        is_busy: bool = False,
        is_idle: bool = False,
    ) -> None:
        self.address = address
        self.is_idle = is_idle
        self.is_proxy = is_proxy
        self.is_busy = is_busy
        self.received, self.written = 3, 5
        self.calls: list[str] = []

    def give_way(self) -> None:
        """Note it."""
        self.calls.append("give_way")

    def shut_down(self) -> None:
        """Note it."""
        self.calls.append("shut_down")

    def retire(self) -> None:
        """Note it."""
        self.calls.append("retire")

    def end(self) -> None:
        """Note it."""
        self.calls.append("end")


def of(address: str, **kind: bool) -> Any:
    """Return a connection."""
    return FakeConnection(address, **kind)


def test_a_group_has_its_share() -> None:
    """One address may have so many; who leaves makes room, once."""
    table = ConnectionTable(max_connections=10, max_per_address=2)
    first, second, third = (of("192.0.2.7") for _ in range(3))
    assert table.enter(first) is None
    assert table.enter(second) is None
    assert table.enter(third) == CROWDED
    assert table.enter(of("192.0.2.8")) is None
    for _ in range(2):
        table.leave(first)
    table.leave(third)
    assert (table.received, table.written) == (2 * 3, 2 * 5)  # each once
    assert table.enter(of("192.0.2.7")) is None
    assert table.enter(of("192.0.2.7")) == CROWDED
    assert (table.opened, table.crowded, table.full) == (6, 2, 0)


def test_a_network_of_ipv6_is_one_group() -> None:
    """A /64 counts as one visitor."""
    table = ConnectionTable(max_connections=10, max_per_address=1)
    assert table.enter(of("2001:db8::1")) is None
    assert table.enter(of("2001:db8::2")) == CROWDED
    assert table.enter(of("2001:db8:0:1::1")) is None


def test_the_edge_is_full() -> None:
    """Above the limit of all, nobody is served."""
    table = ConnectionTable(max_connections=1, max_per_address=5)
    assert table.enter(of("192.0.2.7")) is None
    assert table.enter(of("192.0.2.8")) == FULL


def test_an_idle_connection_gives_way() -> None:
    """Of the address that has the most, the oldest first; one in use never."""
    table = ConnectionTable(max_connections=4, max_per_address=3)
    busy, first, second = of("192.0.2.7"), *(of("192.0.2.7", is_idle=True) for _ in range(2))
    other = of("192.0.2.8", is_idle=True)
    for connection in (busy, first, second, other):
        assert table.enter(connection) is None
    assert table.enter(of("192.0.2.9")) is None
    assert (busy.calls, first.calls, second.calls, other.calls) == ([], ["give_way"], [], [])
    assert table.enter(of("192.0.2.7")) is None  # the largest is its own
    assert second.calls == ["give_way"]


def test_a_wide_network_does_not_fill_the_table() -> None:
    """A /48 with a connection in each of its /64s has four times the share of one of them."""
    table = ConnectionTable(max_connections=100, max_per_address=5)
    refused = [table.enter(of(f"2001:db8:0:{number:x}::1")) for number in range(0, 25600, 256)]
    assert refused.count(None) == 20
    assert table.enter(of("2001:db8:1::1")) is None


def test_a_proxy_is_not_counted_as_one_visitor() -> None:
    """It brings many."""
    table = ConnectionTable(max_connections=10, max_per_address=1)
    for _ in range(3):
        assert table.enter(of("10.0.0.1", is_proxy=True)) is None


def test_the_end_reaches_all() -> None:
    """Stopping asks each connection, first to close when idle, then at once."""
    table = ConnectionTable(max_connections=10, max_per_address=5)
    one, other = of("192.0.2.7"), of("192.0.2.8", is_busy=True)
    table.enter(one)
    table.enter(other)
    assert table.is_busy
    table.shut_down()
    table.end()
    assert one.calls == other.calls == ["shut_down", "end"]
    table.leave(other)
    assert not table.is_busy
