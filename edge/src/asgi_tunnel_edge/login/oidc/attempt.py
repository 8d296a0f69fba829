"""One login on its way: what a browser keeps of it between the edge and the provider.

Each has a cookie of its own, so that several tabs may log in at one time. It is signed, lives for
ten minutes, and is good once: what comes back without it, or twice, is refused.
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Iterable
from typing import Final

import msgspec
from msgspec import Struct

from ...access.cookies import PREFIX
from ..once import UsedOnce

__all__ = ["Attempt", "AttemptSigner", "UsedStates", "cookie_name", "login_cookie", "new_attempt"]

LIFETIME: Final = 600
"""Seconds from the button to the way back: a person may have to find a second factor first."""

MAX_ATTEMPTS: Final = 4
"""Logins of one browser and hostname at one time: more cookies would fill its request heads."""

MAX_USED: Final = 10_000
"""States that are remembered as used, 1 MB; the provider's codes are good once as well."""

COOKIE: Final = PREFIX + b"-login-"
"""What the names of the cookies begin with; a digest of the state follows."""

_MAX_VALUE: Final = 4000  # bytes: browsers keep 4096 of a cookie
_VERSION: Final = b"1."
_ATTRIBUTES: Final = b"; Path=/; Secure; HttpOnly; SameSite=Lax"


class Attempt(Struct, frozen=True, kw_only=True, array_like=True):
    """One login on its way."""

    state: str  #: what the provider sends back
    nonce: str  #: what its ID token has to hold
    verifier: str  #: of PKCE (RFC 7636)
    provider: str
    hostname: str
    origin: str  #: where it began: scheme, host and port
    target: str  #: what it leads back to
    began: int  #: seconds since 1970

    @property
    def challenge(self) -> str:
        """What the provider hears of the verifier: its digest (RFC 7636 section 4.2)."""
        digest = hashlib.sha256(self.verifier.encode()).digest()
        return urlsafe_b64encode(digest).rstrip(b"=").decode()


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Attempt).decode


class AttemptSigner:
    """Makes and reads values of the cookies.

    Args:
        key: 32 secret bytes, for this use only.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, attempt: Attempt) -> bytes:
        """Return the value for a login."""
        payload = urlsafe_b64encode(_encode(attempt)).rstrip(b"=")
        signed = _VERSION + payload
        return b"%s.%s" % (signed, self._mac(signed))

    def read(self, value: bytes, now: float) -> Attempt | None:
        """Return what a value says; None: this edge did not make it, or it is too old.

        Args:
            value: Of a cookie.
            now: Seconds since 1970.
        """
        if len(value) > _MAX_VALUE or not value.startswith(_VERSION):
            return None
        signed, _, mac = value.rpartition(b".")
        if not hmac.compare_digest(mac, self._mac(signed)):
            return None
        payload = signed[len(_VERSION) :]
        try:
            attempt = _decode(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        except (ValueError, msgspec.DecodeError):
            return None
        return attempt if now < attempt.began + LIFETIME else None

    def _mac(self, signed: bytes) -> bytes:
        return urlsafe_b64encode(hmac.digest(self._key, signed, "sha256")).rstrip(b"=")


class UsedStates:
    """Remembers which logins have come back, for as long as their cookies live."""

    def __init__(self) -> None:
        self.used = UsedOnce("oidc", size=MAX_USED)

    def use(self, attempt: Attempt, now: float) -> bool:
        """Take a login; return whether it is the first time.

        Args:
            attempt: Of a cookie.
            now: Seconds since 1970.
        """
        return self.used.use(attempt.state, now + LIFETIME, now)


def new_attempt(*, provider: str, hostname: str, origin: str, target: str, now: float) -> Attempt:
    """Begin a login, with random values that nobody has used before.

    Args:
        provider: Its name in ``edge.toml``.
        hostname: Where the login is.
        origin: The same as browsers write it.
        target: What it leads back to.
        now: Seconds since 1970.
    """
    return Attempt(
        state=secrets.token_urlsafe(24),
        nonce=secrets.token_urlsafe(24),
        verifier=secrets.token_urlsafe(32),
        provider=provider,
        hostname=hostname,
        origin=origin,
        target=target,
        began=int(now),
    )


def cookie_name(state: str) -> bytes:
    """Return the name of the cookie of a login."""
    return COOKIE + hashlib.sha256(state.encode("utf-8", "replace")).hexdigest()[:12].encode()


def login_cookie(attempt: Attempt, value: bytes) -> bytes:
    """Return the Set-Cookie of a login that begins."""
    return b"%s=%s; Max-Age=%d%s" % (cookie_name(attempt.state), value, LIFETIME, _ATTRIBUTES)


def surplus(names: Iterable[str]) -> list[bytes]:
    """Return the names of a browser's cookies that have to go before another login begins.

    Args:
        names: Of all the cookies of its request, the oldest first, as browsers send them.
    """
    prefix = COOKIE.decode()
    found = [name.encode("latin-1", "replace") for name in names if name.startswith(prefix)]
    return found[: max(0, len(found) - MAX_ATTEMPTS + 1)]
