"""The edge's one timer: a few times a second it looks at deadlines, memory and waiting visitors.

One timer for all connections and not one for each: a request would otherwise pay for setting and
cancelling several. ``server`` starts and stops it.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Final

from asgi_tunnel.protocol.codes import GoawayCode

from ..context import EdgeContext
from ..directory import LocalDirectory
from ..observers.access_log import AccessLog
from ..replies import RETRY_AFTER
from .memory import MemoryBudget, choose_largest, choose_stalled
from .table import ConnectionTable

_log = logging.getLogger("asgi_tunnel_edge.connections")

INTERVAL: Final = 0.25
"""Seconds between two looks; deadlines are seen that much late, at most."""


class Sweep:
    """Looks at everything that time ends.

    Args:
        context: Gets the overload switch.
        table: Whose deadlines are looked at.
        directory: Who waits there, and which sessions hold memory.
        access_log: Flushed at each look.
    """

    def __init__(
        self,
        context: EdgeContext,
        table: ConnectionTable,
        directory: LocalDirectory,
        access_log: AccessLog,
    ) -> None:
        self._context = context
        self._table = table
        self._directory = directory
        self._access_log = access_log
        self._budget = MemoryBudget(context.limits.max_buffered_bytes)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the timer."""
        self._timer = self._loop.call_later(INTERVAL, self._look)

    def stop(self) -> None:
        """Stop it."""
        if self._timer is not None:
            self._timer.cancel()

    def _look(self) -> None:
        now = self._context.now()
        for connection in list(self._table.connections):
            connection.check(now)
        self._look_at_memory(now)
        self._directory.sample_throughput(now)
        self._directory.wake_all()
        self._access_log.flush()
        self._timer = self._loop.call_later(INTERVAL, self._look)

    def _look_at_memory(self, now: float) -> None:
        """Refuse new work above the budget; end who holds it far above, or for long."""
        connections = self._table.connections
        sessions = [entry.session for entry in self._directory.entries]
        budget = self._budget
        used = sum(connection.buffered for connection in connections)
        used += sum(session.buffered for session in sessions)
        self._context.is_overloaded = budget.look(used, now)
        if budget.excess:
            stalled = choose_stalled(connections, budget.excess)
            largest = choose_largest(sessions, budget.relief) if budget.is_past_ceiling else []
            _log.warning(
                "%d visitors who do not read and %d tunnels are ended: %d bytes are buffered",
                len(stalled),
                len(largest),
                used,
            )
            for connection in stalled:
                connection.evict()
            for session in largest:
                session.terminate(
                    GoawayCode.OVERLOAD, "the edge has no memory left", retry_after=RETRY_AFTER
                )
