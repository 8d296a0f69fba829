from __future__ import annotations

import datetime as dt
import ipaddress

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from asgi_tunnel_edge.certificates.acme.certificate import (
    certificate_request,
    check_certificate,
    new_key,
)
from asgi_tunnel_edge.errors import CertificateError

NOW = dt.datetime(2026, 6, 1, tzinfo=dt.UTC)
NAME = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
CA_KEY = ec.generate_private_key(ec.SECP256R1())


def issue(
    names: list[str],
    key_pem: bytes,
    *,
    begin: dt.datetime = NOW,
    days: int = 90,
    issuer: ec.EllipticCurvePrivateKey = CA_KEY,
    serial: int = 0x80,
) -> bytes:
    """A certificate as a CA makes it, PEM."""
    key = serialization.load_pem_private_key(key_pem, None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    public = issuer.public_key()
    return (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(NAME)
        .public_key(key.public_key())
        .serial_number(serial)
        .not_valid_before(begin)
        .not_valid_after(begin + dt.timedelta(days=days))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName(name) for name in names]), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(public), False)
        .sign(issuer, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def authority() -> bytes:
    """The CA's own certificate."""
    return (
        x509.CertificateBuilder()
        .subject_name(NAME)
        .issuer_name(NAME)
        .public_key(CA_KEY.public_key())
        .serial_number(1)
        .not_valid_before(NOW - dt.timedelta(days=1000))
        .not_valid_after(NOW + dt.timedelta(days=1000))
        .sign(CA_KEY, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )


def test_request() -> None:
    """The names and addresses are the SAN, the subject is empty, the key is P-256."""
    key = new_key()
    request = x509.load_der_x509_csr(certificate_request(["*.a.test", "192.0.2.1"], key))
    assert request.is_signature_valid
    assert list(request.subject) == []
    names = request.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["*.a.test"]
    assert names.get_values_for_type(x509.IPAddress) == [ipaddress.ip_address("192.0.2.1")]


def test_good() -> None:
    """What fits is read: times, serial number, issuer and the ARI id."""
    key = new_key()
    chain = issue(["a.test"], key) + authority()
    found = check_certificate(["a.test"], chain, key, now=NOW.timestamp() + 1)
    assert found.not_after - found.not_before == 90 * 86400
    assert (found.serial, found.issuer) == ("80", "CN=Test CA")
    assert found.ari_id is not None
    # 0x80 has its highest bit set: DER puts a zero before it (RFC 9773 section 4.1).
    assert found.ari_id.partition(".")[2] == "AIA"


def test_unusable() -> None:
    """A certificate that does not fit its key, names, time or chain is not used."""
    key, now = new_key(), NOW.timestamp() + 1
    good = issue(["a.test"], key)
    other_ca = ec.generate_private_key(ec.SECP256R1())
    day = dt.timedelta(days=1)
    cases = [
        (b"", "cannot be read"),
        (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", "cannot be read"),
        (issue(["a.test"], new_key()), "another key"),
        (issue(["b.test"], key), "is not for a.test"),
        (issue(["a.test"], key, begin=NOW + day), "set this machine's clock"),
        (issue(["a.test"], key, begin=NOW - 2 * day, days=1), "expired on"),
        (issue(["a.test"], key, issuer=other_ca) + authority(), "other certificates"),
        (good + good, "other certificates"),
        (good + authority() * 11, "other certificates"),
    ]
    for chain, why in cases:
        with pytest.raises(CertificateError, match=why):
            check_certificate(["a.test"], chain, key, now=now)
    check_certificate(["a.test"], good, key, now=now)
