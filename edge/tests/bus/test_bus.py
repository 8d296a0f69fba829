"""What every form of the bus does; each test runs on all of them."""

from __future__ import annotations

import asyncio

import pytest

from asgi_tunnel_edge.bus import MAX_EVENT, Node, decode_event, encode_event

from .world import Chaos, Member, World, all_know_each_other, until

SHOP = "shop.example.org"


async def two(world: World) -> tuple[Member, Member]:
    """Two nodes that know each other."""
    one, other = await world.member("a").start(), await world.member("b").start()
    await all_know_each_other([one, other])
    return one, other


async def test_nodes(world: World) -> None:
    """Each knows the others as they describe themselves, and not itself."""
    one, other = await two(world)
    assert list(one.bus.nodes) == [other.node]
    assert list(other.bus.nodes) == [one.node]
    third = await world.member("c", worker=3).start()
    await all_know_each_other([one, other, third])
    assert third.node in one.bus.nodes
    await until(lambda: one.heard.changes > 0)
    assert one.bus.is_connected


async def test_find(world: World) -> None:
    """Who holds a hostname is found by the others, and no longer once it is released."""
    one, other = await two(world)
    one.bus.hold(SHOP)
    await other.finds(SHOP, one)
    assert list(await other.bus.find(SHOP)) == [one.node]
    await one.finds(SHOP)  # the others, never itself
    one.bus.release(SHOP)
    await other.finds(SHOP)


async def test_several_holders(world: World) -> None:
    """All that hold a hostname are found."""
    one, other = await two(world)
    third = await world.member("c").start()
    await all_know_each_other([one, other, third])
    one.bus.hold(SHOP)
    other.bus.hold(SHOP)
    await third.finds(SHOP, one, other)
    await one.finds(SHOP, other)
    one.bus.release(SHOP)
    await third.finds(SHOP, other)


async def test_exactly_this_hostname(world: World) -> None:
    """A wildcard is a name as any other: it is found as itself, and stands for no other."""
    one, other = await two(world)
    one.bus.hold("*.shop.example.org")
    await other.finds("*.shop.example.org", one)
    for hostname in ("a.shop.example.org", "shop.example.org", "*.example.org", "*"):
        assert not await other.bus.find(hostname)


async def test_held_twice(world: World) -> None:
    """A second hold or release changes nothing."""
    one, other = await two(world)
    one.bus.release(SHOP)
    one.bus.hold(SHOP)
    one.bus.hold(SHOP)
    await other.finds(SHOP, one)
    one.bus.release(SHOP)
    one.bus.release(SHOP)
    await other.finds(SHOP)
    one.bus.hold(SHOP)
    await other.finds(SHOP, one)


async def test_held_before(world: World) -> None:
    """What is held before a node joins, or before another joins, is found."""
    one, other = world.member("a"), world.member("b")
    one.bus.hold(SHOP)
    one.bus.hold("gone.example.org")
    one.bus.release("gone.example.org")
    assert not await one.bus.find(SHOP)
    await one.start()
    await other.start()
    await other.finds(SHOP, one)
    assert not await other.bus.find("gone.example.org")


async def test_holders_changed(world: World) -> None:
    """Who has looked for a hostname in vain hears of who holds it, and that it does no longer."""
    one, other = await two(world)
    assert not await other.bus.find(SHOP)
    one.bus.hold(SHOP)
    await until(lambda: other.heard.hostnames == [SHOP])
    await other.finds(SHOP, one)
    one.bus.release(SHOP)
    await until(lambda: other.heard.hostnames == [SHOP, SHOP])
    await other.finds(SHOP)
    assert not one.heard.hostnames


async def test_many(world: World) -> None:
    """Some thousand hostnames at once are all held, and all released."""
    one, other = await two(world)
    names = [f"app-{number}.example.org" for number in range(3000)]
    for name in names:
        one.bus.hold(name)
    for name in (names[0], names[1500], names[-1]):
        await other.finds(name, one)
    third = await world.member("c").start()
    await third.finds(names[-1], one)
    for name in names:
        one.bus.release(name)
    for name in (names[0], names[1500], names[-1]):
        await other.finds(name)


