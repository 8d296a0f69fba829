"""The table of logins: who is logged in where, and who was signed out.

Part of :class:`.access.AccessStore`, through which it is used; a running edge writes one row for
each login.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa

from .access_rows import ACCESS_EPOCH, changed, find_user, login_of
from .database import Database, raise_number
from .models import AccessSession, AccessUser

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_tunnel_edge.accounts import SessionRecord

__all__ = ["LoginStore"]

MAX_SESSION_ROWS: Final = 50_000
"""Logins that are listed; the oldest one is forgotten for a new one, and its session goes on."""


class LoginStore(Database):
    """Sessions of people; every method raises StorageError."""

    def add_session(self, record: SessionRecord) -> None:
        """Note a login; those that are over are forgotten."""
        with self._errors(), self._write() as session:
            now = record.created_at
            session.execute(sa.delete(AccessSession).where(AccessSession.expires_at <= now))
            count = session.scalar(sa.select(sa.func.count()).select_from(AccessSession)) or 0
            if count >= MAX_SESSION_ROWS:
                first = sa.select(AccessSession).order_by(AccessSession.created_at).limit(1)
                oldest = session.scalars(first.where(AccessSession.revoked_at.is_(None))).first()
                if oldest is not None:
                    session.delete(oldest)
            session.add(
                AccessSession(
                    id=record.id,
                    subject=record.subject[:512],
                    name=record.name[:255],
                    hostname=record.hostname,
                    method=record.method,
                    created_at=record.created_at,
                    expires_at=record.expires_at,
                    address=record.address,
                    agent=record.agent[:200],
                )
            )

    def sessions(
        self, *, now: float | None = None, subject: str | None = None
    ) -> list[SessionRecord]:
        """All logins that hold, or those of one subject; oldest first."""
        at = time.time() if now is None else now
        with self._errors(), self._read() as session:
            wanted = sa.select(AccessSession).where(
                AccessSession.expires_at > at, AccessSession.revoked_at.is_(None)
            )
            if subject is not None:
                wanted = wanted.where(AccessSession.subject == subject[:512])
            rows = session.scalars(wanted.order_by(AccessSession.created_at, AccessSession.id))
            return [login_of(row) for row in rows]

    def end_sessions(self, wanted: Sequence[str]) -> list[SessionRecord]:
        """End logins by their ids; return those that held."""
        with self._errors(), self._write() as session:
            ended = []
            for one in dict.fromkeys(wanted):
                row = session.get(AccessSession, one)
                if row is not None and row.revoked_at is None:
                    row.revoked_at = int(time.time())
                    ended.append(login_of(row))
            if ended:
                changed(session, "session.end", ended[0].subject, f"count={len(ended)}")
            return ended

    def end_sessions_by(self, subject: str) -> None:
        """End all logins of one subject: of a user, all at once, those that are not listed too."""
        kind, _, name = subject.partition(":")
        with self._errors(), self._write() as session:
            user = session.get(AccessUser, name) if kind == "user" else None
            if user is not None:
                user.epoch += 1
            known = sa.update(AccessSession).where(AccessSession.subject == subject[:512])
            session.execute(known.values(revoked_at=int(time.time())))
            changed(session, "session.end", subject, "all")

    def end_sessions_of(self, user: str) -> None:
        """End all logins of a user, on all hostnames.

        Raises:
            AccountError: There is no such user.
        """
        with self._errors(), self._write() as session:
            find_user(session, user)
        self.end_sessions_by(f"user:{user}")

    def end_all_sessions(self) -> None:
        """End every login."""
        with self._errors(), self._write() as session:
            raise_number(session, ACCESS_EPOCH)
            session.execute(sa.delete(AccessSession))
            changed(session, "session.end", "-", "everybody")
