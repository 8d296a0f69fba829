"""Makes the edge's own certificate, and computes the fingerprint of any.

An internal certificate is self-signed. A connector trusts it through the ``pin`` in its token; a
visitor's browser warns. It leaves to ``settings`` where the files are, and to ``files`` to load
them. Called by the commands ``init`` and ``token create``.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from ..errors import CertificateError
from ..files import PRIVATE, PRIVATE_DIRECTORY, write_atomically

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["InternalCertificate", "create_internal_certificate", "fingerprint"]

#: Ten years: every token pins it, so that a renewal means new tokens.
_LIFETIME: Final = dt.timedelta(days=3650)
#: Into the past, for machines at home whose clock is behind.
_CLOCK_DIFFERENCE: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalCertificate:
    """Where a new certificate and its key were written."""

    certificate: Path
    key: Path


def create_internal_certificate(domain: str, directory: Path) -> InternalCertificate:
    """Make a self-signed certificate for a domain, one level below it, and this machine.

    Args:
        domain: A normal hostname.
        directory: Gets ``certificate.pem`` and ``key.pem`` (mode 0600); made when missing.

    Raises:
        OSError: The directory cannot be written.
    """
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(domain, key)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    files = InternalCertificate(
        certificate=directory / "certificate.pem", key=directory / "key.pem"
    )
    write_atomically(files.key, key_pem, mode=PRIVATE)
    write_atomically(
        files.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644
    )
    return files


def fingerprint(cert_pem: bytes) -> str:
    """The pin of a certificate: ``sha256:<hex>`` of its DER form.

    Args:
        cert_pem: One or more PEM certificates; the first is the edge's.

    Raises:
        CertificateError: There is no certificate in it.
    """
    try:
        certificate = x509.load_pem_x509_certificate(cert_pem)
    except ValueError as error:
        sentence = "the certificate is not in PEM form; give a file with BEGIN CERTIFICATE in it"
        raise CertificateError(sentence) from error
    return "sha256:" + certificate.fingerprint(hashes.SHA256()).hex()


def _self_signed(domain: str, key: ec.EllipticCurvePrivateKey) -> x509.Certificate:
    # The common name is bounded to 64 characters and no verifier reads it: the names are the SAN.
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "asgi-tunnel edge")])
    hostnames = dict.fromkeys([domain, f"*.{domain}", "localhost"])
    addresses = ["127.0.0.1", "::1"]
    alternative = x509.SubjectAlternativeName(
        [x509.DNSName(hostname) for hostname in hostnames]
        + [x509.IPAddress(ipaddress.ip_address(address)) for address in addresses]
    )
    now = dt.datetime.now(dt.UTC)
    public = key.public_key()
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=False,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(public)
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_DIFFERENCE)
        .not_valid_after(now + _LIFETIME)
        .add_extension(alternative, critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH]), critical=False)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(public), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), critical=False)
        .sign(key, hashes.SHA256())
    )
