"""What the connections of one edge share: limits, registry, log, clock, and who is connected."""

from __future__ import annotations

import asyncio
import itertools
import logging
import secrets
from typing import TYPE_CHECKING, Final

from asgi_tunnel.protocol.codes import GoawayCode

from .address import group_of
from .admission.tunnels import OVERLOAD_RETRY, TunnelAcceptor
from .connections.memory import MemoryBudget, choose_largest, choose_stalled
from .directory import LocalDirectory
from .guards import Guards
from .http1.connection import Visitor
from .identity.proxies import Proxies
from .observers.access_log import AccessLog
from .settings.config import Limits

if TYPE_CHECKING:
    from collections.abc import Callable

_log = logging.getLogger("asgi_tunnel_edge.ingress")

CHECK_INTERVAL: Final = 0.25
"""Seconds between two looks at the deadlines: one timer for all connections, not one for each."""


class Ingress:
    """Shared by all visitors.

    Args:
        registry: Finds who serves a hostname.
        door: Lets tunnels in.
        limits: From ``edge.toml``.
        access_log: Gets a line for each exchange.
        guards: Turn visitors away.
        proxies: Who is believed about a visitor; None: nobody.
    """

    def __init__(
        self,
        *,
        registry: LocalDirectory,
        door: TunnelAcceptor,
        limits: Limits,
        access_log: AccessLog,
        guards: Guards,
        proxies: Proxies | None = None,
    ) -> None:
        self.registry = registry
        self.door = door
        self.limits = limits
        self.access_log = access_log
        self.guards = guards
        self.proxies = proxies
        self.is_stopping = False
        self.is_overloaded = False  # no memory is left for new work
        self._budget = MemoryBudget(limits.max_buffered_bytes)
        self.visitors: set[Visitor] = set()
        loop = asyncio.get_running_loop()
        self.now: Callable[[], float] = loop.time
        self._loop = loop
        self._addresses: dict[str, int] = {}
        self._prefix = secrets.token_hex(4).encode()
        self._numbers = itertools.count(1)
        self._timer: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Start the clock."""
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._check)

    def stop(self) -> None:
        """Stop the clock and end whoever is left."""
        if self._timer is not None:
            self._timer.cancel()
        for visitor in list(self.visitors):
            visitor.end()

    @property
    def is_busy(self) -> bool:
        """Whether a visitor is still being answered, or has not taken all of an answer."""
        return any(visitor.is_busy for visitor in self.visitors)

    def close_idle(self) -> None:
        """The edge stops: end connections that carry nothing, and WebSockets with 1012."""
        self.is_stopping = True
        for visitor in list(self.visitors):
            visitor.shut_down()

    def end_banned(self) -> None:
        """Bans have changed: end the connections of who is banned now."""
        for visitor in list(self.visitors):
            if not visitor.is_proxy and self.guards.is_banned(visitor.address):
                visitor.end()

    def next_request_id(self) -> bytes:
        """Return an id that no other request of this edge has."""
        return b"%s%08x" % (self._prefix, next(self._numbers))

    def admit(self, visitor: Visitor) -> str:
        """Count a connection; return why it is not served, or an empty string."""
        self.visitors.add(visitor)
        if visitor.is_proxy:  # it brings many visitors, so it is not counted as one
            visitor.group = None
            count = 0
        else:
            visitor.group = group = group_of(visitor.address)
            count = self._addresses.get(group, 0)
            self._addresses[group] = count + 1
        if len(self.visitors) > self.limits.max_connections:
            return "this edge has no room for another connection right now"
        if count >= self.limits.max_connections_per_address:
            return "too many connections come from this address"
        return ""

    def left(self, visitor: Visitor) -> None:
        """A connection is gone."""
        if visitor in self.visitors:
            self.visitors.discard(visitor)
            group = visitor.group
            if group is None:
                return
            count = self._addresses.get(group, 1) - 1
            if count:
                self._addresses[group] = count
            else:
                self._addresses.pop(group, None)

    def _check(self) -> None:
        now = self._loop.time()
        for visitor in list(self.visitors):
            visitor.check(now)
        self._look_at_memory(now)
        self.registry.sample_throughput(now)
        self.registry.wake_all()
        self.access_log.flush()
        self._timer = self._loop.call_later(CHECK_INTERVAL, self._check)

    def _look_at_memory(self, now: float) -> None:
        """Refuse new work above the budget; end who holds it far above, or for long."""
        sessions = [entry.session for entry in self.registry.entries]
        budget = self._budget
        used = sum(visitor.buffered for visitor in self.visitors)
        used += sum(session.buffered for session in sessions)
        self.is_overloaded = self.door.is_overloaded = budget.look(used, now)
        if budget.excess:
            stalled = choose_stalled(self.visitors, budget.excess)
            largest = choose_largest(sessions, budget.relief) if budget.is_past_ceiling else []
            _log.warning(
                "%d visitors who do not read and %d tunnels are ended: %d bytes are buffered",
                len(stalled),
                len(largest),
                used,
            )
            for visitor in stalled:
                visitor.sacrifice()
            for session in largest:
                session.terminate(
                    GoawayCode.OVERLOAD, "the edge has no memory left", retry_after=OVERLOAD_RETRY
                )
