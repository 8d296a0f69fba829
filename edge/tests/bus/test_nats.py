"""The bus on NATS: servers that die, freeze or refuse, and nodes that die or freeze."""

from __future__ import annotations

import asyncio
import secrets
import signal
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest
from edge.tests.nats_server import MISSING, NatsServers, find_program
from nats import connect

from asgi_tunnel_edge.bus import nats
from asgi_tunnel_edge.bus.nats import NatsBus

from .processes import node_process
from .world import Chaos, Member, ServiceWorld, all_know_each_other, until

# The client forgets the socket of a server that takes a connection and says nothing.
client_forgets = pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")

SHOP, NEW, GONE = "shop.example.org", "new.example.org", "gone.example.org"


@pytest.fixture(scope="module")
def _three() -> Iterator[NatsServers]:
    if find_program() is None:
        pytest.skip(MISSING)
    servers = NatsServers(3)
    yield servers
    servers.remove()


@pytest.fixture
def three(_three: NatsServers) -> NatsServers:
    """Three servers that know each other, running."""
    _three.start()
    return _three


def url_of(servers: NatsServers) -> str:
    """A URL for one test."""
    return f"{servers.url}/{secrets.token_hex(8)}"


@pytest.fixture
async def world(three: NatsServers) -> AsyncIterator[ServiceWorld]:
    """Nodes on the three."""
    url = url_of(three)
    made = ServiceWorld(lambda node: NatsBus(url, node))
    yield made
    await made.close()


def server_of(member: Member) -> int | None:
    """The port of the server that a node is connected with now."""
    assert isinstance(member.bus, NatsBus)
    client = member.bus._client
    url = None if client is None else client.connected_url
    return None if url is None else url.port


async def two(world: ServiceWorld) -> tuple[Member, Member]:
    """Two nodes that know each other; the first holds two hostnames."""
    one, other = await world.member("a").start(), await world.member("b").start()
    await all_know_each_other([one, other])
    for hostname in (SHOP, GONE):
        one.bus.hold(hostname)
        await other.finds(hostname, one)
    return one, other


async def test_a_server_dies(world: ServiceWorld, three: NatsServers) -> None:
    """Its nodes go to another one; nobody is taken for gone, and all is found again."""
    members = [await world.member(str(number)).start() for number in range(6)]
    await all_know_each_other(members)
    for number, member in enumerate(members):
        member.bus.hold(f"{number}.example.org")
    for number, member in enumerate(members):
        await members[number - 1].finds(f"{number}.example.org", member)
    three.kill(0)
    for number, member in enumerate(members):
        await members[number - 1].finds(f"{number}.example.org", member)
    members[0].bus.hold(NEW)
    await members[3].finds(NEW, members[0])
    await until(lambda: all(member.bus.is_connected for member in members))
    await all_know_each_other(members)


async def test_all_servers_die(world: ServiceWorld, three: NatsServers) -> None:
    """What is known stays; what changes meanwhile is known after; nobody is taken for gone."""
    one, other = await two(world)
    for number in range(3):
        three.kill(number)
    await until(lambda: not one.bus.is_connected and not other.bus.is_connected)
    one.bus.hold(NEW)
    one.bus.release(GONE)
    other.bus.broadcast({"kind": "lost"})
    assert list(await other.bus.find(SHOP)) == [one.node]  # as it was found before
    assert not await other.bus.find(NEW)
    assert list(other.bus.nodes) == [one.node]
    three.start()
    await until(lambda: one.bus.is_connected and other.bus.is_connected)
    await other.finds(NEW, one)
    await other.finds(GONE)
    await other.finds(SHOP, one)
    other.bus.broadcast({"kind": "drain"})
    await until(lambda: one.heard.events == [(other.node.id, {"kind": "drain"})])


async def test_changes_while_servers_come_and_go(world: ServiceWorld, three: NatsServers) -> None:
    """Servers that die and start lose no change."""
    members = [await world.member(str(number)).start() for number in range(3)]
    await all_know_each_other(members)
    chaos = Chaos(members, seed=1)
    for number in (0, 1, 2):
        chaos.change(50)
        await asyncio.sleep(0.01)
        three.kill(number)
        chaos.change(50)
        await asyncio.sleep(0.01)
        three.kill((number + 1) % 3)
        chaos.change(50)
        await asyncio.sleep(0.1)
        chaos.change(50)
        three.start()
    await until(lambda: all(member.bus.is_connected for member in members))
    chaos.change(50)
    await chaos.settle()


