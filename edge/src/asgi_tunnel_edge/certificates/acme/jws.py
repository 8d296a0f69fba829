"""The account's key and what it signs: JSON Web Signatures as ACME wants them.

ES256 over P-256 for everything (RFC 7515, RFC 7518 section 3.4), and HS256 for the external account
binding (RFC 8555 section 7.3.4). It knows neither URLs nor nonces. Called by ``client``.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
from typing import TYPE_CHECKING, Final

import msgspec
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from asgi_tunnel_edge.errors import CertificateError

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["AccountKey", "base64url", "decode_base64url"]

_BASE64URL: Final = re.compile(r"[A-Za-z0-9_-]*").fullmatch
_COORDINATE: Final = 32  # bytes of a number of P-256


def base64url(data: bytes) -> str:
    """Base64 for URLs, without padding (RFC 7515 section 2)."""
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode("ascii")


def decode_base64url(text: str) -> bytes:
    """Read base64 for URLs, with or without padding.

    Raises:
        ValueError: It is not.
    """
    bare = text.rstrip("=")
    if not _BASE64URL(bare):
        raise ValueError("not base64url")
    try:
        return base64.urlsafe_b64decode(bare + "=" * (-len(bare) % 4))
    except binascii.Error as error:
        raise ValueError("not base64url") from error


class AccountKey:
    """The key of an account with a CA: an ECDSA key on P-256."""

    def __init__(self, private: ec.EllipticCurvePrivateKey) -> None:
        self._private = private
        numbers = private.public_key().public_numbers()
        #: The public key as a JSON Web Key, its members in the order of RFC 7638.
        self.jwk: Mapping[str, str] = {
            "crv": "P-256",
            "kty": "EC",
            "x": base64url(numbers.x.to_bytes(_COORDINATE, "big")),
            "y": base64url(numbers.y.to_bytes(_COORDINATE, "big")),
        }
        #: RFC 7638, with SHA-256: what a key authorization ends with.
        self.thumbprint = base64url(hashlib.sha256(msgspec.json.encode(self.jwk)).digest())

    @classmethod
    def generate(cls) -> AccountKey:
        """Make a new key."""
        return cls(ec.generate_private_key(ec.SECP256R1()))

    @classmethod
    def from_pem(cls, pem: bytes) -> AccountKey:
        """Read a key without a passphrase.

        Raises:
            CertificateError: It is not a P-256 key in PEM form.
        """
        try:
            private = serialization.load_pem_private_key(pem, None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise CertificateError("the key of the ACME account is not in PEM form") from error
        if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(
            private.curve, ec.SECP256R1
        ):
            raise CertificateError("the key of the ACME account is not an ECDSA key on P-256")
        return cls(private)

    def to_pem(self) -> bytes:
        """PKCS #8, not encrypted."""
        return self._private.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )

    def sign(
        self, payload: object, *, url: str, nonce: str, account_url: str | None = None
    ) -> bytes:
        """Make the body of a request (RFC 8555 section 6.2).

        Args:
            payload: What is sent as JSON; None: nothing, a POST-as-GET.
            url: Where it goes.
            nonce: The CA's, used once.
            account_url: Names the key; None: the public key itself is in the message, for the
                request that makes or finds an account.
        """
        protected: dict[str, object] = {"alg": "ES256", "nonce": nonce, "url": url}
        if account_url is None:
            protected["jwk"] = self.jwk
        else:
            protected["kid"] = account_url
        body = b"" if payload is None else msgspec.json.encode(payload)
        message = _signing_input(protected, body)
        r, s = decode_dss_signature(
            self._private.sign("{}.{}".format(*message).encode(), ec.ECDSA(hashes.SHA256()))
        )
        signature = r.to_bytes(_COORDINATE, "big") + s.to_bytes(_COORDINATE, "big")
        return msgspec.json.encode(_flattened(message, signature))

    def bind(self, *, key_id: str, mac_key: bytes, url: str) -> Mapping[str, str]:
        """Sign this key with the key that a CA gave to its customer (RFC 8555 section 7.3.4).

        Args:
            key_id: The CA's name for the customer.
            mac_key: The secret that came with it.
            url: Of the CA's newAccount.
        """
        protected = {"alg": "HS256", "kid": key_id, "url": url}
        message = _signing_input(protected, msgspec.json.encode(self.jwk))
        signature = hmac.digest(mac_key, "{}.{}".format(*message).encode(), "sha256")
        return _flattened(message, signature)


def _signing_input(protected: Mapping[str, object], body: bytes) -> tuple[str, str]:
    return base64url(msgspec.json.encode(protected)), base64url(body)


def _flattened(message: tuple[str, str], signature: bytes) -> Mapping[str, str]:
    """The flattened form of JSON (RFC 7515 section 7.2.2), the only one that ACME takes."""
    protected, payload = message
    return {"protected": protected, "payload": payload, "signature": base64url(signature)}
