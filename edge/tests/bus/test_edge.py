"""Workers of an edge of a cluster: on their parent's bus and on the service."""

from __future__ import annotations

import socket

from asgi_tunnel_edge.bus import LocalHub
from asgi_tunnel_edge.bus.edge import EdgeBus
from asgi_tunnel_edge.bus.nats import NatsBus

from .world import Member, all_know_each_other, new_node, until


def worker(machine: LocalHub, service: LocalHub, number: int = 0) -> Member:
    """A worker of an edge, which has not joined yet."""
    node = new_node("a", worker=number)
    return Member(node, EdgeBus(machine.bus(node), service.bus(node)))


async def test_near_and_far() -> None:
    """Each node is found once, wherever it is; those of this machine come first."""
    service, here, there = LocalHub(), LocalHub(), LocalHub()
    far = await worker(there, service).start()
    one, other = await worker(here, service).start(), await worker(here, service, 1).start()
    await all_know_each_other([one, other, far])
    for member in (far, other):
        member.bus.hold("shop.example.org")
    await one.finds("shop.example.org", other, far)
    found = await one.bus.find("shop.example.org")
    assert found[0].id == other.node.id
    one.bus.broadcast({"kind": "drain"})
    await other.hears(1)
    await far.hears(1)
    other.bus.release("shop.example.org")
    await one.finds("shop.example.org", far)
    await other.bus.stop()
    await one.knows(far)


async def test_without_the_service() -> None:
    """Workers that start while the service is away find each other, and hear what happens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"nats://127.0.0.1:{listener.getsockname()[1]}"
    machine = LocalHub()
    members = []
    for number in range(2):
        node = new_node("a", worker=number)
        bus = EdgeBus(machine.bus(node), NatsBus(url, node))
        members.append(await Member(node, bus).start())
    one, other = members
    try:
        assert not one.bus.is_connected
        await all_know_each_other(members)
        other.bus.hold("shop.example.org")
        await one.finds("shop.example.org", other)
        one.bus.broadcast({"kind": "drain"})
        await other.hears(1)
    finally:
        for member in members:
            await member.bus.stop()


async def test_a_worker_that_lost_the_service() -> None:
    """It is not gone for the next one, which has it from the parent; nor found twice."""
    service, machine = LocalHub(), LocalHub()
    node = new_node("a", worker=1)
    by_service = service.bus(node)
    one = await worker(machine, service).start()
    other = await Member(node, EdgeBus(machine.bus(node), by_service)).start()
    other.bus.hold("shop.example.org")
    await all_know_each_other([one, other])
    service.leave(by_service)
    before = one.heard.changes
    await until(lambda: one.heard.changes > before)
    assert not one.heard.gone
    await one.finds("shop.example.org", other)
    await other.bus.stop()
    await one.loses(other)
