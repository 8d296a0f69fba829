"""What the visitor's node does when the app's has no session any longer, or is lost."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import pytest
from edge.tests.live import SHOP
from edge.tests.peers.app import CHAT, App
from edge.tests.peers.client import Client
from edge.tests.peers.world import Nodes, nodes, until
from websockets.asyncio.client import connect

from asgi_tunnel.policy.collect import SentPolicy
from asgi_tunnel.protocol.policy import PolicyRule
from asgi_tunnel_edge.bus import Node


async def move(world: Nodes, app: Any, *, to: int, away: int) -> None:
    """Let the app go from one node to another, while the visitor's node still knows the first."""
    await world[away].disconnect()
    await world[to].connect(app)


@pytest.mark.parametrize("method", ["GET", "DELETE"])
async def test_gone_without_body(tmp_path: Path, method: str) -> None:
    """A node that says `gone` is forgotten, and the request goes where the app is now."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(app)
        async with Client(world[2]) as client:
            assert (await client.ask("GET", "/one")).status == 200
            await move(world, app, to=1, away=0)
            answer = await client.ask(method, "/two")
            assert (answer.status, answer.body) == (200, b"/two")
        assert app.paths == ["/one", "/two"]
        assert world.peers(2).forwarding.gone == 1


@pytest.mark.parametrize("size", [10, 60_000, 3_000_000])
async def test_gone_with_body(tmp_path: Path, size: int) -> None:
    """A request with a body that no app has seen is sent once more, whole."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(app)
        async with Client(world[2]) as client:
            assert (await client.ask("GET", "/one")).status == 200
            await move(world, app, to=1, away=0)
            answer = await client.ask("POST", "/two", bytes(size))
            assert answer.body.split()[0] == str(size).encode()
        assert app.paths == ["/one", "/two"]
        assert world.peers(2).forwarding.gone == 1


async def test_gone_to_this_node(tmp_path: Path) -> None:
    """It may be this very node that the app has come to meanwhile."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            assert (await client.ask("GET", "/one")).status == 200
            asking = asyncio.create_task(client.ask("POST", "/slow", bytes(100_000)))
            await until(lambda: "/slow" in app.paths)
            app.may_read.set()
            assert (await asking).status == 200
            await world[0].disconnect()
            asking = asyncio.create_task(client.ask("POST", "/two", bytes(100_000)))
            await until(lambda: world.peers(1).forwarding.gone == 1)
            await world[1].connect(app)
            assert (await asking).body.split()[0] == b"100000"
        assert app.paths == ["/one", "/slow", "/two"]


async def test_gone_websocket(tmp_path: Path) -> None:
    """A handshake that no app has seen is sent once more."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(app)
        assert (await world[2].get("/one")).status == 200
        await move(world, app, to=1, away=0)
        port = world[2].edge.address.port
        where: dict[str, Any] = {"host": "127.0.0.1", "port": port, "proxy": None}
        async with connect(f"ws://{SHOP}/chat", subprotocols=[CHAT], **where) as socket:
            await socket.send("hello")
            assert await socket.recv() == "hello"
        assert world.peers(2).forwarding.gone == 1


async def test_nobody(tmp_path: Path) -> None:
    """Where no node has the app, a visitor waits as long as at an edge that is alone."""
    async with nodes(tmp_path, limits={"hold_timeout": 0.5}) as world:
        await world[0].connect(App())
        assert (await world[1].get("/one")).status == 200
        await world[0].disconnect()
        async with Client(world[1]) as client:
            answer = await client.ask("GET", "/two")
            assert answer.status == 503
            answer = await client.ask("POST", "/three", b"x")
            assert answer.status == 503


async def test_comes_back_while_somebody_waits(tmp_path: Path) -> None:
    """A visitor who waits is served as soon as the app is at any node."""
    async with nodes(tmp_path) as world, Client(world[1]) as client:
        asking = asyncio.create_task(client.ask("GET", "/late"))
        route = world[1].edge.directory.find(SHOP)
        assert route is not None
        await until(lambda: route.has_waiting)
        await world[0].connect(App())
        assert (await asking).body == b"/late"