async def test_who_does_not_come_back(
    world: ServiceWorld, three: NatsServers, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who has died while all servers were away is gone when all had time to come back."""
    monkeypatch.setattr(nats, "RETURN_TIME", 1.0)
    one, other = await two(world)
    for number in range(3):
        three.kill(number)
    await until(lambda: not other.bus.is_connected)
    await world.kill(one)
    three.start()
    await other.loses(one)
    assert not await other.bus.find(SHOP)


@client_forgets
async def test_a_start_without_servers(world: ServiceWorld, three: NatsServers) -> None:
    """A node starts without them, and joins when they are there."""
    for number in range(3):
        three.kill(number)
    one = world.member("a")
    one.bus.hold(SHOP)
    began = time.monotonic()
    await one.start()
    assert time.monotonic() - began < nats.START_TIMEOUT + 1
    assert not one.bus.is_connected
    assert not await one.bus.find(SHOP)
    three.start()
    other = await world.member("b").start()
    await other.finds(SHOP, one)


@client_forgets
async def test_a_frozen_server(world: ServiceWorld, three: NatsServers) -> None:
    """Its nodes leave it after some seconds, and are found by way of the others."""
    one, other = await two(world)
    three.kill(1)
    three.kill(2)
    await until(lambda: server_of(one) == server_of(other) == three.ports[0])
    three.signal(0, signal.SIGSTOP)
    try:
        three.start(1, 2)
        # Not whether they are away: the time between two servers may be shorter than a look.
        await until(lambda: {server_of(one), server_of(other)} <= set(three.ports[1:]))
        await until(lambda: one.bus.is_connected and other.bus.is_connected)
        await other.finds(SHOP, one)
    finally:
        three.kill(0)


async def test_what_others_publish(three: NatsServers, caplog: pytest.LogCaptureFixture) -> None:
    """What is no message of a node is left out, and the next one is heard."""
    url = url_of(three)
    name = url.rpartition("/")[2]
    near = ServiceWorld(lambda node: NatsBus(url, node))
    one, other = await near.member("a").start(), await near.member("b").start()
    await all_know_each_other([one, other])
    stranger = await connect(three.url.split(",")[0])
    for subject in ("all", f"to.{other.node.id}.1", f"to.{other.node.id}.probe"):
        for data in (b"", b"x", b"[]", b"1", b"{}", b'{"node": 1}', b'{"event": {}}', b"\xff"):
            await stranger.publish(f"{name}.{subject}", data)
    await stranger.flush()
    await stranger.close()
    one.bus.broadcast({"kind": "drain"})
    await until(lambda: (one.node.id, {"kind": "drain"}) in other.heard.events)
    one.bus.hold(NEW)
    await other.finds(NEW, one)
    assert "a message of another form" in caplog.text
    await near.close()


async def test_a_process_that_is_killed(world: ServiceWorld, three: NatsServers) -> None:
    """Its neighbour sees it within a second, and it is found no longer at once."""
    url = url_of(three)
    near = ServiceWorld(lambda node: NatsBus(url, node))
    other = await near.member("c").start()
    async with node_process(url, "a", SHOP) as one:
        await until(lambda: [node.id for node in other.bus.nodes] == [one.id])
        assert [node.id for node in await other.bus.find(SHOP)] == [one.id]
        one.process.kill()
        began = time.monotonic()
        await other.finds(SHOP)
        await until(lambda: other.heard.gone == [one.id])
        # Words alone take SILENT_AFTER, 5 s; measured here: 0.6 to 0.9 s.
        assert time.monotonic() - began < nats.SILENT_AFTER - 1
    await near.close()


async def test_a_process_that_is_frozen(three: NatsServers) -> None:
    """It says nothing any more: gone, until it goes on."""
    url = url_of(three)
    near = ServiceWorld(lambda node: NatsBus(url, node))
    other = await near.member("b").start()
    async with node_process(url, "a", SHOP) as one:
        await until(lambda: [node.id for node in other.bus.nodes] == [one.id])
        one.process.send_signal(signal.SIGSTOP)
        await until(lambda: other.heard.gone == [one.id])
        one.process.send_signal(signal.SIGCONT)
        await until(lambda: [node.id for node in other.bus.nodes] == [one.id])
        assert [node.id for node in await other.bus.find(SHOP)] == [one.id]
    await near.close()


@pytest.mark.parametrize("user", ["edge", ""])
async def test_a_password(tmp_path: Path, user: str) -> None:
    """With it, or with a token, a node joins; with another one it tries again until it is right."""
    if find_program() is None:
        pytest.skip(MISSING)
    servers = NatsServers(user=user, secret="s3cret")
    servers.start()
    right, wrong = tmp_path / "right", tmp_path / "wrong"
    right.write_text("s3cret\n")
    wrong.write_text("other\n")
    world = ServiceWorld(lambda node: NatsBus(f"{servers.url}?passfile={right}", node))
    refused = ServiceWorld(lambda node: NatsBus(f"{servers.url}?passfile={wrong}", node))
    try:
        one, other = await world.member("a").start(), await world.member("b").start()
        await all_know_each_other([one, other])
        third = await refused.member("c").start()
        assert not third.bus.is_connected
        assert not await third.bus.find(SHOP)
        wrong.write_text("s3cret\n")
        await all_know_each_other([one, other, third])
    finally:
        await world.close()
        await refused.close()
        servers.remove()


async def test_a_cancelled_start(three: NatsServers) -> None:
    """Nothing is left of it."""
    for number in range(3):
        three.kill(number)
    one = ServiceWorld(lambda node: NatsBus(three.url, node)).member()
    starting = asyncio.ensure_future(one.start())
    await asyncio.sleep(0)
    starting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await starting
    assert not [task for task in asyncio.all_tasks() if task.get_name().startswith("bus")]