async def test_long_names(world: World) -> None:
    """Hostnames as long as DNS has them fit into what the service takes at once."""
    one, other = await two(world)
    names = [".".join(["x" * 63, "y" * 63, "z" * 63, f"{number:061}"]) for number in range(200)]
    assert {len(name) for name in names} == {253}
    for name in names:
        one.bus.hold(name)
    for name in names:
        await other.finds(name, one)
    for name in names:
        one.bus.release(name)
    for name in names:
        await other.finds(name)


@pytest.mark.parametrize("seed", range(3))
async def test_any_order(world: World, seed: int) -> None:
    """Whatever nodes hold and release, in whatever order: at the end all find what is held."""
    members = [await world.member(str(number)).start() for number in range(4)]
    await all_know_each_other(members)
    chaos = Chaos(members, seed)
    for _ in range(10):
        chaos.change(30)
        await asyncio.sleep(0)
    await chaos.settle()


async def test_broadcast(world: World) -> None:
    """All others hear an event, once and in order; the sender does not."""
    one, other = await two(world)
    third = await world.member("c").start()
    await all_know_each_other([one, other, third])
    events = [{"kind": "spent", "number": number, "text": "é\n"} for number in range(50)]
    for event in events:
        one.bus.broadcast(event)
    for member in (other, third):
        await member.hears(len(events))
        assert member.heard.events == [(one.node.id, event) for event in events]
    assert not one.heard.events


async def test_the_same_event_twice(world: World) -> None:
    """Two events that say the same are two."""
    one, other = await two(world)
    for _ in range(2):
        one.bus.broadcast({"kind": "drain"})
    one.bus.broadcast({"kind": "last"})
    await until(lambda: len(other.heard.events) == 3)
    assert [event["kind"] for _, event in other.heard.events] == ["drain", "drain", "last"]


async def test_a_large_event(world: World) -> None:
    """An event has up to 4,096 bytes; a larger one is refused where it comes from."""
    one, other = await two(world)
    event = {"kind": "challenge", "text": "'" + "é" * 2000}
    event["text"] += "x" * (MAX_EVENT - len(encode_event(event)))
    one.bus.broadcast(event)
    await until(lambda: other.heard.events == [(one.node.id, event)])
    with pytest.raises(ValueError, match="4097 bytes is larger than 4096"):
        one.bus.broadcast({**event, "text": event["text"] + "x"})


async def test_leaving(world: World) -> None:
    """Who leaves is gone at once, with what it held; leaving twice is leaving once."""
    one, other = await two(world)
    one.bus.hold(SHOP)
    await other.finds(SHOP, one)
    await one.bus.stop()
    await one.bus.stop()
    await other.loses(one)
    await other.knows()
    await other.finds(SHOP)
    other.bus.broadcast({"kind": "drain"})
    assert not one.bus.is_connected
    assert not one.heard.events


async def test_death(world: World) -> None:
    """Who is killed is gone within seconds, with what it held, and the others go on."""
    one, other = await two(world)
    third = await world.member("c").start()
    await all_know_each_other([one, other, third])
    one.bus.hold(SHOP)
    third.bus.hold(SHOP)
    await other.finds(SHOP, one, third)
    await world.kill(one)
    for member in (other, third):
        await member.loses(one)
    await other.knows(third)
    await other.finds(SHOP, third)
    other.bus.broadcast({"kind": "drain"})
    await until(lambda: third.heard.events == [(other.node.id, {"kind": "drain"})])


async def test_never_started(world: World) -> None:
    """A node that has not joined is not connected, and what it says is lost."""
    one = world.member()
    one.bus.broadcast({"kind": "drain"})
    assert not one.bus.is_connected
    assert not one.bus.nodes
    assert not await one.bus.find(SHOP)
    await one.bus.stop()


def test_a_node() -> None:
    """Events and nodes are plain JSON objects."""
    assert Node(id="1").edge == ""
    assert decode_event(encode_event({"kind": "x", "list": [1, None]})) == {
        "kind": "x",
        "list": [1, None],
    }
    with pytest.raises(ValueError, match="object"):
        decode_event(b"[]")
