"""An exchange whose visitor is at one node, and whose app is at another."""

from __future__ import annotations

import asyncio
import hashlib
from pathlib import Path
from typing import Any

import pytest
from edge.tests.live import SHOP
from edge.tests.peers.app import CHAT, MIB, PIECE, App
from edge.tests.peers.client import Client
from edge.tests.peers.world import Nodes, nodes, until
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosedError, InvalidStatus

from asgi_tunnel.protocol.head import PEER
from asgi_tunnel.protocol.limits import MAX_STREAM_WINDOW, OUTBOX_HIGH
from asgi_tunnel_edge.route import SessionEntry


def entry(world: Nodes, number: int) -> SessionEntry:
    """The one session of a node."""
    return world[number].edge.directory.entries[0]


def streams(world: Nodes) -> int:
    """Streams of all sessions, between nodes and to apps."""
    found = 0
    for number, live in enumerate(world.lives):
        peers = world.peers(number)
        found += sum(one.session.in_flight for one in live.edge.directory.entries)
        found += sum(one.in_flight for one in peers.listener.sessions)
        found += sum(one["streams"] for one in peers.status())
    return found


async def test_small(tmp_path: Path) -> None:
    """A visitor of the one edge gets the app of the other, over one connection between them."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            for number in range(20):
                answer = await client.ask("GET", f"/{number}")
                assert (answer.status, answer.body) == (200, f"/{number}".encode())
            answer = await client.ask("HEAD", "/head")
            assert answer.status == 200
            answer = await client.ask("DELETE", "/gone")
            assert answer.body == b"/gone"
        assert world.peers(1).forwarding.sent == 22
        assert world.peers(0).relay.served == 22
        assert not any(name == PEER for name, _ in app.headers)
        assert [one["state"] for one in world.peers(1).status()] == ["ready"]
        await until(lambda: streams(world) == 0)


async def test_a_node_that_ends_in_a_moment_begins_nothing(tmp_path: Path) -> None:
    """A POST that would be cut there is served elsewhere, once; its body has not been lost."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            assert (await client.ask("POST", "/digest", b"one")).status == 200
            world.lives[0].edge.context.is_ending = True
            late = asyncio.ensure_future(client.ask("POST", "/digest", b"two"))
            await until(lambda: world.peers(1).forwarding.gone == 1)
            await world[1].connect(app)
            answer = await late
            digest = hashlib.sha256(b"two").hexdigest()
            assert (answer.status, answer.body.decode()) == (200, f"3 {digest}")
        assert world.peers(0).relay.served == 1


async def test_a_node_that_is_replaced_sends_all_that_its_app_has_sent(tmp_path: Path) -> None:
    """The app is done with a response, and its visitor at the other node reads slowly."""
    size = 16 * MIB
    async with nodes(tmp_path) as world:
        await world[0].connect(App())
        edge, app = world[0].edge, entry(world, 0).session.connection
        async with Client(world[1]) as client:
            await client.send("GET", f"/size/{size}")
            await client.read_until(b"\r\n\r\n")
            missing = size
            while app.open_streams:
                before = world.peers(0).buffered
                await asyncio.sleep(0.02)
                if world.peers(0).buffered == before:  # all that can wait on the way does
                    missing -= len(await client.read_some())
            assert world.peers(0).buffered
            edge._ending.retire(30.0)
            leaving = asyncio.ensure_future(edge.retire(30.0))
            await asyncio.sleep(0.3)
            while missing and (data := await client.read_some()):
                missing -= len(data)
            assert not missing
            await leaving


async def test_wildcard(tmp_path: Path) -> None:
    """What a wildcard covers is found at the node that holds the wildcard."""
    async with nodes(tmp_path) as world:
        await world[0].connect(App())
        assert (await world[1].get("/x", host="a.wild.example.test")).status == 200
        assert (await world[1].get("/x", host="b.wild.example.test")).status == 200


