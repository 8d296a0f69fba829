"""Reads the table of closed hostnames; ``store`` changes it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import sqlalchemy as sa

from asgi_tunnel_edge.maintenance import MaintenanceRecord

from .models import Maintenance

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["maintenance_row", "read_maintenance"]


def read_maintenance(session: Session) -> list[MaintenanceRecord]:
    """All hostnames that are closed, sorted."""
    rows = session.scalars(sa.select(Maintenance).order_by(Maintenance.hostname))
    return [
        MaintenanceRecord(
            hostname=row.hostname,
            since=row.since,
            message=row.message,
            until=row.until,
            allow=tuple(row.allow.split()),
        )
        for row in rows
    ]


def maintenance_row(record: MaintenanceRecord) -> Maintenance:
    """The row of a record."""
    return Maintenance(
        hostname=record.hostname,
        since=record.since,
        message=record.message,
        until=record.until,
        allow=" ".join(record.allow),
    )
