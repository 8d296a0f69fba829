"""What a session's cookie holds, and how an edge knows that it is its own.

Signed, not stored: each process of an edge reads it at once, also one that has just started. That
a session was ended, or its user removed, stands in the store and comes with the next snapshot.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from typing import Final

import msgspec
from msgspec import Struct

from .identity import Method

__all__ = ["MAX_COOKIE", "Claims", "SessionSigner"]

MAX_COOKIE: Final = 3072
"""Bytes of a value. Browsers keep 4096 of a cookie with its name and attributes."""

MAX_GROUPS: Final = 32
"""Groups of a provider that are kept; one may name hundreds, and nobody's door asks for all."""

_VERSION: Final = b"1."
_MAC_LENGTH: Final = 43  # base64 of 32 bytes, without its padding


class Claims(Struct, frozen=True, kw_only=True, array_like=True):
    """One session. A new field comes last, with a default: sessions outlive a version."""

    id: str
    hostname: str  #: the only one that it holds for
    method: Method
    since: int  #: seconds since 1970
    expires: int  #: likewise
    epoch: int  #: of the edge, when it began
    user: str | None = None  #: of this edge
    user_epoch: int = 0  #: of that user, when it began
    provider: str | None = None  #: who vouches for anybody else
    subject: str = ""  #: as the provider names them
    name: str = ""
    email: str = ""
    groups: tuple[str, ...] = ()
    link: str | None = None  #: the id of a share link
    issuer: str = ""  #: which provider that was, where its table names another one later


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Claims).decode


class SessionSigner:
    """Makes and reads values of the session's cookie.

    Args:
        key: 32 secret bytes, for this use only.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, claims: Claims) -> bytes:
        """Return the value for a session.

        Raises:
            ValueError: It would be longer than ``MAX_COOKIE``.
        """
        payload = urlsafe_b64encode(_encode(claims)).rstrip(b"=")
        signed = _VERSION + payload
        value = b"%s.%s" % (signed, self._mac(signed))
        if len(value) > MAX_COOKIE:
            raise ValueError(f"a session of {len(value)} bytes exceeds {MAX_COOKIE} bytes")
        return value

    def read(self, value: bytes) -> Claims | None:
        """Return what a value says; None: this edge did not make it.

        Whether the session is over is left to the caller.
        """
        if len(value) > MAX_COOKIE or not value.startswith(_VERSION):
            return None
        signed, _, mac = value.rpartition(b".")
        if len(mac) != _MAC_LENGTH or not hmac.compare_digest(mac, self._mac(signed)):
            return None
        payload = signed[len(_VERSION) :]
        try:
            return _decode(urlsafe_b64decode(payload + b"=" * (-len(payload) % 4)))
        except (ValueError, msgspec.DecodeError):
            return None

    def _mac(self, signed: bytes) -> bytes:
        return urlsafe_b64encode(hmac.digest(self._key, signed, "sha256")).rstrip(b"=")
