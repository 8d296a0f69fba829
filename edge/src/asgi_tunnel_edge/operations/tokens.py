"""Tokens: make, show, change, rotate and take back what apps connect with."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from asgi_tunnel.token import Token
from asgi_tunnel_edge.address import public_address
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.hostname import normalise_hostname
from asgi_tunnel_edge.quotas import QUOTA_NAMES, TokenQuotas, format_quota
from asgi_tunnel_edge.settings.config import CONFIG_FILE
from asgi_tunnel_edge.settings.dashboard import check_not_reserved
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import (
    TokenRecord,
    check_name,
    new_token_id,
    parse_duration,
    secret_digest,
)

from .doors import check_no_door
from .issuing import issue_token
from .texts import utc_second

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = [
    "CreatedToken",
    "NewToken",
    "RotatedToken",
    "TokenView",
    "check_end_to_end",
    "create_token",
    "give_token",
    "limit_token",
    "list_tokens",
    "old_secret_end",
    "quota_warnings",
    "revoke_tokens",
    "rotate_token",
    "token_urls",
    "token_view",
]

OVERLAP: Final = "24h"
"""How long the old secret is taken after a rotation, where nothing else is said."""

_AT_ONCE: Final = "0"


class NewToken(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A token to make."""

    name: str
    hostnames: tuple[str, ...] = ()  #: empty: NAME.DOMAIN
    expires: str | None = None  #: 90d, 12h or 30m from now; None: never
    end_to_end: bool = False  #: TLS of its hostnames ends in the app
    owner: str = ""  #: a user of this edge; empty: the operators alone
    limits: TokenQuotas = TokenQuotas()


class CreatedToken(Struct, frozen=True, kw_only=True):
    """A token that was made: its secret is known now, and never again."""

    token: Token
    record: TokenRecord
    urls: tuple[str, ...]  #: where visitors find it
    warnings: tuple[str, ...]  #: quotas that do not do what they say


class RotatedToken(Struct, frozen=True, kw_only=True):
    """A token with another secret, which is known now, and never again."""

    token: Token
    record: TokenRecord
    overlap: int  #: seconds for which the old secret is taken too


class TokenView(Struct, frozen=True, kw_only=True):
    """What a program is told of a token; none of it is a secret."""

    id: str
    name: str
    hostnames: tuple[str, ...]
    end_to_end: tuple[str, ...]
    created_at: str | None
    expires_at: str | None
    revoked_at: str | None
    last_used_at: str | None  #: to the minute; None: never, or not yet written
    old_secret_until: str | None
    state: Literal["active", "expired", "revoked"]
    limits: dict[str, int | None]  #: its own; None: as for every other token
    owner: str  #: empty: the operators alone


def create_token(config: EdgeConfig, new: NewToken) -> CreatedToken:
    """Make a token; a running edge knows it within a second.

    Raises:
        EdgeConfigError: A name, hostname or time is none; or its edge's address is not known.
        NameTakenError: A token that is not revoked has the name.
        HostnameTakenError: A token that is not revoked has one of the hostnames.
        TooManyHostnamesError: It would have more than fit.
        AccountError: Its owner is no user of this edge.
    """
    check_name(new.name)
    if new.end_to_end:
        check_end_to_end(config)
    wanted = new.hostnames or (f"{new.name}.{config.domain}",)
    names = list(dict.fromkeys(normalise_hostname(host, wildcard=True) for host in wanted))
    check_not_reserved(config.dashboard, names, setting="--hostname")
    if new.end_to_end:
        check_no_door(config, names)
    lifetime = None if new.expires is None else parse_duration(new.expires, setting="--expires")
    address = public_address(config)
    token = issue_token(config, new_token_id())
    now = int(time.time())
    record = TokenRecord(
        id=token.id,
        name=new.name,
        secret_sha256=secret_digest(token.secret),
        hostnames=tuple(names),
        created_at=now,
        expires_at=None if lifetime is None else now + lifetime,
        quotas=new.limits,
        end_to_end=tuple(names) if new.end_to_end else (),
        owner=new.owner,
    )
    Store(config.database).create_token(record)
    return CreatedToken(
        token=token,
        record=record,
        urls=tuple(address.visitor_url(host) for host in names),
        warnings=tuple(quota_warnings(config, new.limits)),
    )


