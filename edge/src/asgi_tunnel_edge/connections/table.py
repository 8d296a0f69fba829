"""Who is connected: every visitor's connection, counted in all and for each address group.

Fronts enter and leave their connections here; :mod:`.sweep` looks at all of them a few times a
second, and ``server`` ends them.
"""

from __future__ import annotations

from typing import Final, Protocol

from ..address import group_of
from ..replies import RETRY_AFTER, Reply
from .memory import Stalling

__all__ = ["ConnectionTable", "Tracked"]

FULL: Final = Reply(503, "this edge has no room for another connection right now", RETRY_AFTER)
CROWDED: Final = Reply(503, "too many connections come from this address", RETRY_AFTER)


class Tracked(Stalling, Protocol):
    """A visitor's connection, whichever front it belongs to."""

    address: str
    group: str | None  #: what it is counted under; None: not counted

    @property
    def is_proxy(self) -> bool:
        """Whether a trusted proxy sends many visitors' requests over it."""

    @property
    def is_busy(self) -> bool:
        """Whether something is in progress, or written and not yet taken by the socket."""

    def check(self, now: float) -> None:
        """Look at its deadlines."""

    def evict(self) -> None:
        """End it in the middle: no memory is left, and it is among the slowest."""

    def shut_down(self) -> None:
        """Close it once it is idle."""

    def end(self) -> None:
        """End it now; what is complete stays so, what is not is cut."""


class ConnectionTable:
    """All connections of one edge.

    Args:
        max_connections: In all.
        max_per_address: For each address group.

    Attributes:
        connections: All of them.
    """

    def __init__(self, *, max_connections: int, max_per_address: int) -> None:
        self.connections: set[Tracked] = set()
        self._max_connections = max_connections
        self._max_per_address = max_per_address
        self._groups: dict[str, int] = {}

    def enter(self, connection: Tracked) -> Reply | None:
        """Count a connection; return why it is not served, or None."""
        self.connections.add(connection)
        if connection.is_proxy:  # it brings many visitors, so it is not counted as one
            connection.group = None
            count = 0
        else:
            connection.group = group = group_of(connection.address)
            count = self._groups.get(group, 0)
            self._groups[group] = count + 1
        if len(self.connections) > self._max_connections:
            return FULL
        if count >= self._max_per_address:
            return CROWDED
        return None

    def leave(self, connection: Tracked) -> None:
        """A connection is gone; may be called twice."""
        if connection not in self.connections:
            return
        self.connections.discard(connection)
        group = connection.group
        if group is None:
            return
        count = self._groups.get(group, 1) - 1
        if count:
            self._groups[group] = count
        else:
            self._groups.pop(group, None)

    @property
    def is_busy(self) -> bool:
        """Whether a response is in progress, or was not taken whole."""
        return any(connection.is_busy for connection in self.connections)

    def shut_down(self) -> None:
        """The edge stops: end connections that carry nothing, and WebSockets with 1012."""
        for connection in list(self.connections):
            connection.shut_down()

    def end(self) -> None:
        """End all."""
        for connection in list(self.connections):
            connection.end()
