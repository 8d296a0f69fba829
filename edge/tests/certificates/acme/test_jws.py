from __future__ import annotations

import base64
import hashlib
import hmac
import json

import pytest
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.hazmat.primitives.asymmetric.utils import encode_dss_signature

from asgi_tunnel_edge.certificates.acme.jws import AccountKey, base64url, decode_base64url
from asgi_tunnel_edge.errors import CertificateError


def numbers(text: str) -> int:
    """A coordinate of a JWK."""
    return int.from_bytes(decode_base64url(text), "big")


def test_signature() -> None:
    """The body is a flattened JWS: kid, nonce and url are signed, the signature is r and s."""
    key = AccountKey.generate()
    message = json.loads(key.sign({"a": 1}, url="https://ca.test/x", nonce="n", account_url="k"))
    protected = json.loads(decode_base64url(message["protected"]))
    assert protected == {"alg": "ES256", "nonce": "n", "url": "https://ca.test/x", "kid": "k"}
    assert json.loads(decode_base64url(message["payload"])) == {"a": 1}
    raw = decode_base64url(message["signature"])
    assert len(raw) == 64
    public = ec.EllipticCurvePublicNumbers(
        numbers(key.jwk["x"]), numbers(key.jwk["y"]), ec.SECP256R1()
    ).public_key()
    signed = f"{message['protected']}.{message['payload']}".encode()
    signature = encode_dss_signature(
        int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    )
    public.verify(signature, signed, ec.ECDSA(hashes.SHA256()))


def test_post_as_get_is_empty() -> None:
    """A POST-as-GET signs nothing, not an empty object; without an account the key is in it."""
    key = AccountKey.generate()
    message = json.loads(key.sign(None, url="https://ca.test/x", nonce="n"))
    assert message["payload"] == ""
    assert json.loads(decode_base64url(message["protected"]))["jwk"] == dict(key.jwk)


def test_thumbprint() -> None:
    """RFC 7638: the members in their order, without white space."""
    key = AccountKey.generate()
    text = json.dumps(dict(key.jwk), sort_keys=True, separators=(",", ":"))
    assert key.thumbprint == base64url(hashlib.sha256(text.encode()).digest())


def test_binding() -> None:
    """RFC 8555 section 7.3.4: the public key, signed with the secret of the CA."""
    key = AccountKey.generate()
    bound = key.bind(key_id="kid-1", mac_key=b"secret", url="https://ca.test/new")
    protected = json.loads(decode_base64url(bound["protected"]))
    assert protected == {"alg": "HS256", "kid": "kid-1", "url": "https://ca.test/new"}
    assert json.loads(decode_base64url(bound["payload"])) == dict(key.jwk)
    signed = f"{bound['protected']}.{bound['payload']}".encode()
    assert decode_base64url(bound["signature"]) == hmac.digest(b"secret", signed, "sha256")


def test_pem() -> None:
    """A key survives its file; a leading zero of a coordinate stays."""
    for _ in range(50):
        key = AccountKey.generate()
        twin = AccountKey.from_pem(key.to_pem())
        assert twin.thumbprint == key.thumbprint
        assert len(decode_base64url(key.jwk["x"])) == 32


def test_pem_of_something_else() -> None:
    """What is no P-256 key is refused in one sentence."""
    other = rsa.generate_private_key(65537, 2048).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    for pem in (b"", b"-----BEGIN PRIVATE KEY-----", other):
        with pytest.raises(CertificateError):
            AccountKey.from_pem(pem)


@pytest.mark.parametrize("text", ["a+b/", "ä", "a", "a b c d"])
def test_base64_of_another_kind(text: str) -> None:
    """Only base64 for URLs is read, padded or not."""
    with pytest.raises(ValueError, match="base64url"):
        decode_base64url(text)
    data = base64.urlsafe_b64encode(b"\xff\xfe").decode()
    assert decode_base64url(data) == decode_base64url(data.rstrip("=")) == b"\xff\xfe"
