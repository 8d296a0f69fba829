"""Certificates: the edge's own, their fingerprints, and the TLS context of its listener.

An internal certificate is self-signed. A connector trusts it through the ``pin`` in its token; a
visitor's browser warns. It leaves to ``config`` where the files are and to the server when they
are read again.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
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
    from typing import NoReturn

__all__ = ["InternalCertificate", "create_internal_certificate", "fingerprint", "server_context"]

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


def server_context(certificate: Path, key: Path) -> ssl.SSLContext:
    """The TLS settings of the public listener: TLS 1.2 or later, HTTP/1.1.

    Args:
        certificate: PEM, the edge's own first, then those between it and its CA.
        key: PEM, without a passphrase.

    Raises:
        CertificateError: A file is missing, unreadable, encrypted, or they do not belong together.
    """

    def no_passphrase() -> NoReturn:
        # Without this OpenSSL asks on the terminal, where a service waits for ever.
        message = f"the key {key} has a passphrase; give a key without one"
        raise CertificateError(message)

    for path, what in ((certificate, "certificate"), (key, "key")):
        _check_readable(path, what)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, password=no_passphrase)
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            sentence = (
                f"the key {key} does not belong to the certificate {certificate}; "
                "give the two files that were issued together"
            )
        else:
            sentence = (
                f"{certificate} and {key} are not a certificate and a key in PEM form; "
                "set [tls] certificate and key to the right files"
            )
        raise CertificateError(sentence) from error
    return context


def _check_readable(path: Path, what: str) -> None:
    try:
        with path.open("rb"):
            pass
    except OSError as error:
        sentence = (
            f"the {what} {path} cannot be read ({error.strerror}); "
            f"put it there, or change [tls] {what} in edge.toml"
        )
        raise CertificateError(sentence) from error


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
