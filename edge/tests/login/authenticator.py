"""What a browser and its authenticator make of a challenge, in software."""

from __future__ import annotations

import hashlib
import os
from typing import Any

from cryptography.hazmat.primitives.asymmetric.ec import (
    ECDSA,
    SECP256R1,
    EllipticCurvePrivateKey,
    generate_private_key,
)
from cryptography.hazmat.primitives.hashes import SHA256
from fido2.cose import ES256, CoseKey
from fido2.utils import websafe_decode, websafe_encode
from fido2.webauthn import (
    Aaguid,
    AttestationObject,
    AttestedCredentialData,
    AuthenticatorData,
    CollectedClientData,
)

__all__ = ["VERIFIED", "Authenticator", "Key"]

_FLAG = AuthenticatorData.FLAG
VERIFIED = _FLAG.UP | _FLAG.UV


class Key:
    """One passkey."""

    def __init__(self, handle: bytes = b"") -> None:
        self.id = os.urandom(16)
        self.private: EllipticCurvePrivateKey = generate_private_key(SECP256R1())
        self.handle = handle
        self.count = 0

    @property
    def public(self) -> CoseKey:
        """In COSE."""
        key: CoseKey = ES256.from_cryptography_key(self.private.public_key())  # type: ignore[no-untyped-call]
        return key


class Authenticator:
    """See the module.

    Args:
        origin: Of the page that asks.
        hostname: That the authenticator is told of: the relying party.
    """

    def __init__(self, origin: str, hostname: str) -> None:
        self.origin = origin
        self.hostname = hostname

    def make(self, options: Any, **more: Any) -> tuple[Key, dict[str, Any]]:
        """Make a passkey; return it and what the script sends."""
        key = more.pop("key", None) or Key(websafe_decode(options["user"]["id"]))
        public = more.pop("public", key.public)
        credential = AttestedCredentialData.create(Aaguid.NONE, key.id, public)
        flags = more.pop("flags", VERIFIED) | _FLAG.AT
        data = AuthenticatorData.create(self._hash(), flags, key.count, credential)
        client = self._client("webauthn.create", options, **more)
        attestation = AttestationObject.create("none", data, {})
        response = {
            "clientDataJSON": websafe_encode(client),
            "attestationObject": websafe_encode(attestation),
        }
        return key, _credential(key, response)

    def use(self, options: Any, key: Key, **more: Any) -> dict[str, Any]:
        """Sign a challenge; return what the script sends."""
        flags = more.pop("flags", VERIFIED)
        handle = more.pop("handle", key.handle)
        data = AuthenticatorData.create(self._hash(), flags, key.count)
        client = self._client("webauthn.get", options, **more)
        signature = key.private.sign(data + client.hash, ECDSA(SHA256()))
        response = {
            "clientDataJSON": websafe_encode(client),
            "authenticatorData": websafe_encode(data),
            "signature": websafe_encode(signature),
            "userHandle": websafe_encode(handle),
        }
        return _credential(key, response)

    def _hash(self) -> bytes:
        return hashlib.sha256(self.hostname.encode()).digest()

    def _client(self, kind: str, options: Any, **more: Any) -> CollectedClientData:
        values = {"challenge": options["challenge"], "origin": self.origin, **more}
        return CollectedClientData.create(
            kind, values.pop("challenge"), values.pop("origin"), **values
        )


def _credential(key: Key, response: dict[str, Any]) -> dict[str, Any]:
    name = websafe_encode(key.id)
    return {"id": name, "rawId": name, "type": "public-key", "response": response}
