"""The bus on PostgreSQL: a server that goes away, and nodes that die or freeze."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING

import psycopg
import pytest

from asgi_tunnel_edge.bus import postgresql
from asgi_tunnel_edge.bus.postgresql import PostgresqlBus

from .processes import node_process
from .world import Chaos, Member, ServiceWorld, all_know_each_other, until

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

SHOP, NEW, GONE = "shop.example.org", "new.example.org", "gone.example.org"


@pytest.fixture
def url(postgres: PostgresServer) -> str:
    """Of a database for one test."""
    return postgres.create()


@pytest.fixture
async def world(url: str) -> AsyncIterator[ServiceWorld]:
    """Nodes on that database."""
    made = ServiceWorld(lambda node: PostgresqlBus(url, node))
    yield made
    await made.close()


async def two(world: ServiceWorld) -> tuple[Member, Member]:
    """Two nodes that know each other; the first holds two hostnames."""
    one, other = await world.member("a").start(), await world.member("b").start()
    await all_know_each_other([one, other])
    for hostname in (SHOP, GONE):
        one.bus.hold(hostname)
        await other.finds(hostname, one)
    return one, other


async def end_sessions(url: str) -> None:
    """End all others that a database has, as an administrator may."""
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        await admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )


@pytest.mark.parametrize("is_crash", [False, True])
async def test_the_server_goes_and_comes(
    world: ServiceWorld, postgres: PostgresServer, *, is_crash: bool
) -> None:
    """What is known stays; what changes meanwhile is known after; nobody is taken for gone."""
    one, other = await two(world)
    (postgres.kill if is_crash else postgres.stop)()
    await until(lambda: not one.bus.is_connected and not other.bus.is_connected)
    one.bus.hold(NEW)
    one.bus.release(GONE)
    other.bus.broadcast({"kind": "lost"})
    assert list(await other.bus.find(SHOP)) == [one.node]
    assert list(other.bus.nodes) == [one.node]
    postgres.start()
    await until(lambda: one.bus.is_connected and other.bus.is_connected)
    await other.finds(NEW, one)
    await other.finds(GONE)
    await other.finds(SHOP, one)
    other.bus.broadcast({"kind": "drain"})
    await until(lambda: one.heard.events == [(other.node.id, {"kind": "drain"})])
    assert not one.heard.gone
    assert not other.heard.gone


async def test_changes_while_it_comes_and_goes(
    world: ServiceWorld, postgres: PostgresServer, url: str
) -> None:
    """Servers that stop, crash and start, and sessions that end, lose no change."""
    members = [await world.member(str(number)).start() for number in range(3)]
    await all_know_each_other(members)
    chaos = Chaos(members, seed=1)
    for end in (postgres.stop, postgres.kill, postgres.stop):
        chaos.change(50)
        await asyncio.sleep(0.01)
        end()
        chaos.change(50)
        await until(lambda: not any(member.bus.is_connected for member in members))
        chaos.change(50)
        postgres.start()
        chaos.change(50)
        await until(lambda: any(member.bus.is_connected for member in members))
        chaos.change(50)
        await end_sessions(url)
    chaos.change(50)
    await chaos.settle()


async def test_who_does_not_come_back(
    world: ServiceWorld, postgres: PostgresServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has died while the server was away is gone when all had time to come back."""
    monkeypatch.setattr(postgresql, "RETURN_TIME", 1.0)
    one, other = await two(world)
    postgres.stop()
    await until(lambda: not other.bus.is_connected)
    await world.kill(one)
    postgres.start()
    await other.loses(one)
    await other.finds(SHOP)


async def test_a_start_without_the_server(world: ServiceWorld, postgres: PostgresServer) -> None:
    """A node starts without it, and joins when it is there."""
    postgres.stop()
    one = world.member("a")
    one.bus.hold(SHOP)
    began = time.monotonic()
    await one.start()
    assert time.monotonic() - began < postgresql.START_TIMEOUT + 1
    assert not one.bus.is_connected
    assert not await one.bus.find(SHOP)
    postgres.start()
    other = await world.member("b").start()
    await other.finds(SHOP, one)


