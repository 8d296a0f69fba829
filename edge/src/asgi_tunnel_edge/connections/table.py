"""Who is connected: every visitor's connection, counted in all and for each address group.

Fronts enter and leave their connections here; :mod:`.sweep` looks at all of them a few times a
second, and ``server`` ends them. A full table closes an idle connection of the group that has the
most, and refuses newcomers only where none is idle.
"""

from __future__ import annotations

from typing import Final, Protocol

from ..address import networks_of
from ..replies import RETRY_AFTER, TOO_MANY_CONNECTIONS, Reply
from ..shares.pool import FairPool, Refused
from .memory import Stalling

__all__ = ["CROWDED", "FULL", "WIDER", "ConnectionTable", "Tracked"]

FULL: Final = Reply(
    503,
    "this edge has no room for another connection right now",
    RETRY_AFTER,
    reason="overloaded",
)
CROWDED: Final = TOO_MANY_CONNECTIONS

WIDER: Final = (1, 2, 4)
"""How many times the connections of one address an IPv6 /56 and a /48 may have."""


class Tracked(Stalling, Protocol):
    """A visitor's connection, whichever front it belongs to."""

    address: str

    @property
    def received(self) -> int:
        """Bytes that came from it so far, of HTTP: inside TLS, where the edge speaks it."""

    @property
    def written(self) -> int:
        """Bytes that were written for it so far, likewise."""

    @property
    def person(self) -> object:
        """Whom a door has let in for what is in progress; None: nobody, or nothing is."""

    @property
    def is_proxy(self) -> bool:
        """Whether a trusted proxy sends many visitors' requests over it."""

    @property
    def is_busy(self) -> bool:
        """Whether something is in progress, or written and not yet taken by the socket."""

    @property
    def is_idle(self) -> bool:
        """Whether nothing is lost by closing it: no request is in progress, and no WebSocket."""

    def check(self, now: float) -> None:
        """Look at its deadlines."""

    def give_way(self) -> None:
        """Close it for the sake of another one; it is idle."""

    def evict(self) -> None:
        """End it in the middle: no memory is left, and it is among the slowest."""

    def shut_down(self) -> None:
        """Close it once it is idle."""

    def retire(self) -> None:
        """Close it when it stays idle: another process serves new ones."""

    def end(self) -> None:
        """End it now; what is complete stays so, what is not is cut."""


class ConnectionTable:
    """All connections of one edge.

    Args:
        max_connections: In all.
        max_per_address: For one address, and for one IPv6 /64.

    Attributes:
        connections: All of them, those included that only hear why they are not served.
        opened: How many there were so far.
        crowded: Of these, how many were refused because their group has its share.
        full: The same, because the table is full.
        received: Bytes that came from those that are gone.
        written: Bytes that were written for those that are gone.
    """

    def __init__(self, *, max_connections: int, max_per_address: int) -> None:
        self.connections: set[Tracked] = set()
        self.opened = 0
        self.crowded = 0
        self.full = 0
        self.received = 0
        self.written = 0
        self._max_connections = max_connections
        self._pool: FairPool[Tracked] = FairPool(
            max_connections,
            [width * max_per_address for width in WIDER],
            can_go=_is_idle,
        )

    def enter(self, connection: Tracked) -> Reply | None:
        """Count a connection; return why it is not served, or None."""
        self.connections.add(connection)
        self.opened += 1
        if connection.is_proxy:  # it brings many visitors, so it is not counted as one
            if len(self.connections) <= self._max_connections:
                return None
            self.full += 1
            return FULL
        entry = self._pool.enter(connection, networks_of(connection.address))
        if entry.victim is not None:
            entry.victim.give_way()
        if entry.refused is None:
            return None
        if entry.refused is Refused.SHARE:
            self.crowded += 1
            return CROWDED
        self.full += 1
        return FULL

    def leave(self, connection: Tracked) -> None:
        """A connection is gone; may be called twice."""
        if connection in self.connections:
            self.connections.remove(connection)
            self.received += connection.received
            self.written += connection.written
        self._pool.leave(connection)

    @property
    def is_busy(self) -> bool:
        """Whether a response is in progress, or was not taken whole."""
        return any(connection.is_busy for connection in self.connections)

    def shut_down(self) -> None:
        """The edge stops: end connections that carry nothing, and WebSockets with 1012."""
        for connection in list(self.connections):
            connection.shut_down()

    def retire(self) -> None:
        """Another process serves: end connections that stay idle."""
        for connection in list(self.connections):
            connection.retire()

    def end(self) -> None:
        """End all."""
        for connection in list(self.connections):
            connection.end()


def _is_idle(connection: Tracked) -> bool:
    return connection.is_idle
