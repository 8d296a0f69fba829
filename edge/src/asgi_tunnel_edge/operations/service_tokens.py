"""Service tokens: what programs pass doors with, in the place of a login."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING

from msgspec import Struct

from asgi_tunnel_edge.accounts import (
    SERVICE_TOKEN_PREFIX,
    ServiceTokenRecord,
    check_account_name,
)
from asgi_tunnel_edge.errors import EdgeConfigError, shown
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import new_secret, secret_digest

from .links import expiry, state_of
from .texts import utc_second

if TYPE_CHECKING:
    from collections.abc import Sequence

    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = [
    "CreatedServiceToken",
    "NewServiceToken",
    "ServiceTokenView",
    "create_service_token",
    "list_service_tokens",
    "revoke_service_token",
    "service_token_view",
]


class NewServiceToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A service token to make."""

    name: str
    access: tuple[str, ...]  #: the ``[access.NAME]`` that it passes
    expires: str | None = None  #: 90d, 12h or 30m from now; None: never


class CreatedServiceToken(Struct, frozen=True, kw_only=True):
    """A service token that was made: its secret is known now, and never again."""

    record: ServiceTokenRecord
    secret: str


class ServiceTokenView(Struct, frozen=True, kw_only=True):
    """What a program is told of a service token."""

    id: str
    name: str
    access: tuple[str, ...]
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None
    state: str  #: ``active``, ``expired`` or ``revoked``


def create_service_token(config: EdgeConfig, new: NewServiceToken) -> CreatedServiceToken:
    """Make a service token.

    Raises:
        EdgeConfigError: Name or time are none, or a policy takes none.
        AccountError: One that holds has the name, or there are too many.
    """
    wanted = tuple(dict.fromkeys(new.access))
    _check_policies(config, wanted)
    now = int(time.time())
    secret = new_secret()
    record = ServiceTokenRecord(
        id=f"{SERVICE_TOKEN_PREFIX}{secrets.token_hex(8)}",
        name=check_account_name(new.name),
        secret_sha256=secret_digest(secret),
        policies=wanted,
        created_at=now,
        expires_at=expiry(new.expires, now),
    )
    AccessStore(config.database).create_service_token(record)
    return CreatedServiceToken(record=record, secret=secret)


def list_service_tokens(config: EdgeConfig) -> list[ServiceTokenRecord]:
    """Return all service tokens, oldest first."""
    return AccessStore(config.database).service_tokens()


def revoke_service_token(config: EdgeConfig, wanted: str) -> ServiceTokenRecord:
    """Take a service token back, by its id or name.

    Raises:
        AccountError: There is none that holds.
    """
    return AccessStore(config.database).revoke_service_token(wanted)


def service_token_view(record: ServiceTokenRecord, now: float) -> ServiceTokenView:
    """Return what a program is told of a service token."""
    return ServiceTokenView(
        id=record.id,
        name=record.name,
        access=record.policies,
        created_at=utc_second(record.created_at),
        expires_at=utc_second(record.expires_at),
        revoked_at=utc_second(record.revoked_at),
        state=state_of(record, now),
    )


def _check_policies(config: EdgeConfig, names: Sequence[str]) -> None:
    """See that a service token may pass them.

    Raises:
        EdgeConfigError: One is not there, or takes none.
    """
    for name in names:
        policy = config.policies.get(name)
        if policy is None:
            there = ", ".join(config.policies) or "none"
            why = f"there is no [access.{shown(name)}] in edge.toml"
            raise EdgeConfigError("--access", why, f"there are: {there}")
        if "token" not in policy.methods:
            why = f"[access.{name}] takes no service tokens"
            raise EdgeConfigError("--access", why, 'add "token" to its methods')
