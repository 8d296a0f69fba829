"""Tokens as the edge knows them: made here once, kept only as a hash, checked on each handshake.

It leaves where they are kept to ``storage`` and their text form to ``asgi_tunnel.token``.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal

from msgspec import Struct

from asgi_tunnel.errors import ConfigError
from asgi_tunnel.token import MAX_TOKEN_LENGTH, Token

from .accounts import AccessRecords
from .ban import BanRecord, ScannerBan
from .errors import EdgeConfigError, TooManyHostnamesError, shown
from .maintenance import MaintenanceRecord
from .quotas import TokenQuotas

if TYPE_CHECKING:
    from typing import Self

__all__ = [
    "CLOCK_DIFFERENCE",
    "Refusal",
    "Snapshot",
    "TokenRecord",
    "TokenState",
    "check_hostname_count",
    "check_name",
    "digest_of",
    "new_secret",
    "new_token_id",
    "parse_duration",
    "secret_digest",
]

#: Seconds that the clocks of the machine that made a token and of the edge may differ (T49).
CLOCK_DIFFERENCE: Final = 60.0

#: Ten years in seconds: a longer life is a typing mistake or no expiry at all.
MAX_LIFETIME: Final = 10 * 365 * 86400

#: Hostnames of one token, and their characters together. WELCOME names each up to three times, and
#: has room for 16 KiB.
MAX_HOSTNAMES: Final = 100
MAX_HOSTNAME_CHARACTERS: Final = 4000

TokenState = Literal["active", "expired", "revoked"]

_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?")
_DURATION: Final = re.compile(r"([0-9]{1,6})([dhm])")
_SECONDS: Final = {"d": 86400, "h": 3600, "m": 60}


class TokenRecord(Struct, frozen=True, kw_only=True):
    """What the edge keeps of one token. Times are seconds since 1970, UTC."""

    id: str
    name: str
    secret_sha256: str  #: hex
    hostnames: tuple[str, ...]  #: normal names and wildcards, sorted; none once it is revoked
    created_at: int
    expires_at: int | None = None
    revoked_at: int | None = None
    quotas: TokenQuotas = TokenQuotas()
    end_to_end: tuple[str, ...] = ()  #: those of the hostnames whose TLS is spoken by the app
    old_secret_sha256: str = ""  #: hex, of the secret before the last rotation; empty: none
    old_until: int | None = None  #: when that one ends
    owner: str = ""  #: the user whose it is; empty: nobody's but the operators'

    @property
    def revoked(self) -> bool:
        """Has somebody taken it back?"""
        return self.revoked_at is not None

    def is_expired(self, now: float) -> bool:
        """Is its time over, with `CLOCK_DIFFERENCE` to spare?"""
        return self.expires_at is not None and now > self.expires_at + CLOCK_DIFFERENCE

    def takes(self, secret_sha256: str, now: float) -> bool:
        """Is this the hash of its secret, or of the one before it whose overlap is not over?"""
        return secret_sha256 == self.secret_sha256 or (
            secret_sha256 == self.old_secret_sha256 and now < (self.old_until or 0)
        )

    def state(self, now: float) -> TokenState:
        """One word for a table."""
        if self.revoked:
            return "revoked"
        return "expired" if self.is_expired(now) else "active"

    def __repr__(self) -> str:
        return f"TokenRecord(id={self.id!r}, name={self.name!r}, hostnames={self.hostnames!r})"


@dataclass(frozen=True, slots=True, kw_only=True)
class Refusal:
    """Why a token is refused. The sentence goes to the connector."""

    code: Literal["unknown", "replaced", "expired", "revoked", "malformed"]
    sentence: str


#: Compared with when the id is unknown, so that this takes as long as a wrong secret (T31).
_NOBODY: Final = TokenRecord(
    id="", name="", secret_sha256=hashlib.sha256(b"").hexdigest(), hostnames=(), created_at=0
)
#: Stands for the old secret of a token that has none: no hash is all zeros.
_NO_HASH: Final = "0" * 64
_NOBODY_PASSES: Final = AccessRecords()
_CREATE: Final = "create a new one with `asgi-tunnel-edge token create`"
_UNKNOWN: Final = Refusal(
    code="unknown", sentence=f"this edge does not know the token, or its secret is wrong; {_CREATE}"
)
_MALFORMED: Final = Refusal(
    code="malformed",
    sentence="the Authorization field holds no token; send `Bearer` and the whole token",
)


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All that the store has at one moment: what the hot path reads, never changed once made."""

    generation: int  #: grows with each change in the store
    tokens: Mapping[str, TokenRecord]  #: by token id
    owners: Mapping[str, TokenRecord]  #: by hostname or wildcard; no revoked tokens
    bans: tuple[BanRecord, ...] = ()  #: oldest first; some may be over
    scanner_bans: tuple[ScannerBan, ...] = ()  #: likewise
    renewals: int = 0  #: grows when somebody asks for certificates to be renewed
    maintenance: tuple[MaintenanceRecord, ...] = ()  #: the hostnames that are closed
    access: AccessRecords = _NOBODY_PASSES  #: who may pass a door

    @classmethod
    def of(  # noqa: PLR0913 - all that a store has, each by its name
        cls,
        generation: int,
        records: Iterable[TokenRecord],
        *,
        bans: Iterable[BanRecord] = (),
        scanner_bans: Iterable[ScannerBan] = (),
        renewals: int = 0,
        maintenance: Iterable[MaintenanceRecord] = (),
        access: AccessRecords = _NOBODY_PASSES,
    ) -> Self:
        """Index the records of one moment."""
        tokens = {record.id: record for record in records}
        owners = {
            hostname: record
            for record in tokens.values()
            if not record.revoked
            for hostname in record.hostnames
        }
        return cls(
            generation,
            MappingProxyType(tokens),
            MappingProxyType(owners),
            tuple(bans),
            tuple(scanner_bans),
            renewals,
            tuple(maintenance),
            access,
        )

    def authenticate(
        self, token_id: str, secret: str, *, now: float | None = None
    ) -> TokenRecord | Refusal:
        """Check one token. An unknown id and a wrong secret get the same refusal in the same time.

        Only who knows the secret, or the one before it, learns that a token has expired, was
        revoked or got another secret.

        Args:
            token_id: As the connector gave it.
            secret: As the connector gave it.
            now: Seconds since 1970; the clock's, when left out.
        """
        record = self.tokens.get(token_id, _NOBODY)
        digest = secret_digest(secret)
        is_new = hmac.compare_digest(record.secret_sha256, digest)
        is_old = hmac.compare_digest(record.old_secret_sha256 or _NO_HASH, digest)
        if not (is_new or is_old) or record is _NOBODY:
            return _UNKNOWN
        if record.revoked:
            sentence = f"token {record.name} ({record.id}) was revoked; {_CREATE}"
            return Refusal(code="revoked", sentence=sentence)
        now = time.time() if now is None else now
        if record.is_expired(now):
            assert record.expires_at is not None
            when = _written(record.expires_at)
            sentence = f"token {record.name} ({record.id}) expired on {when}; {_CREATE}"
            return Refusal(code="expired", sentence=sentence)
        if not record.takes(digest, now):
            when = _written(record.old_until or 0)
            sentence = (
                f"token {record.name} ({record.id}) has had another secret since {when}; give the "
                "app the token that `asgi-tunnel-edge token rotate` printed"
            )
            return Refusal(code="replaced", sentence=sentence)
        return record

    def authenticate_text(self, text: str, *, now: float | None = None) -> TokenRecord | Refusal:
        """Check a whole token as it came in the ``Authorization`` field, without ``Bearer``."""
        if len(text) > MAX_TOKEN_LENGTH:
            return _MALFORMED
        try:
            token = Token.parse(text, setting="Authorization")
        except ConfigError:
            return _MALFORMED
        return self.authenticate(token.id, token.secret, now=now)


