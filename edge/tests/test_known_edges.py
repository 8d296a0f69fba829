"""Which edges WELCOME names, and how apps hear of a new one."""

from __future__ import annotations

import asyncio
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

from asgi_tunnel_edge.bus import Node
from asgi_tunnel_edge.known_edges import MAX_NAMED, REMEMBERED, RENEWED_AT_ONCE, KnownEdges

from .live import live_edge

A, B, C = "192.0.2.1:443", "192.0.2.2:443", "192.0.2.3:443"


class World:
    """Nodes and a clock that a test changes."""

    def __init__(self, own: str = A) -> None:
        self.now = 0.0
        self.nodes: list[Node] = []
        self.edges = KnownEdges(own, lambda: self.nodes, is_secure=True, clock=lambda: self.now)

    def are(self, *addresses: str) -> None:
        """The other nodes are those of these edges."""
        self.nodes = [Node(id=f"{number}", public=one) for number, one in enumerate(addresses)]


class Directory:
    """Has sessions: of each app two."""

    def __init__(self, apps: int) -> None:
        self.entries = [
            SimpleNamespace(token=SimpleNamespace(id="tok_1"), instance=app, is_renewed=False)
            for app in range(apps)
            for _ in range(2)
        ]

    @property
    def asked(self) -> int:
        """How many were asked to come anew."""
        return sum(one.is_renewed for one in self.entries)


def test_itself_first() -> None:
    """Then the others in their order, each once, however many workers it has."""
    world = World(B)
    assert world.edges.urls() == (f"wss://{B}",)
    assert not world.edges.has_others
    world.are(C, A, C, "", B)
    assert world.edges.urls() == (f"wss://{B}", f"wss://{C}", f"wss://{A}")
    assert world.edges.has_others


def test_an_edge_that_does_not_know_its_address() -> None:
    """Names none: an app could not tell where it is."""
    world = World("")
    world.are(A)
    assert world.edges.urls() == ()
    assert not world.edges.has_others


def test_one_that_is_gone() -> None:
    """Is named for ten minutes more, and nobody is asked to come anew when it is back."""
    world, directory = World(), Directory(3)
    world.are(B)
    world.edges.look(cast(Any, directory))
    world.are()
    world.now = REMEMBERED
    assert world.edges.urls() == (f"wss://{A}", f"wss://{B}")
    assert not world.edges.has_others
    world.are(B)
    world.edges.look(cast(Any, directory))
    assert directory.asked == 0
    world.are()
    world.now += REMEMBERED + 1
    assert world.edges.urls() == (f"wss://{A}",)


def test_many_edges() -> None:
    """Eight at the most; each edge begins with itself, so that apps spread over all."""
    addresses = [f"192.0.2.{number}:443" for number in range(10, 40)]
    named: list[str] = []
    for own in addresses:
        world = World(own)
        world.are(*addresses)
        urls = world.edges.urls()
        assert urls[0] == f"wss://{own}"
        assert len(urls) == len(set(urls)) == MAX_NAMED
        named += urls
    assert {named.count(one) for one in named} == {MAX_NAMED}


def test_a_new_edge_is_told() -> None:
    """To one session of each app, so many at once."""
    world, directory = World(), Directory(RENEWED_AT_ONCE + 10)
    world.edges.look(cast(Any, directory))
    assert directory.asked == 0
    world.are(B)
    world.edges.look(cast(Any, directory))
    assert directory.asked == RENEWED_AT_ONCE
    world.edges.look(cast(Any, directory))
    world.edges.look(cast(Any, directory))
    assert directory.asked == RENEWED_AT_ONCE + 10


async def test_a_connected_app_hears_of_it(tmp_path: Path) -> None:
    """Its session is renewed, and it keeps one at each edge then."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise AssertionError

    async with live_edge(tmp_path, app, edge_address="127.0.0.1:9") as live:
        connector = live.connector
        assert connector is not None
        assert list(connector.edges.known) == ["ws://127.0.0.1:9"]
        asked = asyncio.Event()
        connector.edges.on_change = asked.set
        live.edge.nodes = lambda: (Node(id="1", public="127.0.0.1:8"),)
        await asyncio.wait_for(asked.wait(), 20)
        assert list(connector.edges.known) == ["ws://127.0.0.1:9", "ws://127.0.0.1:8"]
