"""Turns connections away before a byte of them is read: by ban, by rate, by the errors they make.

The listener asks before TLS, so that a handshake is not spent on who is turned away; how many
connections an address has at one time is counted in :mod:`.table`. Visitors of a trusted proxy
share its connections, so neither it nor they are judged here.
"""

from __future__ import annotations

import logging
import math
from functools import partial
from typing import TYPE_CHECKING, Final

from ..address import networks_of
from ..guards.bans import BANNED
from ..replies import Reply
from ..shares.ledger import CONNECTIONS, ERRORS, Allowance, Ledger

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..guards import Guards
    from ..shares.spent import Spending

__all__ = ["ConnectionLimiter"]

_log = logging.getLogger("asgi_tunnel_edge.connections")

NEAR: Final = 10
"""Errors that an address may still make below which each of its connections counts as one."""


class ConnectionLimiter:
    """See the module.

    Args:
        guards: Know who is banned, and which networks no limit holds for (``guards.exempt``).
        now: Monotonic seconds.
        is_trusted: Whether an address is a proxy's that many visitors share; it is not looked at.
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
        is_trusted: Callable[[str], bool] | None = None,
        connections: Allowance = CONNECTIONS,
        errors: Allowance = ERRORS,
    ) -> None:
        self.denied = 0
        self._guards = guards
        self._now = now
        self._connections = Ledger(connections)
        self._errors = Ledger(errors)
        self._is_trusted = is_trusted

    def join(self, spending: Spending) -> None:
        """Count together with the other serving processes from now on."""
        now = self._now
        for name, ledger in (("connections", self._connections), ("errors", self._errors)):
            ledger.spent = spending.share(name, partial(_charge, ledger, now))

    def admit(self, address: str) -> Reply | None:
        """Count a new connection; return why it is not served, or None.

        Args:
            address: Where it comes from.
        """
        if self._is_trusted is not None and self._is_trusted(address):
            return None
        if self._guards.refuses(address):
            return BANNED
        if self._guards.is_exempt(address):
            return None
        now, path = self._now(), networks_of(address)
        wait_for_errors = self._errors.wait(path, now)
        if wait_for_errors > 0:
            return self._deny(path, "made too many errors", wait_for_errors)
        wait = self._connections.wait(path, now)
        if wait > 0:
            return self._deny(path, "opened too many connections", wait)
        self._connections.add(path, now)
        if wait_for_errors > -NEAR * self._errors.interval:
            # Many may be on their way before the first one's error is counted.
            self._errors.add(path, now)
        return None

    def note_error(self, address: str) -> None:
        """Count a malformed request, a failed TLS handshake or a wrong token."""
        is_proxy = self._is_trusted is not None and self._is_trusted(address)
        if not is_proxy and not self._guards.is_exempt(address):
            self._errors.add(networks_of(address), self._now())

    def _deny(self, path: tuple[str, ...], why: str, wait: float) -> Reply:
        self.denied += 1
        # The log sums up equal lines.
        _log.warning("connections of %s are refused: it %s", path[0], why)
        retry_after = max(1, math.ceil(wait))
        return Reply(429, f"this address {why}", retry_after, source="connections")


def _charge(ledger: Ledger, now: Callable[[], float], key: str, seconds: float) -> None:
    ledger.charge(key, seconds, now())