def digest_of(text: str) -> str:
    """The hash of the secret in a whole token that :meth:`Snapshot.authenticate_text` has taken."""
    return secret_digest(text.rpartition(".")[2])


def new_token_id() -> str:
    """``tok_`` and 64 random bits: a name for logs, no secret."""
    return f"tok_{secrets.token_hex(8)}"


def new_secret() -> str:
    """256 random bits, url-safe. So much entropy needs no slow hash."""
    return secrets.token_urlsafe(32)


def secret_digest(secret: str) -> str:
    """The sha256 of a secret, hex: the only form that is kept."""
    return hashlib.sha256(secret.encode("utf-8", "backslashreplace")).hexdigest()


def check_name(name: str) -> str:
    """Check a token's NAME, which stands in tables, logs and, by default, in front of the domain.

    Raises:
        EdgeConfigError: It has other characters, is too long, or looks like an id.
    """
    if not _NAME.fullmatch(name):
        why = f"expected 1 to 63 of A-Z a-z 0-9 . _ -, got {shown(name)}"
        fix = "begin and end it with a letter or digit, for example shop"
        raise EdgeConfigError("NAME", why, fix)
    if name.startswith("tok_"):
        raise EdgeConfigError("NAME", "tok_ begins the ids of tokens", "write for example shop")
    return name


def check_hostname_count(name: str, hostnames: Collection[str]) -> None:
    """Check that a token's hostnames fit into the reply to its app.

    Raises:
        TooManyHostnamesError: They do not.
    """
    if len(hostnames) > MAX_HOSTNAMES or sum(map(len, hostnames)) > MAX_HOSTNAME_CHARACTERS:
        raise TooManyHostnamesError(name, MAX_HOSTNAMES, MAX_HOSTNAME_CHARACTERS)


def parse_duration(text: str, *, setting: str) -> int:
    """``90d``, ``12h`` or ``30m`` in seconds.

    Raises:
        EdgeConfigError: It is something else, nothing, or more than ten years.
    """
    match = _DURATION.fullmatch(text)
    seconds = int(match[1]) * _SECONDS[match[2]] if match else 0
    if seconds <= 0 or seconds > MAX_LIFETIME:
        why = f"expected a time of at most ten years, got {shown(text)}"
        raise EdgeConfigError(setting, why, "write for example 90d, 12h or 30m")
    return seconds


def _written(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
