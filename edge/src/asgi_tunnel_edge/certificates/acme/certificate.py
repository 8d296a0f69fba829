"""The key, the request and the check of a certificate, and its ARI id. Pure."""

from __future__ import annotations

import ipaddress
import itertools
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from asgi_tunnel_edge.errors import CertificateError

from .jws import base64url
from .names import is_address
from .problems import name_list, time_text

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CheckedCertificate", "certificate_request", "check_certificate", "new_key"]

CLOCK_DIFFERENCE: Final = 3600.0
"""Seconds that a CA's clock may be ahead of this machine's."""

_MAX_CHAIN: Final = 10
"""Certificates in a chain: public ones have 2 to 4, and each is sent in each handshake."""


@dataclass(frozen=True, slots=True, kw_only=True)
class CheckedCertificate:
    """What a certificate says that was looked at. Times are seconds since 1970."""

    not_before: float
    not_after: float
    ari_id: str | None  #: RFC 9773 section 4.1; None: it does not name its issuer's key
    serial: str  #: hexadecimal, as `openssl x509 -serial` has it
    issuer: str  #: the issuer's name, for people


def new_key() -> bytes:
    """A new ECDSA key on P-256, PEM (PKCS #8), not encrypted."""
    return ec.generate_private_key(ec.SECP256R1()).private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )


def certificate_request(names: Sequence[str], key_pem: bytes) -> bytes:
    """A certificate request (DER) with an empty subject: the names are the SAN."""
    alternative = x509.SubjectAlternativeName(
        [
            x509.IPAddress(ipaddress.ip_address(name)) if is_address(name) else x509.DNSName(name)
            for name in names
        ]
    )
    request = (
        x509.CertificateSigningRequestBuilder()
        .subject_name(x509.Name([]))
        .add_extension(alternative, critical=False)
        .sign(_load_key(key_pem), hashes.SHA256())
    )
    return request.public_bytes(serialization.Encoding.DER)


def check_certificate(
    names: Sequence[str], chain_pem: bytes, key_pem: bytes, *, now: float
) -> CheckedCertificate:
    """Look whether a certificate can be used: its key, names, times and chain fit.

    Whether visitors trust its CA is not looked at: that is what the owner chose the CA for.

    Args:
        names: In their one form.
        chain_pem: PEM, the certificate first, each signed by the next.
        key_pem: Its key.
        now: Seconds since 1970.

    Raises:
        CertificateError: It cannot be used, in one sentence.
    """
    whose = f"the certificate for {name_list(names)}"
    try:
        chain = x509.load_pem_x509_certificates(chain_pem)
        has = _names(chain[0])
        same_key = chain[0].public_key() == _load_key(key_pem).public_key()
        begin, end = chain[0].not_valid_before_utc, chain[0].not_valid_after_utc
    except (ValueError, x509.DuplicateExtension, UnsupportedAlgorithm) as error:
        raise CertificateError(f"{whose} cannot be read ({error}); order it again") from error
    if not same_key:
        raise CertificateError(f"{whose} is for another key; order it again")
    if missing := sorted(set(names) - has):
        raise CertificateError(f"{whose} is not for {name_list(missing)}; order it again")
    if now < begin.timestamp() - CLOCK_DIFFERENCE:
        sentence = (
            f"{whose} is not valid before {time_text(begin.timestamp())}; set this machine's clock"
        )
        raise CertificateError(sentence)
    if now >= end.timestamp():
        raise CertificateError(f"{whose} expired on {time_text(end.timestamp())}; order it again")
    if len(chain) > _MAX_CHAIN or not _is_chain(chain):
        raise CertificateError(
            f"{whose} comes with other certificates than its issuers'; order it again"
        )
    return CheckedCertificate(
        not_before=begin.timestamp(),
        not_after=end.timestamp(),
        ari_id=_ari_id(chain[0]),
        serial=f"{chain[0].serial_number:x}",
        issuer=chain[0].issuer.rfc4514_string()[:200],
    )


def _ari_id(certificate: x509.Certificate) -> str | None:
    """The issuer's key identifier, a dot, the serial number as in DER (RFC 9773 section 4.1)."""
    try:
        issuer = certificate.extensions.get_extension_for_class(x509.AuthorityKeyIdentifier).value
    except (x509.ExtensionNotFound, ValueError):
        return None
    if issuer.key_identifier is None:
        return None
    serial = certificate.serial_number
    # One bit more than the number has: the sign of a DER integer.
    raw = serial.to_bytes(serial.bit_length() // 8 + 1, "big")
    return f"{base64url(issuer.key_identifier)}.{base64url(raw)}"


def _is_chain(chain: Sequence[x509.Certificate]) -> bool:
    try:
        for certificate, issuer in itertools.pairwise(chain):
            certificate.verify_directly_issued_by(issuer)
    except (ValueError, TypeError, InvalidSignature, UnsupportedAlgorithm):
        return False
    return True


def _names(certificate: x509.Certificate) -> set[str]:
    try:
        found = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return set()
    names = {name.lower() for name in found.get_values_for_type(x509.DNSName)}
    return names | {str(one) for one in found.get_values_for_type(x509.IPAddress)}


def _load_key(pem: bytes) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(pem, None)
    if not isinstance(key, ec.EllipticCurvePrivateKey):
        raise ValueError("not an ECDSA key")
    return key
