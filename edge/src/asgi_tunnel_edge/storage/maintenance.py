"""Rows of the table of closed hostnames; ``store`` changes it."""

from __future__ import annotations

from asgi_tunnel_edge.maintenance import MaintenanceRecord

from .models import Maintenance

__all__ = ["maintenance_row"]


def maintenance_row(record: MaintenanceRecord) -> Maintenance:
    """The row of a record."""
    return Maintenance(
        hostname=record.hostname,
        since=record.since,
        message=record.message,
        until=record.until,
        allow=" ".join(record.allow),
    )
