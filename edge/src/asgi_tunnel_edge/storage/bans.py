"""Reads the tables of bans; ``store`` changes them."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from asgi_tunnel_edge.ban import BanRecord, ScannerBan

from .models import Ban, ScannerBanRow

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["read_bans", "read_scanner_bans"]


def read_bans(session: Session) -> list[BanRecord]:
    """All bans of the operator, oldest first; some may be over."""
    # Columns instead of objects: there may be thousands, and they are only copied.
    columns = sa.select(Ban.address, Ban.created_at, Ban.expires_at, Ban.reason)
    rows = session.execute(columns.order_by(Ban.created_at, Ban.address))
    return [
        BanRecord(address=address, created_at=created, expires_at=expires, reason=reason)
        for address, created, expires, reason in rows
    ]


def read_scanner_bans(session: Session) -> list[ScannerBan]:
    """All bans of the scanner guard, likewise."""
    row = ScannerBanRow
    columns = sa.select(row.address, row.owner, row.created_at, row.expires_at, row.reason)
    rows = session.execute(columns.order_by(row.created_at, row.address, row.owner))
    return [
        ScannerBan(
            address=address, owner=owner, created_at=created, expires_at=expires, reason=reason
        )
        for address, owner, created, expires, reason in rows
    ]
