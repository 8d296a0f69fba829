"""The bus of the workers of one machine: their parent passes on what each says.

Its part is in :mod:`..parent.hub`. It knows of a worker's death before anybody else, and a channel
to each is there anyway (:mod:`..supervision`). Each worker keeps the whole table.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Any, Final, Protocol

import msgspec

from .bus import BusListener, Event, Node, encode_event
from .table import OwnNames, Table

__all__ = ["Link", "ParentBus"]

MAX_WAITING: Final = 256 * 1024
"""Bytes that may wait for the parent before events are lost: some seconds of them; it reads at once
unless it is frozen. What is held waits in any case."""

Message = dict[str, Any]


class Link(Protocol):
    """What the bus needs of :class:`..supervision.ParentLink`."""

    @property
    def workers(self) -> int:
        """How many there are; 0: as the settings have it."""

    @property
    def waiting(self) -> int:
        """Bytes that the parent has not taken yet."""

    def on(self, kind: str, callback: Callable[[Message], None]) -> None:
        """Let ``callback`` have messages of a kind."""

    def send(self, message: Message) -> None:
        """Say something to the parent."""


class ParentBus:
    """See :class:`.bus.Bus`.

    Args:
        link: To the parent.
        node: This one.
    """

    def __init__(self, link: Link, node: Node) -> None:
        self._link = link
        self._node = node
        self._table = Table()
        self._own = OwnNames()
        self._is_joined = False
        self._told: dict[str, tuple[Node, set[str]]] | None = None  # a whole table that is coming

    @property
    def nodes(self) -> Sequence[Node]:
        """See the interface."""
        return self._table.nodes

    @property
    def is_connected(self) -> bool:
        """See the interface: this process ends with its parent."""
        return self._is_joined

    async def start(self, listener: BusListener) -> None:
        """See the interface."""
        self._table.listener = listener
        self._is_joined = True
        self._link.on("bus", self._on_message)
        self._join()

    async def stop(self) -> None:
        """See the interface."""
        if self._is_joined:
            self._flush()
            self._is_joined = False
            self._table.listener = None
            self._table.keep(())
            self._tell({"leave": True})

    def hold(self, hostname: str) -> None:
        """See the interface."""
        if self._own.hold(hostname) and self._is_joined:
            asyncio.get_running_loop().call_soon(self._flush)

    def release(self, hostname: str) -> None:
        """See the interface."""
        if self._own.release(hostname) and self._is_joined:
            asyncio.get_running_loop().call_soon(self._flush)

    async def find(self, hostname: str) -> Sequence[Node]:
        """See the interface; it waits for nothing."""
        return self._table.find(hostname)

    def broadcast(self, event: Event) -> None:
        """See the interface."""
        data = encode_event(event)
        if self._is_joined and self._link.waiting + len(data) <= MAX_WAITING:
            self._tell({"event": event})

    def _join(self) -> None:
        self._tell({"join": msgspec.to_builtins(self._node)})
        self._own.say_all()
        self._flush()

    def _flush(self) -> None:
        while self._is_joined and self._own.has_changes:
            hold, release = self._own.take()
            self._tell({"hold": hold, "release": release})

    def _tell(self, message: Message) -> None:
        self._link.send({"type": "bus", **message})

    def _on_message(self, message: Message) -> None:
        if not self._is_joined:
            return
        if "from" in message:
            self._on_word(str(message["from"]), message)
        elif "joined" in message:
            self._on_node(msgspec.convert(message["joined"], Node))
        elif "gone" in message:
            self._table.remove(str(message["gone"]))
        elif "ping" in message:
            self._tell({"pong": True})
        elif "again" in message:  # another version of the parent, which knows nothing yet
            self._join()
        elif "all" in message:
            self._on_all(begins=bool(message["all"]))

    def _on_node(self, node: Node) -> None:
        if self._told is not None:
            self._told.setdefault(node.id, (node, set()))
        else:
            self._table.put(node)

    def _on_word(self, node_id: str, message: Message) -> None:
        hold, release = message.get("hold", ()), message.get("release", ())
        if self._told is not None and node_id in self._told:
            names = self._told[node_id][1]
            names.update(hold)
            names.difference_update(release)
        else:
            self._table.change(node_id, hold, release)
        listener = self._table.listener
        if "event" in message and listener is not None:
            listener.happened(message["event"], node_id)

    def _on_all(self, *, begins: bool) -> None:
        """Messages were lost, and the parent tells all that it knows: from here, to here."""
        if begins:
            self._told = {}
            return
        told, self._told = self._told or {}, None
        self._table.keep(told)
        for node, names in told.values():
            self._table.put(node)
            self._table.replace(node.id, names)
