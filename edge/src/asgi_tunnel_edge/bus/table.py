"""All that a node knows of the others, and what of its own is not said yet.

For the forms of the bus in which each node keeps the whole table: looking a hostname up is a look
into a dict, and what it keeps stays while the service is away.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from .bus import BusListener, Node

__all__ = ["BATCH", "OwnNames", "Table"]

BATCH: Final = 1000
"""Hostnames in one message between processes: 253 KB at the most, of the 1 MiB that it may have."""


class Table:
    """The other nodes, and who holds what; tells the listener what has changed."""

    def __init__(self) -> None:
        self.listener: BusListener | None = None
        self._nodes: dict[str, Node] = {}
        self._names: dict[str, set[str]] = {}  # by node
        self._holders: dict[str, dict[str, None]] = {}  # nodes by hostname, in their order

    @property
    def nodes(self) -> list[Node]:
        """All of them."""
        return list(self._nodes.values())

    def __contains__(self, node_id: str) -> bool:
        return node_id in self._nodes

    def find(self, hostname: str) -> list[Node]:
        """Who holds it."""
        return [self._nodes[one] for one in self._holders.get(hostname, ())]

    def put(self, node: Node) -> None:
        """A node is there; what it holds stays as it is known."""
        if self._nodes.get(node.id) == node:
            return
        self._nodes[node.id] = node
        self._names.setdefault(node.id, set())
        if self.listener is not None:
            self.listener.nodes_changed()

    def change(self, node_id: str, hold: Iterable[str], release: Iterable[str]) -> None:
        """A node holds some from now on, and others no longer; an unknown node is left out."""
        names = self._names.get(node_id)
        if names is None:
            return
        for hostname in hold:
            if hostname not in names:
                names.add(hostname)
                self._holders.setdefault(hostname, {})[node_id] = None
                self._say_changed(hostname)
        for hostname in release:
            if hostname in names:
                names.remove(hostname)
                self._drop(node_id, hostname)
                self._say_changed(hostname)

    def replace(self, node_id: str, names: set[str]) -> None:
        """A node holds exactly these."""
        known = self._names.get(node_id, set())
        self.change(node_id, names - known, known - names)

    def remove(self, node_id: str) -> None:
        """A node is gone."""
        if self._nodes.pop(node_id, None) is None:
            return
        for hostname in self._names.pop(node_id):
            self._drop(node_id, hostname)
        if self.listener is not None:
            self.listener.node_gone(node_id)
            self.listener.nodes_changed()

    def keep(self, node_ids: Iterable[str]) -> None:
        """All others are gone."""
        for node_id in set(self._nodes) - set(node_ids):
            self.remove(node_id)

    def _drop(self, node_id: str, hostname: str) -> None:
        holders = self._holders[hostname]
        del holders[node_id]
        if not holders:
            del self._holders[hostname]

    def _say_changed(self, hostname: str) -> None:
        if self.listener is not None:
            self.listener.holders_changed(hostname)


class OwnNames:
    """What this node holds, and what of that the others have not been told yet.

    A hostname that was held and released meanwhile is one change: what waits while the service is
    away has no more entries than there are hostnames.
    """

    def __init__(self) -> None:
        self.held: dict[str, None] = {}
        self._waiting: dict[str, None] = {}

    @property
    def has_changes(self) -> bool:
        """Whether something has to be said."""
        return bool(self._waiting)

    def hold(self, hostname: str) -> bool:
        """Note it; returns whether something is to be said that was not before."""
        if hostname in self.held:
            return False
        self.held[hostname] = None
        return self._wait(hostname)

    def release(self, hostname: str) -> bool:
        """The same for the end."""
        if hostname not in self.held:
            return False
        del self.held[hostname]
        return self._wait(hostname)

    def say_all(self) -> None:
        """The others have forgotten: all that is held has to be said again."""
        self._waiting.update(self.held)

    def take(self, limit: int = BATCH) -> tuple[list[str], list[str]]:
        """Return the oldest changes, which count as said: what is held, and what no longer."""
        hold: list[str] = []
        release: list[str] = []
        while self._waiting and len(hold) + len(release) < limit:
            hostname = next(iter(self._waiting))
            del self._waiting[hostname]
            (hold if hostname in self.held else release).append(hostname)
        return hold, release

    def take_back(self, hostnames: Iterable[str]) -> None:
        """They could not be said after all."""
        for hostname in hostnames:
            self._waiting[hostname] = None

    def _wait(self, hostname: str) -> bool:
        is_first = not self._waiting
        self._waiting[hostname] = None
        return is_first
