"""Whether the next request should come to this edge: asked by load balancers, before they send it.

Not whether the process is well: one that drains, or waits for its first certificate, is. Made by
``server``; shown by :mod:`.endpoints.health` and :mod:`.metrics`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from .context import EdgeContext
    from .shown import ShownCertificates
    from .storage import SnapshotWatcher

__all__ = ["REASONS", "Readiness"]

PATIENCE: Final = 10.0
"""Seconds that the database may be unreadable: a lock or a copy that takes its place is over by
then, and an edge serves without it."""

DRAINING: Final = "draining"
OVERLOADED: Final = "overloaded"
DATABASE: Final = "database"
CERTIFICATE: Final = "certificate"

REASONS: Final = (DRAINING, OVERLOADED, DATABASE, CERTIFICATE)
"""Why an edge is not ready: it stops; it has no memory left for new requests; its database cannot
be read, so that it does not hear of new tokens and of revoked ones; no certificate is there for its
own domain, which apps dial."""


class Readiness:
    """See the module.

    Args:
        context: Of the edge.
        watcher: Reads the database.
        certificates: What is shown; None: TLS is off.
        domain: The edge's own.
        shares_store: Other edges have the same database: all miss it at the same moment, and a
            balancer that leaves out each of them would have none.
        now: Seconds since 1970.
    """

    def __init__(
        self,
        context: EdgeContext,
        watcher: SnapshotWatcher,
        certificates: ShownCertificates | None,
        *,
        domain: str,
        shares_store: bool = False,
        now: Callable[[], float] = time.time,
    ) -> None:
        self._context = context
        self._watcher = watcher
        self._certificates = certificates
        self._domain = domain
        self._shares_store = shares_store
        self._now = now

    def reasons(self) -> list[str]:
        """Return those of :data:`REASONS` that hold now, in their order; empty: it is ready."""
        context, certificates = self._context, self._certificates
        found = []
        # One that leaves to another process of its own is ready by that one.
        if context.is_stopping and not context.is_replaced:
            found.append(DRAINING)
        if context.is_overloaded:
            found.append(OVERLOADED)
        if self._is_without_database and not self._shares_store:
            found.append(DATABASE)
        if certificates is not None and certificates.find(self._domain) is None:
            found.append(CERTIFICATE)
        return found

    def notes(self) -> list[str]:
        """Return those of :data:`REASONS` that hold, and are no reason to go to another edge."""
        return [DATABASE] if self._is_without_database and self._shares_store else []

    @property
    def _is_without_database(self) -> bool:
        watcher = self._watcher
        return watcher.is_failing and self._now() - watcher.read_at > PATIENCE