async def test_bodies(tmp_path: Path) -> None:
    """Bodies pass whole, both ways: of one byte, of one window, and of more."""
    async with nodes(tmp_path) as world:
        await world[0].connect(App())
        async with Client(world[1]) as client:
            for size in (1, 1000, 16_384, 65_536, 200_000, 3 * MIB):
                body = (PIECE * (size // len(PIECE) + 1))[:size]
                want = f"{size} {hashlib.sha256(body).hexdigest()}"
                answer = await client.ask("POST", "/digest", body)
                assert answer.body.decode() == want
                answer = await client.ask("POST", "/digest", body, is_chunked=True)
                assert answer.body.decode() == want
                answer = await client.ask("GET", f"/size/{size}")
                assert answer.body == body
        await until(lambda: streams(world) == 0)


async def test_many_at_once(tmp_path: Path) -> None:
    """Exchanges share the connection between the nodes, and each gets its own bytes."""
    async with nodes(tmp_path) as world:
        await world[0].connect(App())

        async def visit(number: int) -> None:
            async with Client(world[1]) as client:
                for turn in range(5):
                    size = 1 + number * 20_011 + turn
                    answer = await client.ask("GET", f"/size/{size}")
                    assert len(answer.body) == size

        await asyncio.gather(*map(visit, range(30)))
        await until(lambda: streams(world) == 0)


async def test_upload_waits_for_the_app(tmp_path: Path) -> None:
    """An app that does not read stops the visitor, and neither node keeps what it sends."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            asking = asyncio.create_task(client.ask("POST", "/slow", bytes(64 * MIB)))
            await until(lambda: app.paths == ["/slow"])
            await until(lambda: client.is_stuck)
            kept = [live.edge.directory.entries for live in world.lives]
            assert sum(one.session.buffered for some in kept for one in some) < MIB
            assert all(world.peers(number).buffered < MIB for number in (0, 1))
            app.may_read.set()
            answer = await asking
            assert answer.body.decode().split()[0] == str(64 * MIB)


async def test_reader_that_stalls(tmp_path: Path) -> None:
    """A visitor who reads nothing stops the app, and both nodes keep a bounded number of bytes."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            await client.send("GET", "/endless")
            last = -1
            while app.sent != last or not app.sent:
                last = app.sent
                await asyncio.sleep(0.5)
            # What sockets and windows hold; it does not grow further.
            assert app.sent < 24 * MIB
            window = MAX_STREAM_WINDOW + 2 * OUTBOX_HIGH
            assert entry(world, 0).session.buffered < window
            assert world.peers(0).buffered < window
            # Another visitor is served meanwhile.
            async with Client(world[1]) as other:
                assert (await other.ask("GET", "/size/300000")).status == 200
        await until(lambda: streams(world) == 0)  # it has left, and the app hears of it


async def test_events(tmp_path: Path) -> None:
    """Each event arrives when it is sent; the app hears when the visitor leaves."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            await client.send("GET", "/events")
            for _ in range(3):
                await client.read_until(b"data: x\n\n")
                app.may_read.set()
        await until(lambda: streams(world) == 0)


async def test_websocket(tmp_path: Path) -> None:
    """Messages, their kind, their pieces and the close codes pass both ways."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        port = world[1].edge.address.port
        url = f"ws://{SHOP}"
        where: dict[str, Any] = {"host": "127.0.0.1", "port": port, "proxy": None}
        async with connect(f"{url}/chat", subprotocols=[CHAT], max_size=None, **where) as socket:
            assert socket.subprotocol == "chat"
            for message in ("hello", "", b"\x00\xff", "x" * 300_000, b"y" * MIB):
                await socket.send(message)
                assert await socket.recv() == message
            await socket.close(4005, "enough")
        await until(lambda: "closed 4005" in app.paths)
        async with connect(f"{url}/chat", subprotocols=[CHAT], **where) as socket:
            await socket.send("close")
            with pytest.raises(ConnectionClosedError) as closed:
                await socket.recv()
            assert closed.value.rcvd is not None
            assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "as asked")
        with pytest.raises(InvalidStatus) as refused:
            async with connect(f"{url}/deny", **where):
                pass
        assert refused.value.response.status_code == 403
        await until(lambda: streams(world) == 0)


async def test_app_hears_of_a_lost_node(tmp_path: Path) -> None:
    """When the visitor's node is lost, the app's call ends, as with a visitor who leaves."""
    app = App()
    async with nodes(tmp_path) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            await client.send("GET", "/events")
            await client.read_until(b"data: x\n\n")
            world.peers(1).stop()
            await until(lambda: entry(world, 0).session.in_flight == 0)
            assert (await world[0].get("/one")).status == 200
        assert entry(world, 0).session.is_attached  # nothing came that an app's side may not get
