"""What a visitor, or an app with a token, tries at a node that does not have the session."""

from __future__ import annotations

import asyncio
import os
import socket
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any

import pytest
from edge.tests.live import SHOP
from edge.tests.peers.app import MIB, App
from edge.tests.peers.client import Client
from edge.tests.peers.world import HOME, nodes, until
from msgspec.structs import replace

from asgi_tunnel.policy.collect import SentPolicy
from asgi_tunnel.protocol.policy import PolicyRule
from asgi_tunnel.session import Session
from asgi_tunnel_edge.address import networks_of
from asgi_tunnel_edge.bus import Node
from asgi_tunnel_edge.connections.memory import MemoryBudget
from asgi_tunnel_edge.errors import PeerError
from asgi_tunnel_edge.peers.holders import Holders
from asgi_tunnel_edge.peers.link import PeerLink
from asgi_tunnel_edge.peers.listening import HANDSHAKE_SHARES
from asgi_tunnel_edge.route import SessionEntry
from asgi_tunnel_edge.tokens import Snapshot

CLOSED = SentPolicy(rules=(PolicyRule(path="/small", max_body=10),), routes=("/small", "/open"))


@pytest.mark.plain
@pytest.mark.parametrize("is_cut", [False, True])
async def test_an_older_process_elsewhere_takes_no_rule_away(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_cut: bool
) -> None:
    """What another node says of an older process does not hold for the newer one that is here."""
    old, new = App(), App()
    async with nodes(tmp_path) as world:
        await world[0].connect(old)
        await world[1].connect(new, policy=CLOSED)
        assert (await world[1].get("/secret")).status == 404
        directory = world[1].edge.directory
        route = directory.find(SHOP)
        assert route is not None
        (entry,) = route.entries
        # A visitor waits here for a moment, as while the app was not heard, or its line is cut.
        with monkeypatch.context() as patch:
            ready, session = vars(SessionEntry)["is_ready"].fget, entry.session
            patch.setattr(
                SessionEntry, "is_ready", property(lambda one: one is not entry and ready(one))
            )
            if is_cut:
                attached = vars(Session)["is_attached"].fget
                patch.setattr(
                    Session,
                    "is_attached",
                    property(lambda one: one is not session and attached(one)),
                )
            async with Client(world[1]) as client:
                waiting = asyncio.create_task(client.ask("GET", "/open"))
                elsewhere = route.elsewhere
                assert isinstance(elsewhere, Holders)
                await until(lambda: elsewhere._asked_at > 0)
                await until(lambda: elsewhere._task is None)
                patch.undo()
                directory.attached(entry.session)
                assert (await waiting).status == 200
        assert (await world[1].get("/secret")).status == 404
        assert "/secret" not in new.paths


async def test_judged_again_before_it_is_sent_again(tmp_path: Path) -> None:
    """A request that is lost with its session is held to what the app wants by then."""
    old, new = App(), App()
    async with nodes(tmp_path) as world:
        await world[0].connect(old)
        async with Client(world[1]) as client:
            asking = asyncio.create_task(client.ask("GET", "/slow"))
            await until(lambda: old.paths == ["/slow"])
            await world[1].connect(new, policy=CLOSED)
            world.peers(0).listener.close()
            assert (await asking).status == 404
        assert new.paths == []


async def test_silent_connections_do_not_close_the_port_for_edges(tmp_path: Path) -> None:
    """Who opens connections and shows nothing gets a share of them, and only for two seconds."""
    async with nodes(tmp_path, are_edges=True) as world:
        host, _, port = world[0].edge.neighbours.node.peer.rpartition(":")
        listener = world.peers(0).listener
        async with AsyncExitStack() as stack:
            sock = stack.enter_context(socket.create_connection((host, int(port))))
            for _ in range(300):
                stack.enter_context(socket.create_connection((host, int(port))))
            await until(lambda: len(listener._handshakes) == HANDSHAKE_SHARES[0])
            await world[0].connect(App())
            async with Client(world[1]) as client:
                assert (await client.ask("GET", "/one")).body == b"/one"
            # All are closed, also those that gave way before their handshake had begun.
            await until(lambda: not len(listener._handshakes))
            sock.settimeout(10)
            assert sock.recv(1) == b""


