"""Registered clients (RFC 7591): signed, not stored.

Anybody may register, so a table of clients could be filled by anybody. A client's id holds what it
registered, and the edge's signature: nothing is kept, and there is nothing to fill.
"""

from __future__ import annotations

import hmac
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec import Struct

from .redirect import is_redirect

__all__ = ["Client", "ClientSigner", "RegistrationError", "read_registration"]

MAX_REDIRECTS: Final = 4
"""Redirect URIs of one client: its id holds them, and travels in the URL of a login."""

MAX_CLIENT_ID: Final = 900
"""Bytes of a client's id: the URL that a login leads back to has room for 2000."""

MAX_NAME: Final = 60
"""Characters of a client's name that are shown."""

_PREFIX: Final = "c1."
_MAC_LENGTH: Final = 22  # base64 of 16 bytes, without its padding


class Client(Struct, frozen=True, array_like=True):
    """What a client registered. A new field comes last, with a default."""

    hostname: str  #: the only one where it may ask
    name: str  #: as it calls itself: nobody has checked that
    redirects: tuple[str, ...]


class RegistrationError(Exception):
    """A registration that is refused.

    Attributes:
        code: Of RFC 7591 section 3.2.2.
    """

    def __init__(self, code: str, why: str) -> None:
        super().__init__(why)
        self.code = code


class ClientSigner:
    """Makes and reads ids of clients.

    Args:
        key: 32 secret bytes, for this use only.
    """

    __slots__ = ("_key",)

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, client: Client) -> str:
        """Return a client's id.

        Raises:
            RegistrationError: It would be too long.
        """
        payload = _text(msgspec.msgpack.encode(client))
        client_id = f"{_PREFIX}{payload}.{self._mac(payload)}"
        if len(client_id) > MAX_CLIENT_ID:
            raise RegistrationError(
                "invalid_client_metadata", "name and redirect_uris are too long"
            )
        return client_id

    def read(self, client_id: str) -> Client | None:
        """Return what a client registered; None: this edge has not signed it."""
        if len(client_id) > MAX_CLIENT_ID or not client_id.startswith(_PREFIX):
            return None
        payload, _, mac = client_id.removeprefix(_PREFIX).rpartition(".")
        if len(mac) != _MAC_LENGTH or not client_id.isascii():
            return None
        if not hmac.compare_digest(mac, self._mac(payload)):
            return None
        try:
            packed = urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
            return msgspec.msgpack.decode(packed, type=Client)
        except (ValueError, msgspec.DecodeError):
            return None

    def _mac(self, payload: str) -> str:
        return _text(hmac.digest(self._key, payload.encode(), "sha256")[:16])


def read_registration(given: object, hostname: str) -> Client:
    """Read a registration; what it asks beyond name and redirect URIs has one value here.

    Args:
        given: The body, as JSON.
        hostname: Where the client registers.

    Raises:
        RegistrationError: It cannot be used.
    """
    if not isinstance(given, Mapping):
        raise RegistrationError("invalid_client_metadata", "the body has to be a JSON object")
    table: Mapping[str, Any] = given
    uris = table.get("redirect_uris")
    if not isinstance(uris, list) or not 0 < len(uris) <= MAX_REDIRECTS:
        why = f"redirect_uris has to be a list of 1 to {MAX_REDIRECTS}"
        raise RegistrationError("invalid_redirect_uri", why)
    for uri in uris:
        if not isinstance(uri, str) or not is_redirect(uri):
            why = "a redirect URI has to be https, or http to 127.0.0.1, [::1] or localhost"
            raise RegistrationError("invalid_redirect_uri", why)
    name = table.get("client_name")
    shown = "".join(one for one in name if one.isprintable()) if isinstance(name, str) else ""
    return Client(hostname, shown[:MAX_NAME], tuple(uris))


def _text(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()
