"""A bus inside one process: a dict. For tests, and for several edges in one process.

It behaves as the others do: what a node hears, it hears in a later turn of the event loop, and an
event is a copy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence

from .bus import BusListener, Event, Node, decode_event, encode_event

__all__ = ["LocalBus", "LocalHub"]


class LocalHub:
    """What the nodes of one process share."""

    def __init__(self) -> None:
        self._members: dict[str, LocalBus] = {}  # by the node's id

    def bus(self, node: Node) -> LocalBus:
        """Return a node's bus; it joins when it is started."""
        return LocalBus(self, node)

    def others(self, node_id: str) -> list[LocalBus]:
        """The members but one, in the order in which they joined."""
        return [one for name, one in self._members.items() if name != node_id]

    def join(self, bus: LocalBus) -> None:
        """Add a member, and tell the others."""
        self._members[bus.node.id] = bus
        for other in self.others(bus.node.id):
            other.hear(lambda listener: listener.nodes_changed())
        for hostname in bus.held:
            self.changed(bus, hostname)

    def leave(self, bus: LocalBus) -> None:
        """Take a member away, and tell the others; may be called twice."""
        node_id = bus.node.id
        if self._members.get(node_id) is not bus:
            return
        del self._members[node_id]
        for other in self._members.values():
            other.hear(lambda listener: listener.node_gone(node_id))
            other.hear(lambda listener: listener.nodes_changed())

    def changed(self, bus: LocalBus, hostname: str) -> None:
        """Tell the others that a member holds a hostname from now on, or no longer."""
        if bus.node.id in self._members:
            for other in self.others(bus.node.id):
                other.hear(lambda listener: listener.holders_changed(hostname))


class LocalBus:
    """One node's; see :class:`.bus.Bus` for its calls.

    Attributes:
        node: Whose it is.
        held: What it holds, in the order in which it came.
    """

    def __init__(self, hub: LocalHub, node: Node) -> None:
        self.node = node
        self.held: dict[str, None] = {}
        self._hub = hub
        self._listener: BusListener | None = None

    @property
    def nodes(self) -> Sequence[Node]:
        """See the interface."""
        return (
            [] if self._listener is None else [one.node for one in self._hub.others(self.node.id)]
        )

    @property
    def is_connected(self) -> bool:
        """See the interface."""
        return self._listener is not None

    async def start(self, listener: BusListener) -> None:
        """See the interface."""
        self._listener = listener
        self._hub.join(self)

    async def stop(self) -> None:
        """See the interface."""
        self._listener = None
        self._hub.leave(self)

    def hold(self, hostname: str) -> None:
        """See the interface."""
        if hostname not in self.held:
            self.held[hostname] = None
            self._hub.changed(self, hostname)

    def release(self, hostname: str) -> None:
        """See the interface."""
        if hostname in self.held:
            del self.held[hostname]
            self._hub.changed(self, hostname)

    async def find(self, hostname: str) -> Sequence[Node]:
        """See the interface; cancelling it loses nothing."""
        if self._listener is None:
            return []
        return [one.node for one in self._hub.others(self.node.id) if hostname in one.held]

    def broadcast(self, event: Event) -> None:
        """See the interface."""
        data = encode_event(event)
        if self._listener is not None:
            for other in self._hub.others(self.node.id):
                self._send(other, data)

    def hear(self, say: Callable[[BusListener], None]) -> None:
        """Call this node's listener in the next turn, if it still listens then."""

        def call() -> None:
            if self._listener is not None:
                say(self._listener)

        asyncio.get_running_loop().call_soon(call)

    def _send(self, other: LocalBus, data: bytes) -> None:
        node_id = self.node.id
        other.hear(lambda listener: listener.happened(decode_event(data), node_id))
