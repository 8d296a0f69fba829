"""What commands say of a token, for a program. Called by ``token list`` and ``token show``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from asgi_tunnel_edge.quotas import QUOTA_NAMES

from .options import utc_second

if TYPE_CHECKING:
    from asgi_tunnel_edge.tokens import TokenRecord

__all__ = ["old_secret_end", "token_fields"]


def token_fields(record: TokenRecord, now: float, last_used: int | None) -> dict[str, object]:
    """Return the fields of one token; none of them is a secret.

    Args:
        record: As the store has it.
        now: Seconds since 1970.
        last_used: Likewise; None: never, or not yet written.
    """
    return {
        "id": record.id,
        "name": record.name,
        "hostnames": list(record.hostnames),
        "end_to_end": list(record.end_to_end),
        "created_at": utc_second(record.created_at),
        "expires_at": utc_second(record.expires_at),
        "revoked_at": utc_second(record.revoked_at),
        "last_used_at": utc_second(last_used),
        "old_secret_until": utc_second(old_secret_end(record, now)),
        "state": record.state(now),
        "limits": {name: getattr(record.quotas, name) for name in QUOTA_NAMES},
    }


def old_secret_end(record: TokenRecord, now: float) -> int | None:
    """Until when the secret before the last rotation is taken; None: it is not."""
    end = record.old_until
    return end if end is not None and now < end and not record.revoked else None
