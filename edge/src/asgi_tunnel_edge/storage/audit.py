"""The audit log: who changed what, and when. A bounded table that each change adds a row to.

Whoever writes the row, the name is that of :mod:`.acting`, and the oldest rows go: a trigger of the
database sees to that (migration 0012).
"""

from __future__ import annotations

import time
from typing import Final, NamedTuple

import sqlalchemy as sa

from .database import Database
from .models import Audit

__all__ = ["MAX_AUDIT", "PAGE", "AuditRow", "AuditStore"]

MAX_AUDIT: Final = 50_000
"""Rows that are kept, some 10 MB; the oldest go. An edge whose tokens change a hundred times a day
remembers a year and more."""

PAGE: Final = 100
"""Rows that are returned at once."""

_MAX_TEXT: Final = 255


class AuditRow(NamedTuple):
    """One change."""

    id: int  #: grows
    at: int  #: seconds since 1970
    by: str  #: who; empty: the command line
    action: str
    subject: str  #: what was changed
    detail: str


class AuditStore(Database):
    """The table; every method raises StorageError when it cannot be used."""

    def note(self, action: str, subject: str, detail: str = "") -> None:
        """Keep one row of what changes nothing else in the store."""
        now = int(time.time())
        with self._errors(), self._write() as session:
            row = Audit(at=now, action=action[:64], subject=subject[:_MAX_TEXT], detail=detail)
            session.add(row)

    def newest(
        self, *, before: int | None = None, query: str = "", limit: int = PAGE
    ) -> list[AuditRow]:
        """Return rows, newest first.

        Args:
            before: Only those below this id; None: from the newest.
            query: Only those with this text in them; empty: all.
            limit: How many at most.
        """
        rows = sa.select(Audit).order_by(Audit.id.desc()).limit(min(limit, PAGE))
        if before is not None:
            rows = rows.where(Audit.id < before)
        if query:
            columns = (Audit.by, Audit.action, Audit.subject, Audit.detail)
            rows = rows.where(sa.or_(*(one.icontains(query, autoescape=True) for one in columns)))
        with self._errors(), self._read() as session:
            return [
                AuditRow(row.id, row.at, row.by, row.action, row.subject, row.detail)
                for row in session.scalars(rows)
            ]
