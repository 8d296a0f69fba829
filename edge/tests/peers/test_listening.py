"""Who may connect to a node: processes of its user, and edges with the cluster's certificates."""

from __future__ import annotations

import asyncio
import stat
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from edge.tests.peers.app import MIB, App
from edge.tests.peers.client import Client
from edge.tests.peers.world import Nodes, nodes, until
from msgspec.structs import replace

from asgi_tunnel_edge.bus import Node
from asgi_tunnel_edge.cluster.authority import Authority
from asgi_tunnel_edge.cluster.tls import accepting_context, dialing_context
from asgi_tunnel_edge.errors import PeerError
from asgi_tunnel_edge.peers import link
from asgi_tunnel_edge.peers.link import PeerLink


def modes(path: Path) -> list[int]:
    """The modes of a file and its folder."""
    return [stat.S_IMODE(one.stat().st_mode) for one in (path, path.parent)]


async def test_socket_is_private(tmp_path: Path) -> None:
    """Only the edge's own user can open the socket, and nothing of it stays."""
    async with nodes(tmp_path, 1) as world:
        path = Path(world[0].edge.neighbours.node.unix)
        assert modes(path) == [0o600, 0o700]
    with pytest.raises(FileNotFoundError):
        modes(path)


async def test_edges(tmp_path: Path) -> None:
    """Two edges of a cluster serve each other's apps, over TLS."""
    app = App()
    async with nodes(tmp_path, are_edges=True) as world:
        await world[0].connect(app)
        async with Client(world[1]) as client:
            assert (await client.ask("GET", "/one")).body == b"/one"
            assert len((await client.ask("GET", f"/size/{8 * MIB}")).body) == 8 * MIB
            answer = await client.ask("POST", "/two", bytes(8 * MIB))
            assert answer.body.split()[0] == str(8 * MIB).encode()
        (status,) = world.peers(1).status()
        assert (status["node"], status["state"]) == ("edge0/0", "ready")


async def test_strangers(tmp_path: Path) -> None:
    """Another authority's certificate, or one of another edge than is meant, opens nothing."""
    async with nodes(tmp_path, are_edges=True) as world:
        node = world[0].edge.neighbours.node
        own = Node(id="x" * 16, edge="edge7", worker=0)

        async def dial(own: Node, node: Node, authority: Authority, name: str) -> None:
            tls = dialing_context(authority.issue(name))
            link = PeerLink(own, node, tls=tls, on_lost=lambda _link: None)
            try:
                await link.connect()
            finally:
                link.close()

        await dial(own, node, world.authority, "edge7")
        for who, whom, authority, name in (
            (own, node, Authority.create(), "edge7"),  # trusts another authority
            (own, node, world.authority, "edge8"),  # says another name than its certificate
            (own, replace(node, edge="edge9"), world.authority, "edge7"),  # means another edge
            (
                own,
                replace(node, id="y" * 16),
                world.authority,
                "edge7",
            ),  # means an older process
            (replace(own, edge="edge0"), replace(node, unix=""), world.authority, "edge7"),
        ):
            with pytest.raises(PeerError):
                await dial(who, whom, authority, name)
        with pytest.raises(PeerError):  # and without a certificate there is no way
            await PeerLink(own, node, tls=None, on_lost=lambda _link: None).connect()


@asynccontextmanager
async def one_port(folder: Path) -> AsyncIterator[Nodes]:
    """Three nodes, of which the first two are processes of one edge, with the port of the first.

    An app is connected to the second.
    """
    async with nodes(folder, 3, are_edges=True) as world:
        _make_one_edge(world)
        await world[1].connect(App())
        yield world


def _make_one_edge(world: Nodes) -> None:
    first, second = world[0].edge.neighbours.node, world[1].edge.neighbours.node
    node = replace(second, edge="edge0", worker=1, peer=first.peer)
    neighbours = world[1].edge.neighbours
    neighbours.node = node
    bus = neighbours._bus
    assert bus is not None
    bus.node = node  # type: ignore[attr-defined]
    world.peers(1)._own = node
    world.peers(1).listener._own = node


async def test_one_port_for_all_processes(tmp_path: Path) -> None:
    """Another edge knows one port; the process that accepts passes on what another one has."""
    async with one_port(tmp_path) as world:
        async with Client(world[2]) as client:
            assert (await client.ask("GET", "/one")).body == b"/one"
            assert len((await client.ask("GET", f"/size/{8 * MIB}")).body) == 8 * MIB
        (ready,) = [one for one in world.peers(2).status() if one["state"] == "ready"]
        assert ready["node"] == "edge0/1"
        assert len(world.peers(0).pumps._pumps) == 2
        world.peers(0).pumps.close()
        await until(lambda: world.peers(2).status()[1]["state"] == "lost")
        async with Client(world[2]) as client:
            assert (await asyncio.wait_for(client.ask("GET", "/two"), 10)).body == b"/two"


async def test_a_connection_that_is_passed_on_gives_way_to_a_direct_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After an upgrade the old process passes on what it has accepted; nothing is lost with it."""
    monkeypatch.setattr(link, "DIRECT_AFTER", 0.05)
    async with one_port(tmp_path) as world:
        async with Client(world[2]) as client:
            assert (await client.ask("GET", "/one")).body == b"/one"
            (way,) = [one for one in world.peers(2)._links.values() if one.is_ready]
            passed = way.session
            assert passed is not None
            await client.send("GET", f"/size/{8 * MIB}", b"", is_chunked=False)
            await until(lambda: passed.in_flight == 1)
            identity = world.authority.issue("edge0")
            sockets = [one.dup() for one in world.peers(0).listener._sockets]
            await world.peers(1).listen_on(sockets, accepting_context(identity))
            world[0].edge.neighbours.retire()
            await until(lambda: way.session is not passed)
            await asyncio.sleep(2 * link.IDLE_LOOK)
            assert not passed.is_over  # something is in progress on it
            assert len((await client.answer()).body) == 8 * MIB
            await until(lambda: passed.is_over)
            world.peers(0).pumps.close()
            assert (await client.ask("GET", "/two")).body == b"/two"
        assert way.is_ready
