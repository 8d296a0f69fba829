"""Turns connections away before a byte of them is read: by ban, by rate, by the errors they make.

The listener asks before TLS, so that a handshake is not spent on who is turned away; how many
connections an address has at one time is counted in :mod:`.table`. Visitors of a trusted proxy
share its connections, so neither it nor they are judged here.
"""

from __future__ import annotations

import logging
import math
from typing import TYPE_CHECKING, Final

from ..address import networks_of
from ..replies import Reply
from ..shares.ledger import CONNECTIONS, ERRORS, Allowance, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..guards import Guards

__all__ = ["BANNED", "ConnectionLimiter"]

_log = logging.getLogger("asgi_tunnel_edge.connections")

BANNED: Final = Reply(403, "this address is banned", source="bans")

NEAR: Final = 10
"""Errors that an address may still make below which each of its connections counts as one."""

WARNING_INTERVAL: Final = 60.0
"""Seconds between two log lines about connections that are turned away."""


class ConnectionLimiter:
    """See the module.

    Args:
        guards: Know who is banned, and which networks no limit holds for (``guards.exempt``).
        now: Monotonic seconds.
        connections: How fast one address may open them.
        errors: How many errors one address may make.

    Attributes:
        denied: Connections turned away so far, bans apart.
    """

    def __init__(
        self,
        guards: Guards,
        now: Callable[[], float],
        *,
        connections: Allowance = CONNECTIONS,
        errors: Allowance = ERRORS,
    ) -> None:
        self.denied = 0
        self._guards = guards
        self._now = now
        self._connections = Ledger(connections)
        self._errors = Ledger(errors)
        self._warn_at = -math.inf
        self._not_logged = 0

    def admit(self, address: str) -> Reply | None:
        """Count a new connection; return why it is not served, or None.

        Args:
            address: Of the visitor; what a trusted proxy's connection has is not asked about.
        """
        if self._guards.refuses(address):
            return BANNED
        if self._guards.is_exempt(address):
            return None
        now, path = self._now(), networks_of(address)
        wait_for_errors = self._errors.wait(path, now)
        if wait_for_errors > 0:
            return self._deny(path, "made too many errors", wait_for_errors, now)
        wait = self._connections.wait(path, now)
        if wait > 0:
            return self._deny(path, "opened too many connections", wait, now)
        self._connections.add(path, now)
        if wait_for_errors > -NEAR * self._errors.interval:
            # Many may be on their way before the first one's error is counted.
            self._errors.add(path, now)
        return None

    def note_error(self, address: str) -> None:
        """Count a malformed request, a failed TLS handshake or a wrong token."""
        if not self._guards.is_exempt(address):
            self._errors.add(networks_of(address), self._now())

    def _deny(self, path: tuple[str, ...], why: str, wait: float, now: float) -> Reply:
        self.denied += 1
        self._not_logged += 1
        if now >= self._warn_at:
            _log.warning("%s %s; %d connections refused", path[0], why, self._not_logged)
            self._warn_at, self._not_logged = now + WARNING_INTERVAL, 0
        return Reply(429, f"this address {why}", max(1, math.ceil(wait)), source="connections")
