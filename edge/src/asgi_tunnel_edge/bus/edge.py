"""The bus of an edge with several workers in a cluster: its parent's and the service's together.

Workers of one machine find each other by their parent, so that they do while the service is away:
without it, a worker that starts then would not know the next one, and visitors who come to the one
would not find an app that is connected to the other. Other edges are found by the service.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

from .bus import Bus, BusListener, Event, Node

__all__ = ["EdgeBus"]


class EdgeBus:
    """See :class:`.bus.Bus`.

    Args:
        workers: Of the workers of this edge.
        service: Of all nodes.
    """

    def __init__(self, workers: Bus, service: Bus) -> None:
        self._workers = workers
        self._service = service

    @property
    def nodes(self) -> Sequence[Node]:
        """See the interface."""
        return _united(self._workers.nodes, self._service.nodes)

    @property
    def is_connected(self) -> bool:
        """See the interface: whether other edges hear of it."""
        return self._service.is_connected

    async def start(self, listener: BusListener) -> None:
        """See the interface."""
        await self._workers.start(listener)
        try:
            await self._service.start(_ServiceListener(listener, self._workers))
        except asyncio.CancelledError:
            await self._workers.stop()
            raise

    async def stop(self) -> None:
        """See the interface."""
        await self._workers.stop()
        await self._service.stop()

    def hold(self, hostname: str) -> None:
        """See the interface."""
        self._workers.hold(hostname)
        self._service.hold(hostname)

    def release(self, hostname: str) -> None:
        """See the interface."""
        self._workers.release(hostname)
        self._service.release(hostname)

    async def find(self, hostname: str) -> Sequence[Node]:
        """See the interface."""
        near = await self._workers.find(hostname)
        return _united(near, await self._service.find(hostname))

    def broadcast(self, event: Event) -> None:
        """See the interface: on one of the two, so that nobody gets it twice."""
        (self._service if self._service.is_connected else self._workers).broadcast(event)


class _ServiceListener:
    """Passes on what the service says, but the end of a worker that the parent still has."""

    def __init__(self, listener: BusListener, workers: Bus) -> None:
        self._workers = workers
        self._listener = listener
        self.nodes_changed = listener.nodes_changed
        self.holders_changed = listener.holders_changed
        self.happened = listener.happened

    def node_gone(self, node_id: str) -> None:
        """See the interface: a worker that has lost the service alone is not gone."""
        if all(node.id != node_id for node in self._workers.nodes):
            self._listener.node_gone(node_id)


def _united(near: Sequence[Node], far: Sequence[Node]) -> Sequence[Node]:
    """Return both without repetition, those of this machine first."""
    if not near:
        return far
    known = {node.id for node in near}
    return [*near, *(node for node in far if node.id not in known)]
