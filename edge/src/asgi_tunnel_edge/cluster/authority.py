"""The cluster's own certificate authority: makes itself, and the certificates of edges.

Certificates last as long as the authority. Whoever can read an edge's files can read the key of the
authority as well, so short lifetimes would only let an edge fall out of the cluster by a clock or a
forgotten renewal; ``cluster init --new-authority`` makes all of them new.
"""

from __future__ import annotations

import datetime as dt
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID
from msgspec import Struct

from ..errors import CertificateError

__all__ = ["Authority", "NodeIdentity", "edge_name", "server_name"]

_LIFETIME: Final = dt.timedelta(days=3650)
#: Into the past, for machines whose clock is behind.
_CLOCK_DIFFERENCE: Final = dt.timedelta(days=1)
#: ICANN keeps ``internal`` out of the DNS, for private use.
_SUFFIX: Final = ".edge.asgi-tunnel.internal"


class NodeIdentity(Struct, frozen=True, kw_only=True):
    """What one edge shows the others, and trusts. All are PEM."""

    authority: bytes
    certificate: bytes
    key: bytes


class Authority(Struct, frozen=True, kw_only=True):
    """A certificate and its key, both PEM."""

    certificate: bytes
    key: bytes

    @classmethod
    def create(cls) -> Authority:
        """Make a new one."""
        key = ec.generate_private_key(ec.SECP256R1())
        name = _name("asgi-tunnel cluster")
        builder = (
            _builder(name, name, key, until=dt.datetime.now(dt.UTC) + _LIFETIME)
            .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
            .add_extension(_usage(signs_certificates=True), critical=True)
        )
        return cls(certificate=_pem(builder.sign(key, hashes.SHA256())), key=_key_pem(key))

    def issue(self, edge: str) -> NodeIdentity:
        """Make key and certificate of an edge.

        Args:
            edge: Its name, ``node`` of ``edge.toml``.

        Raises:
            CertificateError: Certificate or key of this authority cannot be used.
        """
        try:
            authority = x509.load_pem_x509_certificate(self.certificate)
            signing = serialization.load_pem_private_key(self.key, None)
        except (ValueError, TypeError) as error:
            sentence = "the cluster's authority cannot be read; make it again by `cluster init`"
            raise CertificateError(sentence) from error
        assert isinstance(signing, ec.EllipticCurvePrivateKey)
        key = ec.generate_private_key(ec.SECP256R1())
        both = [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
        builder = (
            _builder(_name(edge), authority.subject, key, until=authority.not_valid_after_utc)
            .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
            .add_extension(_usage(signs_certificates=False), critical=True)
            .add_extension(x509.ExtendedKeyUsage(both), critical=False)
            .add_extension(
                x509.SubjectAlternativeName([x509.DNSName(server_name(edge))]), critical=False
            )
            .add_extension(
                x509.AuthorityKeyIdentifier.from_issuer_public_key(signing.public_key()),
                critical=False,
            )
        )
        return NodeIdentity(
            authority=self.certificate,
            certificate=_pem(builder.sign(signing, hashes.SHA256())),
            key=_key_pem(key),
        )


def server_name(edge: str) -> str:
    """Return the name for which an edge's certificate stands."""
    return f"{edge}{_SUFFIX}"


def edge_name(certificate: bytes) -> str:
    """Return which edge a certificate names, which OpenSSL has checked already.

    Args:
        certificate: DER.

    Raises:
        CertificateError: It names none.
    """
    try:
        found = x509.load_der_x509_certificate(certificate)
        names = found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        (name,) = names.get_values_for_type(x509.DNSName)
        if not name.endswith(_SUFFIX):
            raise ValueError
    except (ValueError, x509.ExtensionNotFound) as error:
        raise CertificateError("the certificate is not one of an edge of this cluster") from error
    return name.removesuffix(_SUFFIX)


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    *,
    until: dt.datetime,
) -> x509.CertificateBuilder:
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _CLOCK_DIFFERENCE)
        .not_valid_after(until)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
    )


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _name(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)


def _key_pem(key: ec.EllipticCurvePrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
