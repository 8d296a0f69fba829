"""The bus of the workers of one machine: a parent that is renewed, and workers that freeze."""

from __future__ import annotations

from collections.abc import AsyncIterator

import pytest

from .world import ParentWorld, all_know_each_other, until

SHOP = "shop.example.org"


@pytest.fixture
async def world() -> AsyncIterator[ParentWorld]:
    """Nodes, and their parent."""
    made = ParentWorld()
    yield made
    await made.close()


async def test_another_version_of_the_parent(world: ParentWorld) -> None:
    """It knows nothing of who holds what, and is told; the others see nothing of that."""
    one, other = await world.member().start(), await world.member().start()
    await all_know_each_other([one, other])
    one.bus.hold(SHOP)
    await other.finds(SHOP, one)
    changes = other.heard.changes
    world.renew()
    one.bus.hold("second.example.org")
    one.bus.release(SHOP)
    await other.finds("second.example.org", one)
    await other.finds(SHOP)
    third = await world.member().start()
    await third.knows(one, other)
    await third.finds("second.example.org", one)
    await other.knows(one, third)
    assert not other.heard.gone
    assert other.heard.changes == changes + 1
    await world.kill(one)
    await other.loses(one)


async def test_a_frozen_worker(world: ParentWorld) -> None:
    """One that says nothing any more is gone for the others, until it speaks again."""
    one, other = await world.member().start(), await world.member().start()
    one.bus.hold(SHOP)
    await other.finds(SHOP, one)
    world.freeze(one)
    await other.loses(one)
    await other.finds(SHOP)
    world.thaw(one)
    await other.knows(one)
    await other.finds(SHOP, one)


async def test_a_worker_that_reads_late(world: ParentWorld) -> None:
    """What did not fit into the channel is lost, and the whole table comes after it."""
    one, other = await world.member().start(), await world.member().start()
    await all_know_each_other([one, other])
    one.bus.hold("early.example.org")
    await other.finds("early.example.org", one)
    world.freeze(other)
    names = [f"{'x' * 60}.{'y' * 60}.{'z' * 60}.app-{number}.org" for number in range(20_000)]
    for name in names:
        one.bus.hold(name)
    one.bus.release("early.example.org")
    third = await world.member().start()
    await third.finds(names[-1], one)
    await third.finds("early.example.org")
    world.thaw(other)
    await other.finds(names[-1], one)
    await other.finds("early.example.org")
    await other.knows(one, third)


async def test_a_parent_that_does_not_read(world: ParentWorld) -> None:
    """Events that nobody takes are lost; what is held is not."""
    one, other = await world.member().start(), await world.member().start()
    await all_know_each_other([one, other])
    for _ in range(500):
        one.bus.broadcast({"kind": "spent", "text": "x" * 4000})
    one.bus.hold(SHOP)
    await other.finds(SHOP, one)
    await until(lambda: len(other.heard.events) > 10)
    assert len(other.heard.events) < 500