async def test_a_server_that_is_frozen(world: ServiceWorld, postgres: PostgresServer) -> None:
    """It is taken for away after some seconds, and stopping does not wait for it."""
    one, other = await two(world)
    pids = postgres.freeze()
    try:
        one.bus.hold(NEW)
        await until(lambda: not one.bus.is_connected)
        began = time.monotonic()
        await one.bus.stop()
        assert time.monotonic() - began < postgresql.STOP_TIMEOUT + 2
    finally:
        for pid in pids:
            os.kill(pid, signal.SIGCONT)
    await other.loses(one)


async def test_a_session_that_is_ended(world: ServiceWorld, url: str) -> None:
    """A node whose session an administrator ends comes back, with all that it holds."""
    one, other = await two(world)
    await end_sessions(url)
    await until(lambda: one.bus.is_connected and other.bus.is_connected)
    one.bus.hold(NEW)
    await other.finds(NEW, one)
    await other.finds(SHOP, one)
    await one.knows(other)


async def test_a_row_that_is_deleted(world: ServiceWorld, url: str) -> None:
    """A node that the others took for gone says again that it is there."""
    one, other = await two(world)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as admin:
        await admin.execute("DELETE FROM asgi_tunnel_bus.nodes WHERE id = %s", (one.node.id,))
    one.bus.hold(NEW)  # its row is not there: it has to join again
    await other.finds(NEW, one)
    await other.finds(SHOP, one)


async def test_what_others_notify(
    world: ServiceWorld, url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """What is no notification of a node is left out, and the next one is heard."""
    one, other = await two(world)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as stranger:
        for text in ("", "x", "[]", "1", "{}", '{"n": "?", "h": ["a"]}', '{"n": 1, "g": {}}'):
            await stranger.execute("SELECT pg_notify('asgi_tunnel_bus', %s)", (text,))
    one.bus.broadcast({"kind": "drain"})
    await other.hears(1)
    assert other.bus.is_connected
    assert not await other.bus.find("a")
    assert "a notification of another form" in caplog.text


async def test_a_defect_of_a_listener(
    world: ServiceWorld, caplog: pytest.LogCaptureFixture
) -> None:
    """It is logged, and the node joins again."""
    one, other = await two(world)

    def happened(event: object, node_id: str) -> None:
        raise RuntimeError("a defect")

    hears, other.heard.happened = other.heard.happened, happened  # type: ignore[method-assign]
    one.bus.broadcast({"kind": "drain"})
    await until(lambda: "joined again after a defect" in caplog.text)
    one.bus.release(GONE)  # while it is away
    other.heard.happened = hears  # type: ignore[method-assign]
    await until(lambda: other.bus.is_connected)
    one.bus.hold(NEW)
    await other.finds(NEW, one)
    await other.finds(GONE)


async def test_a_process_that_is_killed(world: ServiceWorld, url: str) -> None:
    """Its neighbour sees it at once; of two that die together, one after the other."""
    other = await world.member("c").start()
    async with node_process(url, "a", SHOP) as one, node_process(url, "b", SHOP) as two:
        await until(lambda: len(other.bus.nodes) == 2)
        one.process.kill()
        two.process.kill()
        began = time.monotonic()
        await until(lambda: sorted(other.heard.gone) == sorted([one.id, two.id]))
        # Heartbeats alone take SILENT_AFTER, 5 s; measured here: 0.01 to 0.1 s.
        assert time.monotonic() - began < postgresql.SILENT_AFTER - 1
    await other.finds(SHOP)


async def test_a_process_that_is_frozen(world: ServiceWorld, url: str) -> None:
    """It keeps its lock, and its heartbeats stop: gone, until it goes on."""
    other = await world.member("b").start()
    async with node_process(url, "a", SHOP) as one:
        await until(lambda: [node.id for node in other.bus.nodes] == [one.id])
        one.process.send_signal(signal.SIGSTOP)
        await until(lambda: other.heard.gone == [one.id])
        assert not await other.bus.find(SHOP)
        one.process.send_signal(signal.SIGCONT)
        await until(lambda: [node.id for node in other.bus.nodes] == [one.id])

        async def is_back() -> bool:
            return [node.id for node in await other.bus.find(SHOP)] == [one.id]

        async with asyncio.timeout(20):
            while not await is_back():  # noqa: ASYNC110 - it is asked for
                await asyncio.sleep(0.01)


async def test_a_cancelled_start(url: str) -> None:
    """Nothing is left of it."""
    world = ServiceWorld(lambda node: PostgresqlBus(url, node))
    one = world.member()
    starting = asyncio.ensure_future(one.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("bus")]
