"""Several nodes on one bus, whatever its form; what each has heard."""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import subprocess
import sys
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Final, Protocol

from asgi_tunnel_edge.bus import Bus, Event, LocalBus, LocalHub, Node
from asgi_tunnel_edge.bus.nats import NatsBus
from asgi_tunnel_edge.bus.parent import ParentBus
from asgi_tunnel_edge.bus.postgresql import PostgresqlBus
from asgi_tunnel_edge.bus.postgresql_session import cut
from asgi_tunnel_edge.channel import Channel, Message
from asgi_tunnel_edge.supervision import ParentLink

WAIT: Final = 40.0  # seconds until a test gives up, on a loaded machine
PROGRAM: Final = Path(__file__).with_name("hub_program.py")
FIRST_NUMBER: Final = 1 << 30  # above every process id: no signal reaches anybody


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


class ParentWorld:
    """On :mod:`asgi_tunnel_edge.bus.parent`: nodes of this process, and a parent's as another."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        self.process = subprocess.Popen([sys.executable, str(PROGRAM)], stdin=theirs.fileno())
        theirs.close()
        self._channel = Channel(ours)
        self._links: dict[str, tuple[int, Channel]] = {}  # by node

    def member(self, edge: str = "a", *, worker: int = 0) -> Member:
        """See the interface."""
        node = new_node(edge, worker=worker)
        ours, theirs = socket.socketpair()
        number = FIRST_NUMBER + len(self._links)
        self._channel.send({"type": "worker", "number": number}, [theirs.fileno()])
        theirs.close()
        channel = Channel(ours)
        self._links[node.id] = (number, channel)
        link = ParentLink(channel, {"sockets": {}})
        link.serve(_answer)
        return Member(node, ParentBus(link, node))

    async def kill(self, member: Member) -> None:
        """See the interface."""
        number, _ = self._links[member.node.id]
        self._hang_up(member.node.id)
        self._channel.send({"type": "ended", "number": number})

    def renew(self) -> None:
        """Let the parent become another version."""
        self._channel.send({"type": "renewed", "number": 0})

    def freeze(self, member: Member) -> None:
        """Let a node read and say nothing, until :meth:`thaw`."""
        asyncio.get_running_loop().remove_reader(self._links[member.node.id][1].fileno())

    def thaw(self, member: Member) -> None:
        """Let it go on."""
        assert isinstance(member.bus, ParentBus)
        link = member.bus._link
        assert isinstance(link, ParentLink)
        link.serve(_answer)

    async def close(self) -> None:
        """See the interface; a worker ends with its parent, and this is the test's own process."""
        for node_id in list(self._links):
            self._hang_up(node_id)
        self._channel.close()
        self.process.wait(WAIT)

    def _hang_up(self, node_id: str) -> None:
        channel = self._links[node_id][1]
        if channel.fileno() >= 0:
            asyncio.get_running_loop().remove_reader(channel.fileno())
            asyncio.get_running_loop().remove_writer(channel.fileno())
            channel.close()


class ServiceWorld:
    """On a service that each node reaches by itself: the nodes are processes of their own.

    Args:
        open_bus: Returns the bus of a node.
    """

    def __init__(self, open_bus: Callable[[Node], Bus]) -> None:
        self._open = open_bus
        self._buses: list[Bus] = []

    def member(self, edge: str = "a", *, worker: int = 0) -> Member:
        """See the interface."""
        node = new_node(edge, worker=worker)
        self._buses.append(self._open(node))
        return Member(node, self._buses[-1])

    async def kill(self, member: Member) -> None:
        """See the interface."""
        await kill(member.bus)

    async def close(self) -> None:
        """See the interface."""
        for bus in self._buses:
            await bus.stop()


async def kill(bus: Bus) -> None:
    """End what a bus does without a word, as the end of its process would."""
    if isinstance(bus, PostgresqlBus):
        assert bus._task is not None
        bus._table.listener = None
        bus._is_stopping = True  # as an end of the connection that is meant
        if bus._connection is None:
            bus._task.cancel()
        else:
            cut(bus._connection)
        await asyncio.wait([bus._task])
        await bus._neighbour.stop()
    if isinstance(bus, NatsBus):
        assert bus._task is not None
        assert bus._client is not None
        bus._table.listener = None
        bus._is_stopping = True
        bus._task.cancel()  # it closes the connection, and says nothing
        await asyncio.wait([bus._task])


async def _answer(request: Message) -> Message:
    return {"ok": True}


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


class Chaos:
    """Holds and releases by chance, and knows what should be found after it.

    Args:
        members: That have joined.
        seed: Of the chance, so that a failure can be repeated.
    """

    NAMES: Final = [f"app-{number}.example.org" for number in range(20)]

    def __init__(self, members: Sequence[Member], seed: int) -> None:
        self._members = members
        self._random = random.Random(seed)
        self._held: set[tuple[int, str]] = set()

    def change(self, count: int) -> None:
        """Make so many changes."""
        for _ in range(count):
            number, name = (
                self._random.randrange(len(self._members)),
                self._random.choice(self.NAMES),
            )
            if self._random.random() < 0.6:
                self._held.add((number, name))
                self._members[number].bus.hold(name)
            else:
                self._held.discard((number, name))
                self._members[number].bus.release(name)

    async def settle(self) -> None:
        """Wait until each finds exactly what is held by the others."""
        for number, member in enumerate(self._members):
            for name in self.NAMES:
                holders = [
                    other
                    for index, other in enumerate(self._members)
                    if index != number and (index, name) in self._held
                ]
                await member.finds(name, *holders)


async def all_know_each_other(members: Sequence[Member]) -> None:
    """Wait until each member knows all others."""
    for one in members:
        await one.knows(*(other for other in members if other is not one))
