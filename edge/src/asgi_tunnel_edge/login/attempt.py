"""What a browser keeps between the two steps of a passkey: signed, short-lived, used once.

The first step makes a challenge and hands it out in a cookie; the second one shows the cookie with
what the authenticator has signed. The edge keeps nothing of attempts that lead nowhere.
"""

from __future__ import annotations

import hmac
import os
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable
from typing import Final, Literal

import msgspec
from msgspec import Struct

from ..access.cookies import PREFIX, session_cookie
from .once import UsedOnce

__all__ = ["ATTEMPT_COOKIE", "Attempt", "Attempts"]

ATTEMPT_COOKIE: Final = PREFIX + b"-passkey"

LIFETIME: Final = 300
"""Seconds for both steps: time to find a key, and to type its PIN."""

MAX_USED: Final = 4096
"""Challenges that are remembered as used until they are over, 200 bytes each. Only who has a
passkey uses one up, so that nobody else can push them out."""

_CHALLENGE: Final = 32  # bytes; WebAuthn section 13.4.3 asks for 16
_MAC_LENGTH: Final = 43  # base64 of 32 bytes, without its padding
_MAX_VALUE: Final = 1024  # bytes of a cookie's value


class Attempt(Struct, frozen=True, kw_only=True, array_like=True):
    """One attempt."""

    kind: Literal["login", "new"]
    challenge: bytes
    hostname: str
    expires: int  #: seconds since 1970
    user: str = ""  #: whose passkey is made
    invitation: str = ""  #: hash of the secret of the invitation that allows it; empty: a session


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Attempt).decode


class Attempts:
    """Makes attempts and knows its own again.

    Args:
        key: 32 secret bytes, for this use only.
        now: Returns seconds since 1970.

    Attributes:
        used: Those that are over before their time.
    """

    def __init__(self, key: bytes, now: Callable[[], float]) -> None:
        self._key = key
        self._now = now
        self.used = UsedOnce("passkey", size=MAX_USED)  # challenges

    def begin(
        self, kind: Literal["login", "new"], hostname: str, *, user: str = "", invitation: str = ""
    ) -> tuple[Attempt, bytes]:
        """Return a new attempt and the Set-Cookie with it."""
        attempt = Attempt(
            kind=kind,
            challenge=os.urandom(_CHALLENGE),
            hostname=hostname,
            expires=int(self._now()) + LIFETIME,
            user=user,
            invitation=invitation,
        )
        payload = urlsafe_b64encode(_encode(attempt)).rstrip(b"=")
        value = b"%s.%s" % (payload, self._mac(payload))
        return attempt, session_cookie(value, max_age=LIFETIME, name=ATTEMPT_COOKIE)

    def read(self, value: str, kind: Literal["login", "new"], hostname: str) -> Attempt | None:
        """Return the attempt of a cookie's value.

        Returns:
            None: it is none of this edge's, for something else, over, or has been used.
        """
        data = value.encode("latin-1", "replace")
        payload, _, mac = data.rpartition(b".")
        if len(data) > _MAX_VALUE or len(mac) != _MAC_LENGTH:
            return None
        if not hmac.compare_digest(mac, self._mac(payload)):
            return None
        attempt = _decode(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        if (
            attempt.kind != kind
            or attempt.hostname != hostname
            or attempt.challenge.hex() in self.used
        ):
            return None
        return attempt if self._now() < attempt.expires else None

    def use(self, attempt: Attempt) -> bool:
        """Use an attempt up; return whether it was still there."""
        return self.used.use(attempt.challenge.hex(), attempt.expires, self._now())

    def _mac(self, payload: bytes) -> bytes:
        return urlsafe_b64encode(hmac.digest(self._key, payload, "sha256")).rstrip(b"=")
