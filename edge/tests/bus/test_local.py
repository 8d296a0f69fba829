"""The bus inside one process."""

from __future__ import annotations

from asgi_tunnel_edge.bus import Event

from .world import LocalWorld, all_know_each_other, until


async def test_later() -> None:
    """Nothing is heard within the call that causes it."""
    world = LocalWorld()
    one, other = await world.member().start(), await world.member().start()
    await all_know_each_other([one, other])
    one.bus.hold("shop.example.org")
    one.bus.broadcast({"kind": "drain"})
    assert not other.heard.hostnames
    assert not other.heard.events
    await until(lambda: bool(other.heard.hostnames and other.heard.events))


async def test_copies() -> None:
    """What one listener does to an event does not show at another."""
    world = LocalWorld()
    members = [await world.member().start() for _ in range(3)]
    event: Event = {"kind": "spent", "of": {"a": 1}}
    members[0].bus.broadcast(event)
    event["of"]["a"] = 2
    await until(lambda: all(one.heard.events for one in members[1:]))
    members[1].heard.events[0][1]["of"]["a"] = 3
    assert members[2].heard.events[0][1] == {"kind": "spent", "of": {"a": 1}}
