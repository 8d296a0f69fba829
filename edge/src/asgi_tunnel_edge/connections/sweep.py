"""The edge's one timer: a few times a second it looks at deadlines, memory and waiting visitors.

One timer for all connections and not one for each: a request would otherwise pay for setting and
cancelling several. ``server`` starts and stops it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection, Iterable, Mapping
from typing import Final

from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.session import Session

from ..address import networks_of
from ..context import EdgeContext
from ..counts import Histogram
from ..directory import LocalDirectory
from ..observers.access_log import AccessLog
from ..replies import RETRY_AFTER
from ..tokens import TokenRecord
from .memory import Evictable, MemoryBudget, choose_culprits, choose_stalled
from .table import ConnectionTable, Tracked

_log = logging.getLogger("asgi_tunnel_edge.connections")

INTERVAL: Final = 0.25
"""Seconds between two looks; deadlines are seen that much late, at most."""

LAG_BUCKETS: Final[tuple[float, ...]] = (
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1.0,
    2.5,
)
"""Seconds that a look was late: some milliseconds under load, more when something blocks."""


class Sweep:
    """Looks at everything that time ends.

    Args:
        context: Gets the overload switch.
        table: Whose deadlines are looked at.
        directory: Who waits there, and which sessions hold memory.
        access_log: Flushed at each look.
        kept_for_nodes: Says how many bytes are kept for other nodes.
        relayed: Returns the responses that they are of, by the id of their token.

    Attributes:
        lag: How late its looks were, in seconds: what else the event loop did meanwhile.
    """

    def __init__(
        self,
        context: EdgeContext,
        table: ConnectionTable,
        directory: LocalDirectory,
        access_log: AccessLog,
        *,
        kept_for_nodes: Callable[[], int] = int,
        relayed: Callable[[], Mapping[str, Collection[Evictable]]] = dict,
    ) -> None:
        self._kept_for_nodes = kept_for_nodes
        self._relayed = relayed
        self._context = context
        self._table = table
        self._directory = directory
        self._access_log = access_log
        self._budget = MemoryBudget(context.limits.max_buffered_bytes)
        self.lag = Histogram(LAG_BUCKETS)
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the timer."""
        self._timer = self._loop.call_later(INTERVAL, self._look)

    def stop(self) -> None:
        """Stop it."""
        if self._timer is not None:
            self._timer.cancel()

    @property
    def buffered(self) -> int:
        """Bytes that the edge kept for others at the last look."""
        return self._budget.used

    def _look(self) -> None:
        if self._timer is not None:
            self.lag.add(max(self._loop.time() - self._timer.when(), 0.0))
        try:
            self._look_at_all(self._context.now())
        except Exception:  # noqa: BLE001
            # The timer's outer edge: without looks no time is bounded any more, nor memory.
            _log.exception("a look at the connections failed; the next one follows")
        finally:
            self._timer = self._loop.call_later(INTERVAL, self._look)

    def _look_at_all(self, now: float) -> None:
        for connection in list(self._table.connections):
            try:
                connection.check(now)
            except Exception:  # noqa: BLE001 - one that is broken may not keep the others from it
                _log.exception("a connection is ended by a defect")
                connection.end()
        self.look_at_memory(now)
        self._directory.sample_throughput(now)
        self._directory.end_unacknowledged(now)
        self._directory.wake_all()
        self._access_log.flush()

    def look_at_memory(self, now: float) -> None:
        """End who keeps more than its share; refuse new work above the budget, but not for long."""
        connections = self._table.connections
        budget = self._budget
        used = self._kept_for_nodes() + sum(connection.buffered for connection in connections)
        for token, members in self._sessions_by_token():
            held = sum(session.buffered for session in members)
            used += held
            excess = held - self._context.tokens.of(token.quotas).max_memory
            if excess > 0:
                used -= self._end_largest({_name(token): members}, excess)
        self._context.is_overloaded = budget.look(used, now)
        if budget.excess:
            self._free(budget.excess, connections)

    def _free(self, excess: int, connections: Collection[Tracked]) -> None:
        """End visitors who take nothing, then whoever keeps the most, until enough is free."""
        stalled = choose_stalled(connections, excess)
        if stalled:
            _log.warning("%d visitors who do not read are ended: memory is short", len(stalled))
        for connection in stalled:
            excess -= connection.buffered
            connection.evict()
        if excess > 0:
            holders: dict[str, Collection[Session | Evictable]] = {
                _name(token): sessions for token, sessions in self._sessions_by_token()
            }
            for token_id, streams in self._relayed().items():
                holders[f"visitors of the token {token_id} at other processes"] = streams
            groups: dict[str, list[Tracked]] = {}
            for connection in connections:
                groups.setdefault(networks_of(connection.address)[-1], []).append(connection)
            for group, members in groups.items():
                holders[f"the visitors of {group}"] = members
            self._end_largest(holders, excess)

    def _sessions_by_token(self) -> Iterable[tuple[TokenRecord, list[Session]]]:
        found: dict[str, tuple[TokenRecord, list[Session]]] = {}
        for entry in self._directory.entries:
            if not entry.session.is_over:
                token = entry.token
                found.setdefault(token.id, (token, []))[1].append(entry.session)
        return found.values()

    def _end_largest(
        self, holders: Mapping[str, Collection[Session | Evictable]], excess: int
    ) -> int:
        """End who keeps the most; return the bytes that are freed."""
        ended: dict[str, list[int]] = {}
        for name, member in choose_culprits(holders, excess):
            ended.setdefault(name, []).append(member.buffered)
            if isinstance(member, Session):
                member.terminate(
                    GoawayCode.OVERLOAD, "the edge keeps too much for it", retry_after=RETRY_AFTER
                )
            else:
                member.evict()
        for name, sizes in ended.items():
            _log.warning(
                "%d connections of %s are ended: the edge keeps %d bytes for them",
                len(sizes),
                name,
                sum(sizes),
            )
        return sum(map(sum, ended.values()))


def _name(token: TokenRecord) -> str:
    return f"the token {token.name} ({token.id})"