def rotate_token(config: EdgeConfig, wanted: str, *, overlap: str = OVERLAP) -> RotatedToken:
    """Give a token another secret; apps with the old one go on until the overlap is over.

    Args:
        config: Of the edge.
        wanted: An id or a name.
        overlap: 90d, 12h or 30m; ``0``: the old secret ends at once.

    Raises:
        EdgeConfigError: The overlap is no time, or the edge's address is not known.
        TokenNotFoundError: It is unknown.
        TokenRevokedError: It is revoked.
    """
    seconds = 0 if overlap == _AT_ONCE else parse_duration(overlap, setting="--overlap")
    store = Store(config.database)
    token = issue_token(config, store.find_token(wanted).id)
    record = store.rotate_token(token.id, secret_digest(token.secret), overlap=seconds)
    return RotatedToken(token=token, record=record, overlap=seconds)


def limit_token(config: EdgeConfig, wanted: str, changes: Mapping[str, int | None]) -> TokenRecord:
    """Change what one token may take, or look it up where nothing is to be changed.

    Args:
        config: Of the edge.
        wanted: An id or a name.
        changes: By name of the quota; None: as for every other token.

    Raises:
        TokenNotFoundError: It is unknown.
        TokenRevokedError: It is revoked, and something is to be changed.
    """
    store = Store(config.database)
    return store.limit_token(wanted, changes) if changes else store.find_token(wanted)


def give_token(config: EdgeConfig, wanted: str, owner: str) -> TokenRecord:
    """Say whose a token is.

    Args:
        config: Of the edge.
        wanted: An id or a name.
        owner: A user of this edge; empty: the operators alone.

    Raises:
        TokenNotFoundError: It is unknown.
        TokenRevokedError: It is revoked.
        AccountError: There is no such user.
    """
    return Store(config.database).give_token(wanted, owner)


def revoke_tokens(config: EdgeConfig, wanted: Sequence[str]) -> list[TokenRecord]:
    """Take tokens back, all or none; return them as they were.

    Raises:
        TokenNotFoundError: One is unknown.
    """
    return Store(config.database).revoke_tokens(wanted)


def list_tokens(config: EdgeConfig, wanted: Sequence[str] = ()) -> list[TokenView]:
    """Return all tokens, or those of some ids or names; oldest first.

    Raises:
        TokenNotFoundError: One of ``wanted`` is unknown.
    """
    store = Store(config.database)
    records = [store.find_token(one) for one in wanted] if wanted else store.read()[1]
    used, now = store.last_used(), time.time()
    return [token_view(one, now, used.get(one.id)) for one in records]


def token_view(record: TokenRecord, now: float, last_used: int | None) -> TokenView:
    """Return what a program is told of a token.

    Args:
        record: As the store has it.
        now: Seconds since 1970.
        last_used: Likewise; None: never, or not yet written.
    """
    return TokenView(
        id=record.id,
        name=record.name,
        hostnames=record.hostnames,
        end_to_end=record.end_to_end,
        created_at=utc_second(record.created_at),
        expires_at=utc_second(record.expires_at),
        revoked_at=utc_second(record.revoked_at),
        last_used_at=utc_second(last_used),
        old_secret_until=utc_second(old_secret_end(record, now)),
        state=record.state(now),
        limits={name: getattr(record.quotas, name) for name in QUOTA_NAMES},
        owner=record.owner,
    )


def old_secret_end(record: TokenRecord, now: float) -> int | None:
    """Until when the secret before the last rotation is taken; None: it is not."""
    end = record.old_until
    return end if end is not None and now < end and not record.revoked else None


def token_urls(config: EdgeConfig, hostnames: Sequence[str]) -> list[str] | None:
    """Where visitors find hostnames; None: the edge's port is not known."""
    try:
        address = public_address(config)
    except EdgeConfigError:
        return None
    return [address.visitor_url(host) for host in hostnames]


def check_end_to_end(config: EdgeConfig) -> None:
    """See that an edge can pass TLS on.

    Raises:
        EdgeConfigError: Visitors do not reach it with TLS.
    """
    if config.tls.mode == "off":
        why = "end-to-end hostnames need an edge that visitors reach with TLS, and tls.mode is off"
        raise EdgeConfigError("--end-to-end", why, 'set mode = "internal" or "acme" in edge.toml')


def quota_warnings(config: EdgeConfig, quotas: TokenQuotas) -> list[str]:
    """Why a quota does not do what it says; empty when each does."""
    limits = config.limits
    found = []
    for name, setting, bound in (
        ("max_tunnels", "max_tunnels", limits.max_tunnels),
        ("max_memory", "max_buffered_bytes", limits.max_buffered_bytes),
    ):
        value = getattr(quotas, name)
        if value is not None and value > bound:
            found.append(
                f"{name} is {format_quota(name, value)}, and {setting} in {CONFIG_FILE} is "
                f"{format_quota(name, bound)} for all tokens together: raise that one, too"
            )
    return found
