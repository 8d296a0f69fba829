"""Reads everything that a running edge follows: plain SQL, as of one moment.

The same statements for each database: migration 0014 gives PostgreSQL a ``rowid``. Without
SQLAlchemy, which takes 0.4 s and 20 MB to load: an edge that starts, or starts again after a crash,
needs none of it until it writes. What changes the tables is left to ``store``.
"""

from __future__ import annotations

import time
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

import msgspec

from asgi_tunnel_edge.accounts import AccessRecords, LinkRecord, ServiceTokenRecord, UserRecord
from asgi_tunnel_edge.ban import BanRecord, ScannerBan
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.maintenance import MaintenanceRecord
from asgi_tunnel_edge.quotas import QUOTA_NAMES, TokenQuotas
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from .dialect import Select

__all__ = ["read_snapshot", "read_tokens"]

# By name: a column that is missing, in a database of an older version, is an error.
_TOKENS: Final = """
    SELECT id, name, secret_sha256, created_at, expires_at, revoked_at, old_secret_sha256,
        old_until, owner,
        max_tunnels, max_pending, max_memory, max_visitors, max_frames
    FROM tokens ORDER BY created_at, rowid"""  # of two of one second, the one that was kept first
_HOSTNAMES: Final = "SELECT token_id, hostname, end_to_end FROM hostnames ORDER BY hostname"
_BANS: Final = """
    SELECT address, created_at, expires_at, reason FROM bans ORDER BY created_at, address"""
_SCANNER_BANS: Final = """
    SELECT address, owner, created_at, expires_at, reason
    FROM scanner_bans ORDER BY created_at, address, owner"""
_MAINTENANCE: Final = """
    SELECT hostname, since, message, until, allow FROM maintenance ORDER BY hostname"""
_USERS: Final = """
    SELECT name, email, "groups", created_at, disabled_at, epoch FROM access_users ORDER BY name"""
_SERVICE_TOKENS: Final = """
    SELECT id, name, secret_sha256, policies, created_at, expires_at, revoked_at
    FROM access_service_tokens WHERE revoked_at IS NULL ORDER BY created_at, id"""
_LINKS: Final = """
    SELECT id, secret_sha256, hostname, path, created_at, expires_at, revoked_at, max_uses, uses,
        note
    FROM access_links WHERE revoked_at IS NULL ORDER BY created_at, id"""
_ENDED: Final = (
    "SELECT id FROM access_sessions WHERE revoked_at IS NOT NULL AND expires_at > ? ORDER BY id"
)


def read_snapshot(select: Select) -> Snapshot:
    """Return all of it.

    Args:
        select: Reads what was true at one moment.

    Raises:
        StorageError: The database holds something else.
    """
    try:
        numbers = {row["key"]: row["value"] for row in select("SELECT * FROM meta")}
        return Snapshot.of(
            numbers.get("generation", 0),
            read_tokens(select),
            bans=[_struct(row, BanRecord) for row in select(_BANS)],
            scanner_bans=[_struct(row, ScannerBan) for row in select(_SCANNER_BANS)],
            renewals=numbers.get("renewals", 0),
            maintenance=[
                _struct(row, MaintenanceRecord, allow=row["allow"].split())
                for row in select(_MAINTENANCE)
            ],
            access=_read_access(select, numbers.get("access_epoch", 0)),
        )
    except msgspec.ValidationError as error:
        raise StorageError(f"the database holds what no edge has written: {error}") from error


def read_tokens(select: Select) -> list[TokenRecord]:
    """Return all tokens, oldest first."""
    hostnames: defaultdict[str, list[str]] = defaultdict(list)
    end_to_end: defaultdict[str, list[str]] = defaultdict(list)
    for row in select(_HOSTNAMES):
        hostnames[row["token_id"]].append(row["hostname"])
        if row["end_to_end"]:
            end_to_end[row["token_id"]].append(row["hostname"])
    return [
        _struct(
            row,
            TokenRecord,
            hostnames=sorted(hostnames[row["id"]]),
            end_to_end=sorted(end_to_end[row["id"]]),
            old_secret_sha256=row["old_secret_sha256"] or "",
            quotas=TokenQuotas(**{name: row[name] for name in QUOTA_NAMES}),
        )
        for row in select(_TOKENS)
    ]


def _read_access(select: Select, epoch: int) -> AccessRecords:
    return AccessRecords(
        users=tuple(
            _struct(row, UserRecord, groups=row["groups"].split()) for row in select(_USERS)
        ),
        service_tokens=tuple(
            _struct(row, ServiceTokenRecord, policies=row["policies"].split())
            for row in select(_SERVICE_TOKENS)
        ),
        links=tuple(_struct(row, LinkRecord) for row in select(_LINKS)),
        ended=tuple(row["id"] for row in select(_ENDED, time.time())),
        epoch=epoch,
    )


def _struct(row: Mapping[str, Any], struct: type[Any], **given: object) -> Any:
    """A row as a record: the columns that it has fields for, and what is given in their place."""
    return msgspec.convert({**row, **given}, struct)