async def test_node_is_lost(tmp_path: Path) -> None:
    """With its node an exchange is lost; one that may be sent twice is served by another node."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(app)
        async with Client(world[2]) as getting, Client(world[2]) as posting:
            get = asyncio.create_task(getting.ask("GET", "/slow"))
            post = asyncio.create_task(posting.ask("POST", "/slow", b"x" * 10))
            await until(lambda: app.paths == ["/slow", "/slow"])
            await world[1].connect(app)
            world.peers(0).listener.close()
            answer = await post
            assert answer.status == 502
            await until(lambda: len(app.paths) == 3)
            app.may_read.set()
            assert (await get).status == 200
        assert app.paths.count("/slow") == 3  # the POST was not sent again


async def test_frozen_node(tmp_path: Path) -> None:
    """A node that is not heard is left out after some seconds, and found again."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(app)
        assert (await world[2].get("/one")).status == 200
        await world[1].connect(app)
        # It reads nothing any more, as a process that was stopped.
        for session in world.peers(0).listener.sessions:
            if session._transport is not None:  # one more waits where this machine stood still
                session._transport._transport.pause_reading()  # type: ignore[attr-defined]
        async with Client(world[2]) as client:
            answer = await client.ask("GET", "/two")
            assert (answer.status, answer.body) == (200, b"/two")
        assert app.paths == ["/one", "/two"]


async def test_policy_holds_everywhere(tmp_path: Path) -> None:
    """The app's rules hold at the node of the visitor, and new ones as soon as they are known."""
    app = App()
    old = SentPolicy(rules=(PolicyRule(path="/small", max_body=10, timeout=60.0),))
    new = SentPolicy(rules=(), routes=("/only", "/small"))
    async with nodes(tmp_path) as world:
        await world[0].connect(app, policy=old)
        async with Client(world[1]) as client:
            # It waits until the rule is known, and is judged by it.
            answer = await client.ask("POST", "/small", b"x" * 11)
            assert answer.status == 413
        async with Client(world[1]) as client:
            assert (await client.ask("POST", "/small", b"x" * 10)).status == 200
            assert (await client.ask("GET", "/other")).status == 200
            await world[0].disconnect()
            await world[0].connect(app, policy=new)
            assert (await client.ask("GET", "/other")).status == 404
            assert (await client.ask("POST", "/small", b"x" * 100)).status == 200
        assert app.paths == ["/small", "/other", "/small"]


async def test_new_policy_for_a_body(tmp_path: Path) -> None:
    """A request with a body is held to what its app wants now, though it was sent before."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            assert (await client.ask("GET", "/one")).status == 200
            small = SentPolicy(rules=(PolicyRule(path="/small", max_body=10),))
            connector = world[0].connector
            await world[0].connect(app, policy=small)  # beside the old one, which ends then
            assert connector is not None
            await connector.stop()
            assert (await client.ask("POST", "/small", b"x" * 11)).status == 413
        async with Client(world[1]) as client:
            assert (await client.ask("POST", "/small", b"x" * 10)).status == 200
        assert app.paths == ["/one", "/small"]


async def test_two_holders(tmp_path: Path) -> None:
    """Where two nodes have the app, both are used."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(app)
        await world[1].connect(app)
        clients = [Client(world[2]) for _ in range(6)]
        for one in clients:
            await one.__aenter__()
        await clients[0].ask("GET", "/first")
        await until(lambda: len([o for o in world.peers(2).status() if o["state"] == "ready"]) == 2)
        asking = [asyncio.create_task(one.ask("POST", "/slow", b"x")) for one in clients]
        await until(lambda: app.paths.count("/slow") == 6)
        app.may_read.set()
        assert [(await one).status for one in asking] == [200] * 6
        await until(lambda: {one["streams"] for one in world.peers(2).status()} <= {0})
        assert world.peers(0).relay.served >= 2
        assert world.peers(1).relay.served >= 2
        for one in clients:
            await one.__aexit__(None)


async def test_one_hop(tmp_path: Path) -> None:
    """What a node gets of another it does not send further, though it knows who has the app."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(app)
        assert (await world[1].get("/one")).status == 200  # 1 knows 0
        stranger = Node(
            id=world[1].edge.neighbours.node.id, unix=world[1].edge.neighbours.node.unix
        )
        route = world[2].edge.directory.find(SHOP)
        assert route is not None
        link = world.peers(2).link_to(stranger)
        assert await world.peers(2).describe(link, route) is None


async def test_known_before_the_first_visitor(tmp_path: Path) -> None:
    """What an app wants is known at other nodes before somebody comes, also a door."""
    app = App()
    policy = SentPolicy(rules=(PolicyRule(path="/admin", access="family"),))
    family = {"family": {"users": ["anna"]}}
    async with nodes(tmp_path, access=family, guards={"hide_offline": True}) as world:
        await world[0].connect(app, policy=policy)
        route = world[1].edge.directory.find(SHOP)
        assert route is not None
        await until(lambda: route.policy is not None and route.choose() is not None)
        async with Client(world[1]) as client:
            answer = await client.ask("GET", "/admin")
            assert answer.status in (302, 303, 401, 403), answer
            assert (await client.ask("GET", "/open")).status == 200
        assert app.paths == ["/open"]
