"""The proofs that ACME asks for, and the two that the edge itself shows.

dns-01 and http-01 (RFC 8555 section 8), tls-alpn-01 (RFC 8737, for addresses RFC 8738) and
dns-persist-01 (draft-ietf-acme-dns-persist). ``HttpTokens`` and ``TlsAlpnCertificates`` are
solvers: the listeners ask them what to show. Records in the DNS are made by others.
"""

from __future__ import annotations

import asyncio
import datetime as dt
import hashlib
import ipaddress
import ssl
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from asgi_tunnel_edge.errors import AcmeError, SolverError, shown
from asgi_tunnel_edge.files import PRIVATE

from .jws import base64url
from .names import base_name, is_address

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .messages import Challenge

__all__ = [
    "ACME_TLS",
    "ACME_TLS_ONLY",
    "DNS_01",
    "DNS_PERSIST_01",
    "HTTP_01",
    "TLS_ALPN_01",
    "HttpTokens",
    "TlsAlpnCertificates",
    "dns_value",
    "key_authorization",
    "persistent_record",
    "persistent_record_fits",
    "proof",
    "proof_context",
    "tls_alpn_certificate",
]

DNS_01: Final = "dns-01"
HTTP_01: Final = "http-01"
TLS_ALPN_01: Final = "tls-alpn-01"
DNS_PERSIST_01: Final = "dns-persist-01"

ACME_TLS: Final = "acme-tls/1"
"""The ALPN protocol of tls-alpn-01."""

ACME_TLS_ONLY: Final = (ACME_TLS.encode(),)
"""What a ClientHello offers that looks for a proof: this and nothing else (RFC 8737 section 3). A
visitor must not get a proof in the place of a certificate."""

MAX_PROOFS: Final = 1000
"""Proofs that one solver shows at a time: ten orders of a hundred names."""

_ACME_IDENTIFIER: Final = x509.ObjectIdentifier("1.3.6.1.5.5.7.1.31")
_LIFETIME: Final = dt.timedelta(days=1)


def key_authorization(token: str, thumbprint: str) -> str:
    """``TOKEN.THUMBPRINT`` (RFC 8555 section 8.1)."""
    return f"{token}.{thumbprint}"


def dns_value(authorization: str) -> str:
    """The text of the TXT record at ``_acme-challenge`` (RFC 8555 section 8.4)."""
    return base64url(hashlib.sha256(authorization.encode()).digest())


def persistent_record(issuer: str, account_url: str, *, wildcard: bool) -> str:
    """The text of the TXT record at ``_validation-persist`` that an owner makes once.

    Args:
        issuer: A CA's name for itself: one of the challenge's, or of the directory's
            ``caaIdentities`` before there is a challenge.
        account_url: Of the account that may then get certificates for the name.
        wildcard: Also for wildcards and names below.
    """
    policy = "; policy=wildcard" if wildcard else ""
    return f"{issuer}; accounturi={account_url}{policy}"


def persistent_record_fits(
    text: str, *, issuers: Sequence[str], account_url: str, wildcard: bool, now: float
) -> bool:
    """Would a CA take this TXT record?

    Args:
        text: What stands in the DNS, its strings joined.
        issuers: The CA's names.
        account_url: Of this edge's account.
        wildcard: Whether a wildcard is wanted.
        now: Seconds since 1970, for ``persistUntil``.
    """
    issuer, *parts = (part.strip(" \t") for part in text.split(";"))
    found: dict[str, str] = {}
    for part in parts:
        tag, equals, value = part.partition("=")
        tag = tag.strip(" \t").lower()
        if part and (not equals or tag in found):
            return False
        found[tag] = value.strip(" \t")
    until = found.get("persistuntil")
    return (
        issuer.lower().rstrip(".") in issuers
        and found.get("accounturi") == account_url
        and (not wildcard or found.get("policy", "").lower() == "wildcard")
        and (until is None or (until.isascii() and until.isdigit() and now <= int(until[:12])))
    )


def proof(challenge: Challenge, *, thumbprint: str, account_url: str, wildcard: bool) -> str:
    """What a solver of the challenge's kind has to show.

    Raises:
        AcmeError: The challenge lacks something.
    """
    if challenge.type == DNS_PERSIST_01:
        if not challenge.issuer_domain_names:
            raise AcmeError("the CA's dns-persist-01 challenge names no issuer; use another kind")
        account = challenge.accounturi or account_url
        return persistent_record(challenge.issuer_domain_names[0], account, wildcard=wildcard)
    if not challenge.token:
        what = shown(challenge.type)
        raise AcmeError(f"the CA's challenge {what} has no token; use another kind")
    authorization = key_authorization(challenge.token, thumbprint)
    return dns_value(authorization) if challenge.type == DNS_01 else authorization


