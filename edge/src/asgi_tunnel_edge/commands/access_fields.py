"""Users, service tokens, share links and logins as commands print them for a program.

Shared by ``user``, ``service-token``, ``link`` and ``session``. No secret is among the fields.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Final

from asgi_tunnel_edge.access.passwords import check_password, hash_password
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.tokens import parse_duration

from .options import utc_second

if TYPE_CHECKING:
    from asgi_tunnel_edge.accounts import (
        LinkRecord,
        ServiceTokenRecord,
        SessionRecord,
        UserRecord,
    )

__all__ = [
    "expiry",
    "link_fields",
    "link_state",
    "read_password",
    "service_token_fields",
    "session_fields",
    "state_of",
    "user_fields",
]

MAX_INPUT: Final = 4096
"""Bytes that are read of a password on stdin: its longest in UTF-8, and its line's end, fit."""


def user_fields(record: UserRecord, *, has_password: bool, passkeys: int) -> dict[str, Any]:
    """A user, and the ways to log in that there are."""
    return {
        "name": record.name,
        "email": record.email,
        "groups": list(record.groups),
        "created_at": utc_second(record.created_at),
        "disabled_at": utc_second(record.disabled_at),
        "has_password": has_password,
        "passkeys": passkeys,
    }


def service_token_fields(record: ServiceTokenRecord, now: float) -> dict[str, Any]:
    """A service token without its secret."""
    return {
        "id": record.id,
        "name": record.name,
        "access": list(record.policies),
        "created_at": utc_second(record.created_at),
        "expires_at": utc_second(record.expires_at),
        "revoked_at": utc_second(record.revoked_at),
        "state": state_of(record, now),
    }


def link_fields(record: LinkRecord, now: float) -> dict[str, Any]:
    """A share link without its secret."""
    return {
        "id": record.id,
        "hostname": record.hostname,
        "path": record.path,
        "note": record.note,
        "created_at": utc_second(record.created_at),
        "expires_at": utc_second(record.expires_at),
        "revoked_at": utc_second(record.revoked_at),
        "max_uses": record.max_uses,
        "uses": record.uses,
        "state": link_state(record, now),
    }


def session_fields(record: SessionRecord) -> dict[str, Any]:
    """A login."""
    return {
        "id": record.id,
        "subject": record.subject,
        "name": record.name,
        "hostname": record.hostname,
        "method": record.method,
        "created_at": utc_second(record.created_at),
        "expires_at": utc_second(record.expires_at),
        "address": record.address,
        "agent": record.agent,
    }


def state_of(record: ServiceTokenRecord | LinkRecord, now: float) -> str:
    """``active``, ``expired`` or ``revoked``."""
    if record.revoked_at is not None:
        return "revoked"
    return "expired" if record.expires_at is not None and now >= record.expires_at else "active"


def link_state(record: LinkRecord, now: float) -> str:
    """The same of a link; ``used`` when no other browser may open it."""
    state = state_of(record, now)
    is_used = record.max_uses is not None and record.uses >= record.max_uses
    return "used" if state == "active" and is_used else state


def expiry(text: str | None, now: int) -> int | None:
    """When something ends that is given ``--expires``, in seconds since 1970; None: never.

    Raises:
        EdgeConfigError: It is no time.
    """
    return None if text is None else now + parse_duration(text, setting="--expires")


def read_password() -> str:
    """Read one line from stdin and return its hash.

    Raises:
        EdgeConfigError: There is none, or it is no good password.
    """
    line = sys.stdin.read(MAX_INPUT).partition("\n")[0].rstrip("\r")
    if not line:
        why, fix = "nothing came on stdin", "write one line with the password there"
        raise EdgeConfigError("--password-stdin", why, fix)
    return hash_password(check_password(line))
