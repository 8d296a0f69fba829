"""Notes what people do at the dashboard: who, when, what, and to what.

What changes the store is noted by the store itself, in the same transaction; :func:`acting` says in
whose name. What changes nothing there, as ending a session, is noted by :class:`AuditLog`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from ..storage.acting import acting
from ..storage.audit import AuditRow, AuditStore

if TYPE_CHECKING:
    from ..storage.dialect import Location
    from .roles import Viewer

__all__ = ["AuditLog", "acting"]


class AuditLog:
    """See the module.

    Args:
        database: Where the store is.
    """

    def __init__(self, database: Location) -> None:
        self._store = AuditStore(database)

    async def note(self, viewer: Viewer, action: str, subject: str, detail: str = "") -> None:
        """Note what somebody does, before it is done. Cancelling it may leave a note.

        Args:
            viewer: Who.
            action: What, as ``tunnel.kick``.
            subject: To what.
            detail: Anything more, without secrets.

        Raises:
            StorageError: It cannot be noted; then it is not to be done.
        """
        with acting(viewer.subject):
            await asyncio.to_thread(self._store.note, action, subject, detail)

    async def newest(self, *, before: int | None = None, query: str = "") -> list[AuditRow]:
        """Return a page of what was done, newest first; see :meth:`..storage.audit.AuditStore`.

        Raises:
            StorageError: The store cannot be read.
        """
        return await asyncio.to_thread(self._store.newest, before=before, query=query)