def tls_alpn_certificate(name: str, authorization: str) -> tuple[bytes, bytes]:
    """A self-signed certificate that is the proof (RFC 8737 section 3), and its key, both PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ACME challenge")])
    one: x509.GeneralName = (
        x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name)
    )
    digest = hashlib.sha256(authorization.encode()).digest()
    octets = b"\x04" + bytes([len(digest)]) + digest  # DER: OCTET STRING
    now = dt.datetime.now(dt.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _LIFETIME)
        .not_valid_after(now + _LIFETIME)
        .add_extension(x509.SubjectAlternativeName([one]), critical=False)
        .add_extension(x509.UnrecognizedExtension(_ACME_IDENTIFIER, octets), critical=True)
        .sign(key, hashes.SHA256())
    )
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    return certificate.public_bytes(serialization.Encoding.PEM), key_pem


class HttpTokens:
    """What port 80 says below ``/.well-known/acme-challenge/``: the solver of http-01."""

    kind = HTTP_01

    def __init__(self) -> None:
        self._authorizations: dict[str, str] = {}

    def lookup(self, token: str) -> str | None:
        """The body of the reply (text/plain) for a token, the last part of the path; None: 404."""
        return self._authorizations.get(token)

    async def present(self, name: str, value: str) -> None:
        """Show a key authorization.

        Raises:
            SolverError: Too many are shown already.
        """
        if len(self._authorizations) >= MAX_PROOFS:
            raise SolverError(f"{MAX_PROOFS} proofs are shown at once; it is tried again")
        self._authorizations[value.partition(".")[0]] = value

    async def clear(self, name: str, value: str) -> None:
        """Show it no longer."""
        self._authorizations.pop(value.partition(".")[0], None)


class TlsAlpnCertificates:
    """What port 443 shows to ``acme-tls/1``: the solver of tls-alpn-01, and a CertificateSource."""

    kind = TLS_ALPN_01

    def __init__(self) -> None:
        self._contexts: dict[str, tuple[str, ssl.SSLContext]] = {}

    def context(self, server_name: str | None) -> ssl.SSLContext | None:
        """The settings with the proof for a name.

        Only for a connection that offers :data:`ACME_TLS_ONLY`.

        Args:
            server_name: What the CA asks for (SNI): a hostname, or for an address its name in
                ``in-addr.arpa`` or ``ip6.arpa`` (RFC 8738 section 6).
        """
        found = self._contexts.get((server_name or "").lower())
        return None if found is None else found[1]

    async def present(self, name: str, value: str) -> None:
        """Make the certificate for a name; a newer one takes the place of an older one.

        Raises:
            SolverError: Too many are shown already, or there is no room for a temporary file.
        """
        if len(self._contexts) >= MAX_PROOFS:
            raise SolverError(f"{MAX_PROOFS} proofs are shown at once; it is tried again")
        try:
            context = await asyncio.to_thread(_make_context, name, value)
        except OSError as error:
            sentence = (
                f"the certificate for tls-alpn-01 cannot be made ({error}); "
                "look whether there is room for temporary files"
            )
            raise SolverError(sentence) from error
        self._contexts[_server_name(name)] = value, context

    async def clear(self, name: str, value: str) -> None:
        """Show it no longer."""
        found = self._contexts.get(_server_name(name))
        if found is not None and found[0] == value:
            del self._contexts[_server_name(name)]


def _server_name(name: str) -> str:
    if is_address(name):
        return ipaddress.ip_address(name).reverse_pointer
    return base_name(name)


def _make_context(name: str, authorization: str) -> ssl.SSLContext:
    return proof_context(b"".join(tls_alpn_certificate(name, authorization)))


def proof_context(pem: bytes) -> ssl.SSLContext:
    """The TLS settings that show a proof of tls-alpn-01.

    Args:
        pem: The certificate and its key.

    Raises:
        OSError: There is no room for a temporary file, or they cannot be used (ssl.SSLError).
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols([ACME_TLS])
    # OpenSSL's own reader of keys takes files only.
    with tempfile.TemporaryDirectory(prefix="asgi-tunnel-acme-") as folder:
        path = Path(folder) / "proof.pem"
        path.touch(mode=PRIVATE)
        path.write_bytes(pem)
        context.load_cert_chain(path)
    return context
