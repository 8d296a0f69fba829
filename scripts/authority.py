"""A CA of a script's or a test's own: who trusts its root checks certificates as a browser does.

Used by ``scan.py``, the benchmark's systems with TLS, and tests that change certificates.
"""

from __future__ import annotations

import datetime as dt
import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

__all__ = ["Authority", "Files"]

_LIFETIME: Final = dt.timedelta(days=90)  # what public CAs give
_BEFORE: Final = dt.timedelta(hours=1)

_Key = ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey


@dataclass(frozen=True, slots=True)
class Files:
    """A certificate and its key, both PEM; the root is not among the certificates."""

    certificate: Path
    key: Path


class Authority:
    """One root, ECDSA P-256.

    Args:
        folder: Gets ``root.pem``, and what :meth:`issue` writes.

    Attributes:
        root: The root's PEM file, for whoever is to trust it.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "asgi-tunnel test CA")])
        usage = _usage(signs_certificates=True)
        basic = x509.BasicConstraints(ca=True, path_length=0)
        self._certificate = (
            self._builder(self._name, self._key)
            .add_extension(basic, critical=True)
            .add_extension(usage, critical=True)
            .sign(self._key, hashes.SHA256())
        )
        self.root = folder / "root.pem"
        self.root.write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def issue(self, file: str, names: Sequence[str], *, is_rsa: bool = False) -> Files:
        """Write a certificate and its key.

        Args:
            file: Name of the two files, before ``.pem`` and ``-key.pem``.
            names: Hostnames, and addresses as text.
            is_rsa: RSA of 2048 bits in the place of ECDSA P-256.
        """
        key: _Key = ec.generate_private_key(ec.SECP256R1())
        if is_rsa:
            key = rsa.generate_private_key(65537, 2048)
        alternative = x509.SubjectAlternativeName([_general_name(name) for name in names])
        point = x509.DistributionPoint(
            [x509.UniformResourceIdentifier("http://ca.example.test/crl")], None, None, None
        )
        server = x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH])
        certificate = (
            self._builder(x509.Name([]), key)
            .add_extension(alternative, critical=True)  # as there is no subject
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(server, critical=False)
            .add_extension(x509.CRLDistributionPoints([point]), critical=False)
            .sign(self._key, hashes.SHA256())
        )
        files = Files(self._folder / f"{file}.pem", self._folder / f"{file}-key.pem")
        files.certificate.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        files.key.write_bytes(
            key.private_bytes(
                serialization.Encoding.PEM,
                serialization.PrivateFormat.PKCS8,
                serialization.NoEncryption(),
            )
        )
        return files

    def _builder(self, subject: x509.Name, key: _Key) -> x509.CertificateBuilder:
        now, public = dt.datetime.now(dt.UTC), self._key.public_key()
        return (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self._name)
            .public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - _BEFORE)
            .not_valid_after(now - _BEFORE + _LIFETIME)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
        )


def _general_name(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=True,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        encipher_only=False,
        decipher_only=False,
    )
