"""The tables of what opens a door without a login: service tokens and share links.

Part of :class:`.access.AccessStore`, through which it is used.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import sqlalchemy as sa

from asgi_tunnel_edge.errors import AccountError

from .access_rows import (
    changed,
    check_room,
    link_of,
    link_row,
    service_token_of,
    service_token_row,
)
from .database import Database
from .models import AccessLink, AccessServiceToken

if TYPE_CHECKING:
    from asgi_tunnel_edge.accounts import LinkRecord, ServiceTokenRecord

__all__ = ["PassStore"]


class PassStore(Database):
    """Service tokens and share links; every method raises StorageError."""

    def create_service_token(self, record: ServiceTokenRecord) -> None:
        """Keep a new service token.

        Raises:
            AccountError: One that holds has the name, or there are too many.
        """
        with self._errors(), self._write() as session:
            same = sa.select(AccessServiceToken).where(
                AccessServiceToken.name == record.name, AccessServiceToken.revoked_at.is_(None)
            )
            if session.scalars(same).first() is not None:
                why = "is a service token already"
                raise AccountError(record.name, why, "choose another name, or revoke that one")
            check_room(session, AccessServiceToken, record.name)
            session.add(service_token_row(record))
            changed(session, "service-token.create", record.id, f"name={record.name}")

    def service_tokens(self) -> list[ServiceTokenRecord]:
        """All service tokens, oldest first."""
        with self._errors(), self._read() as session:
            wanted = sa.select(AccessServiceToken)
            rows = wanted.order_by(AccessServiceToken.created_at, AccessServiceToken.id)
            return [service_token_of(row) for row in session.scalars(rows)]

    def revoke_service_token(self, wanted: str) -> ServiceTokenRecord:
        """Take a service token back, by its id or name.

        Raises:
            AccountError: There is none that holds.
        """
        with self._errors(), self._write() as session:
            known = sa.select(AccessServiceToken).where(
                sa.or_(AccessServiceToken.id == wanted, AccessServiceToken.name == wanted),
                AccessServiceToken.revoked_at.is_(None),
            )
            row = session.scalars(known).first()
            if row is None:
                fix = "list them with `asgi-tunnel-edge service-token list`"
                raise AccountError(wanted, "is no service token that holds", fix, is_missing=True)
            row.revoked_at = int(time.time())
            changed(session, "service-token.revoke", row.id, f"name={row.name}")
            return service_token_of(row)

    def create_link(self, record: LinkRecord) -> None:
        """Keep a new share link.

        Raises:
            AccountError: There are too many.
        """
        with self._errors(), self._write() as session:
            over = sa.delete(AccessLink).where(AccessLink.expires_at <= record.created_at)
            session.execute(over)
            check_room(session, AccessLink, record.id)
            session.add(link_row(record))
            detail = f"hostname={record.hostname} path={record.path}"
            changed(session, "link.create", record.id, detail)

    def links(self) -> list[LinkRecord]:
        """All share links, oldest first."""
        with self._errors(), self._read() as session:
            rows = sa.select(AccessLink).order_by(AccessLink.created_at, AccessLink.id)
            return [link_of(row) for row in session.scalars(rows)]

    def use_link(self, secret_sha256: str, hostname: str, *, now: float) -> LinkRecord | None:
        """Count one more browser that opens a link; None: it is over, used up or not known."""
        with self._errors(), self._write() as session:
            known = sa.select(AccessLink).where(
                AccessLink.secret_sha256 == secret_sha256, AccessLink.hostname == hostname
            )
            row = session.scalars(known).first()
            if row is None or row.revoked_at is not None:
                return None
            if row.expires_at is not None and now >= row.expires_at:
                return None
            if row.max_uses is not None and row.uses >= row.max_uses:
                return None
            row.uses += 1
            return link_of(row)

    def revoke_link(self, wanted: str) -> LinkRecord:
        """Take a share link back; who has opened it is out, too.

        Raises:
            AccountError: There is none that holds.
        """
        with self._errors(), self._write() as session:
            row = session.get(AccessLink, wanted)
            if row is None or row.revoked_at is not None:
                fix = "list them with `asgi-tunnel-edge link list`"
                raise AccountError(wanted, "is no share link that holds", fix, is_missing=True)
            row.revoked_at = int(time.time())
            changed(session, "link.revoke", row.id, "")
            return link_of(row)
