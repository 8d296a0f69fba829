"""Several nodes on one bus, whatever its form; what each has heard."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Awaitable, Callable, Sequence
from typing import Final, Protocol

from asgi_tunnel_edge.bus import Bus, Event, LocalBus, LocalHub, Node

WAIT: Final = 20.0  # seconds until a test gives up; a bus says things in milliseconds


class Heard:
    """A node's listener: notes all that it hears."""

    def __init__(self) -> None:
        self.changes = 0  # of the nodes
        self.hostnames: list[str] = []
        self.gone: list[str] = []
        self.events: list[tuple[str, Event]] = []

    def nodes_changed(self) -> None:
        """See the interface."""
        self.changes += 1

    def holders_changed(self, hostname: str) -> None:
        """See the interface."""
        self.hostnames.append(hostname)

    def node_gone(self, node_id: str) -> None:
        """See the interface."""
        self.gone.append(node_id)

    def happened(self, event: Event, node_id: str) -> None:
        """See the interface."""
        self.events.append((node_id, event))


class Member:
    """A node, its bus, and what it has heard."""

    def __init__(self, node: Node, bus: Bus) -> None:
        self.node = node
        self.bus = bus
        self.heard = Heard()

    async def start(self) -> Member:
        """Join."""
        await self.bus.start(self.heard)
        return self

    async def finds(self, hostname: str, *members: Member) -> None:
        """Wait until this node finds exactly these behind a hostname."""
        wanted = sorted(one.node.id for one in members)

        async def is_found() -> bool:
            return sorted(one.id for one in await self.bus.find(hostname)) == wanted

        await until_true(is_found)

    async def knows(self, *members: Member) -> None:
        """Wait until this node knows exactly these."""
        wanted = sorted(one.node.id for one in members)
        await until(lambda: sorted(one.id for one in self.bus.nodes) == wanted)

    async def hears(self, count: int) -> None:
        """Wait until so many events have come."""
        await until(lambda: len(self.heard.events) == count)

    async def loses(self, member: Member) -> None:
        """Wait until this node has heard that another one is gone, and of no other."""
        await until(lambda: self.heard.gone == [member.node.id])


class World(Protocol):
    """What each form of the bus brings for its tests."""

    def member(self, edge: str = "a", *, worker: int = 0) -> Member:
        """Return a node that has not joined yet."""

    async def kill(self, member: Member) -> None:
        """End a node as SIGKILL ends its process: it says nothing any more."""

    async def close(self) -> None:
        """End what is left."""


class LocalWorld:
    """On :mod:`asgi_tunnel_edge.bus.local`."""

    def __init__(self) -> None:
        self._hub = LocalHub()

    def member(self, edge: str = "a", *, worker: int = 0) -> Member:
        """See the interface."""
        node = new_node(edge, worker=worker)
        return Member(node, self._hub.bus(node))

    async def kill(self, member: Member) -> None:
        """See the interface; inside one process nothing dies alone."""
        assert isinstance(member.bus, LocalBus)
        self._hub.leave(member.bus)

    async def close(self) -> None:
        """See the interface."""


def new_node(edge: str = "a", *, worker: int = 0) -> Node:
    """Return a node with an id of its own."""
    return Node(id=secrets.token_hex(8), edge=edge, worker=worker, version="1")


async def until(is_so: Callable[[], bool]) -> None:
    """Wait until something is so."""

    async def ask() -> bool:
        return is_so()

    await until_true(ask)


async def until_true(is_so: Callable[[], Awaitable[bool]]) -> None:
    """Wait until something is so that has to be asked for."""
    async with asyncio.timeout(WAIT):
        while not await is_so():  # noqa: ASYNC110 - any form of the bus, and what it is asked
            await asyncio.sleep(0.005)


async def all_know_each_other(members: Sequence[Member]) -> None:
    """Wait until each member knows all others."""
    for one in members:
        await one.knows(*(other for other in members if other is not one))