async def test_strangers_at_the_port_for_edges_are_turned_away(tmp_path: Path) -> None:
    """Handshakes without a certificate of the cluster are not worked at as fast as they come."""
    async with nodes(tmp_path, 1, are_edges=True) as world:
        host, _, port = world[0].edge.neighbours.node.peer.rpartition(":")
        errors = world.peers(0).listener._errors
        path = networks_of(host)
        now = asyncio.get_running_loop().time
        for _ in range(200):
            _, writer = await asyncio.open_connection(host, int(port))
            writer.write(b"GET / HTTP/1.1\r\n\r\n")
            writer.close()
            if errors.wait(path, now()) > 0:
                break
        await until(lambda: errors.wait(path, now()) > 0)
        reader, writer = await asyncio.open_connection(host, int(port))
        assert await reader.read() == b""
        writer.close()


async def test_a_socket_of_another_user_is_no_node(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who can write to the bus may name a socket of their own: nothing is sent there."""
    path = tmp_path / "evil.sock"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as listening:
        listening.bind(str(path))
        listening.listen()
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        own, node = Node(id="a" * 16, edge="one"), Node(id="b" * 16, edge="one", unix=str(path))
        link = PeerLink(own, node, tls=None, on_lost=lambda _link: None)
        with pytest.raises(PeerError, match="another user"):
            await link.connect()
        taken, _ = listening.accept()
        with taken:
            assert taken.recv(1) == b""


async def test_two_nodes_with_two_policies(tmp_path: Path) -> None:
    """Visitors of an app whose processes disagree do not make nodes describe it without end."""
    asked = 0
    async with nodes(tmp_path, 2, limits={"hold_timeout": 1.0}) as world:
        await world[0].connect(App(), policy=CLOSED)
        route = world[1].edge.directory.find(SHOP)
        assert route is not None
        assert isinstance(route.elsewhere, Holders)
        assert (await world[1].get("/open")).status == 200
        holders, began = route.elsewhere, asyncio.get_running_loop().time()
        look = holders._nodes.describe

        async def describe(link: Any, route: Any) -> Any:
            nonlocal asked
            asked += 1
            return await look(link, route)

        holders._nodes.describe = describe  # type: ignore[method-assign]
        while asyncio.get_running_loop().time() < began + 1:
            (link,) = holders.links or (None,)
            if link is None:
                await asyncio.sleep(0)
                continue
            holders.stale(link)  # as each visitor's request would do
        assert asked <= 12


async def test_slow_readers_at_another_node_do_not_close_this_one(tmp_path: Path) -> None:
    """Where they keep the memory of the app's node, they are ended there, and nobody else is."""
    app = App()
    async with nodes(tmp_path, limits={"max_buffered_bytes": 8 * MIB}) as world:
        await world[0].connect(app)
        # Their own node has enough.
        assert world[1].edge._sweep is not None
        world[1].edge._sweep._budget = MemoryBudget(1024 * MIB)
        context = world[0].edge.context
        sessions = {one.session for one in world[0].edge.directory.entries}
        async with AsyncExitStack() as stack:
            for _ in range(40):
                client = await stack.enter_async_context(Client(world[1]))
                await client.send("GET", "/endless")
                client._reader._transport.pause_reading()  # type: ignore[attr-defined]
            await until(lambda: context.is_overloaded)
            await until(lambda: not context.is_overloaded)
            assert world[0].edge.neighbours.buffered <= 8 * MIB
            assert (await world[0].get("/one")).status == 200
            assert sessions <= {one.session for one in world[0].edge.directory.entries}


async def test_a_node_that_does_not_know_that_a_name_is_end_to_end(tmp_path: Path) -> None:
    """Nothing that an edge can read reaches a name whose TLS is the app's."""
    app = App()
    async with nodes(tmp_path, limits={"hold_timeout": 0.5}) as world:
        await world[0].connect(app)
        edge = world[1].edge
        (record,) = edge.directory.snapshot.tokens.values()
        edge._apply(Snapshot.of(2, [replace(record, end_to_end=())]))  # its store is behind
        assert (await world[1].get("/secret", host=HOME)).status in (502, 503)
        assert app.paths == []
