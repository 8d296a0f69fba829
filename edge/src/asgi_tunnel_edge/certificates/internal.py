"""Makes the edge's own certificate, and computes the fingerprint of any.

An internal certificate is self-signed. A connector trusts it through the ``pin`` in its token; a
visitor's browser warns. The next one is made ahead, so that apps hear of it before it is shown. It
leaves to ``settings`` where the files are, and to ``files`` to load them. Called by the commands
``init``, ``token create``, ``cert renew`` and ``remake``, and by ``shown``.
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

__all__ = [
    "InternalCertificate",
    "create_internal_certificate",
    "create_next_certificate",
    "fingerprint",
    "next_certificate",
    "show_next_certificate",
]

#: Ten years: every token pins it, and an app that was away while it changed twice needs a new one.
_LIFETIME: Final = dt.timedelta(days=3650)
#: Into the past, for machines at home whose clock is behind.
_CLOCK_DIFFERENCE: Final = dt.timedelta(days=1)


@dataclass(frozen=True, slots=True, kw_only=True)
class InternalCertificate:
    """Where a certificate and its key are."""

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
    directory.mkdir(mode=PRIVATE_DIRECTORY, parents=True, exist_ok=True)
    files = InternalCertificate(
        certificate=directory / "certificate.pem", key=directory / "key.pem"
    )
    _create(domain, files)
    return files


def next_certificate(files: InternalCertificate) -> InternalCertificate:
    """Where the one is that is made ahead: beside the one that is shown."""
    return InternalCertificate(
        certificate=files.certificate.with_name(f"next-{files.certificate.name}"),
        key=files.key.with_name(f"next-{files.key.name}"),
    )


def create_next_certificate(domain: str, files: InternalCertificate) -> bool:
    """Make the next certificate ahead, unless there is one that can be used.

    Args:
        domain: A normal hostname.
        files: The one that is shown.

    Returns:
        Whether it is new.

    Raises:
        OSError: The directory cannot be written.
    """
    coming = next_certificate(files)
    pair = _read(coming)
    # The same as the one that is shown: a change was cut short before its last step.
    if pair is not None and pair[0] != files.certificate.read_bytes():
        return False
    _create(domain, coming)
    return True


def show_next_certificate(domain: str, files: InternalCertificate) -> None:
    """Put the next certificate in the place of the one that is shown, and make another next one.

    May be repeated when it was cut short: nothing is lost on the way, and it goes on from there.

    Args:
        domain: A normal hostname.
        files: The one that is shown.

    Raises:
        CertificateError: There is no next one that can be used.
        OSError: A file cannot be read or written.
    """
    coming = next_certificate(files)
    pair = _read(coming)
    if pair is None:
        sentence = f"{coming.certificate} and {coming.key} are no certificate and key; try again"
        raise CertificateError(sentence)
    certificate, key = pair
    # A running edge reads a pair that belongs together, and before the next one has changed.
    write_atomically(files.key, key, mode=PRIVATE)
    write_atomically(files.certificate, certificate, mode=0o644)
    _create(domain, coming)


def _create(domain: str, files: InternalCertificate) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = _self_signed(domain, key)
    key_pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    write_atomically(files.key, key_pem, mode=PRIVATE)
    write_atomically(
        files.certificate, certificate.public_bytes(serialization.Encoding.PEM), mode=0o644
    )


def _read(files: InternalCertificate) -> tuple[bytes, bytes] | None:
    """Return certificate and key; None where they are no pair."""
    try:
        certificate, key = files.certificate.read_bytes(), files.key.read_bytes()
        shown = x509.load_pem_x509_certificate(certificate).public_key()
        is_pair = serialization.load_pem_private_key(key, None).public_key() == shown
    except (OSError, ValueError, TypeError):
        return None
    return (certificate, key) if is_pair else None


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
