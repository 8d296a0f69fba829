"""The table of grants: what programs may do in the name of a visitor (OAuth).

A row is made when a visitor allows it, with a code that is used once; from then on it holds the
refresh token. Secrets are kept as hashes. A running edge uses it in a thread.
"""

from __future__ import annotations

from enum import Enum, auto
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from msgspec import Struct

from .database import Database
from .models import OAuthGrant

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["GrantRecord", "GrantStore", "Misuse"]

MAX_GRANTS: Final = 10_000
"""Grants in all; only who has logged in makes one. The oldest one ends for a new one."""

MAX_GRANTS_PER_SUBJECT: Final = 50
"""Grants of one visitor: programs on a few machines. Likewise."""


class GrantRecord(Struct, frozen=True, kw_only=True):
    """One grant. Times are seconds since 1970."""

    id: str
    client_id: str
    client_name: str
    subject: str  #: as :class:`..access.identity.Identity` has it
    hostname: str
    path: str  #: of the resource
    claims: bytes  #: of the visitor's login, signed
    redirect: str
    challenge: str  #: of PKCE
    code_sha256: str
    code_expires_at: int
    created_at: int
    expires_at: int


class Misuse(Enum):
    """Why a secret is not taken."""

    UNKNOWN = auto()  # there is none, or it is over
    REPEATED = auto()  # it was used before: somebody else may have it, so its grant has ended


class GrantStore(Database):
    """Every method raises StorageError, and writes in one transaction.

    What strangers may send as often as they like is looked up first, without the lock of a write.
    """

    def add(self, record: GrantRecord) -> list[str]:
        """Keep a new grant; return the ids of those that ended for it, or were over."""
        now = record.created_at
        with self._errors(), self._write() as session:
            session.execute(sa.delete(OAuthGrant).where(OAuthGrant.expires_at <= now))
            unused = sa.delete(OAuthGrant).where(
                OAuthGrant.code_used_at.is_(None), OAuthGrant.code_expires_at <= now
            )
            session.execute(unused)
            ended = _make_room(session, MAX_GRANTS)
            ended += _make_room(session, MAX_GRANTS_PER_SUBJECT, record.subject)
            session.add(
                OAuthGrant(
                    id=record.id,
                    client_id=record.client_id,
                    client_name=record.client_name[:64],
                    subject=record.subject[:512],
                    hostname=record.hostname,
                    path=record.path,
                    claims=record.claims,
                    redirect=record.redirect,
                    challenge=record.challenge,
                    code_sha256=record.code_sha256,
                    code_expires_at=record.code_expires_at,
                    created_at=record.created_at,
                    expires_at=record.expires_at,
                )
            )
            return ended

    def redeem(
        self, code_sha256: str, refresh_sha256: str, *, now: float
    ) -> tuple[GrantRecord | None, Misuse | None]:
        """Use a code up, whoever has it.

        Args:
            code_sha256: Of the code.
            refresh_sha256: Of the grant's first refresh token.
            now: Seconds since 1970.

        Returns:
            The grant; or what is wrong, with the grant that has ended for it.
        """
        known = sa.select(OAuthGrant).where(OAuthGrant.code_sha256 == code_sha256)
        if not self._has(known):
            return None, Misuse.UNKNOWN
        with self._errors(), self._write() as session:
            row = session.scalars(known).first()
            if row is None:
                return None, Misuse.UNKNOWN
            record = _grant(row)
            if row.code_used_at is not None:
                session.delete(row)
                return record, Misuse.REPEATED
            if now >= row.code_expires_at:
                session.delete(row)
                return None, Misuse.UNKNOWN
            row.code_used_at = int(now)
            row.refresh_sha256 = refresh_sha256
            return record, None

    def rotate(
        self, grant_id: str, old_sha256: str, new_sha256: str, *, client_id: str, now: float
    ) -> tuple[GrantRecord | None, Misuse | None]:
        """Put a new refresh token in the place of the old one.

        Args:
            grant_id: Whose they are.
            old_sha256: Of what the client has shown.
            new_sha256: Of what it gets.
            client_id: Of the client.
            now: Seconds since 1970.

        Returns:
            As :meth:`redeem`.
        """
        if not self._has(sa.select(OAuthGrant).where(OAuthGrant.id == grant_id)):
            return None, Misuse.UNKNOWN
        with self._errors(), self._write() as session:
            row = session.get(OAuthGrant, grant_id)
            if row is None or row.refresh_sha256 is None or now >= row.expires_at:
                return None, Misuse.UNKNOWN
            if row.client_id != client_id:
                return None, Misuse.UNKNOWN
            record = _grant(row)
            if row.refresh_sha256 != old_sha256:
                session.delete(row)
                return record, Misuse.REPEATED
            row.refresh_sha256 = new_sha256
            return record, None

    def remove(self, grant_id: str, *, refresh_sha256: str | None = None) -> GrantRecord | None:
        """Forget a grant; return it, or None where there is none.

        Args:
            grant_id: Which one.
            refresh_sha256: Its refresh token has to have this hash; None: any.
        """
        if not self._has(sa.select(OAuthGrant).where(OAuthGrant.id == grant_id)):
            return None
        with self._errors(), self._write() as session:
            row = session.get(OAuthGrant, grant_id)
            if row is None or refresh_sha256 not in (None, row.refresh_sha256):
                return None
            session.delete(row)
            return _grant(row)

    def _has(self, wanted: sa.Select[OAuthGrant]) -> bool:
        with self._errors(), self._read() as session:
            return session.scalars(wanted.limit(1)).first() is not None


def _make_room(session: Session, most: int, subject: str | None = None) -> list[str]:
    """Forget the oldest grants, of one subject or of all, until one more has room."""
    wanted = sa.select(OAuthGrant).order_by(OAuthGrant.created_at, OAuthGrant.id)
    count = sa.select(sa.func.count()).select_from(OAuthGrant)
    if subject is not None:
        wanted = wanted.where(OAuthGrant.subject == subject[:512])
        count = count.where(OAuthGrant.subject == subject[:512])
    over = (session.scalar(count) or 0) - most + 1
    if over <= 0:
        return []
    ended = []
    for row in session.scalars(wanted.limit(over)):
        ended.append(row.id)
        session.delete(row)
    return ended


def _grant(row: OAuthGrant) -> GrantRecord:
    return GrantRecord(
        id=row.id,
        client_id=row.client_id,
        client_name=row.client_name,
        subject=row.subject,
        hostname=row.hostname,
        path=row.path,
        claims=row.claims,
        redirect=row.redirect,
        challenge=row.challenge,
        code_sha256=row.code_sha256,
        code_expires_at=row.code_expires_at,
        created_at=row.created_at,
        expires_at=row.expires_at,
    )
