from __future__ import annotations

import hashlib
import socket
import ssl
import threading
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec

from asgi_tunnel_edge.certificates.files import server_context
from asgi_tunnel_edge.certificates.internal import create_internal_certificate, fingerprint
from asgi_tunnel_edge.errors import CertificateError

if TYPE_CHECKING:
    from pathlib import Path


def test_internal_certificate(tmp_path: Path) -> None:
    """It names the domain, one level below, and this machine, for ten years; the key is private."""
    files = create_internal_certificate("example.org", tmp_path / "tls")
    certificate = x509.load_pem_x509_certificate(files.certificate.read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.DNSName) == ["example.org", "*.example.org", "localhost"]
    assert [str(ip) for ip in names.get_values_for_type(x509.IPAddress)] == ["127.0.0.1", "::1"]
    now = datetime.now(UTC)
    assert certificate.not_valid_before_utc < now - timedelta(hours=1)
    assert certificate.not_valid_after_utc > now + timedelta(days=3640)
    assert isinstance(certificate.public_key(), ec.EllipticCurvePublicKey)
    assert files.key.stat().st_mode & 0o777 == 0o600
    assert files.key.parent.stat().st_mode & 0o777 == 0o700


def test_certificate_of_a_long_domain(tmp_path: Path) -> None:
    """A domain longer than the 64 characters of a common name gets a certificate too."""
    create_internal_certificate(f"{'a' * 60}.{'b' * 60}.test", tmp_path)


def test_fingerprint_is_of_the_der_form(tmp_path: Path) -> None:
    """The pin is the sha256 of what the peer sends in the handshake; a chain's first one counts."""
    first = create_internal_certificate("a.test", tmp_path / "a").certificate.read_bytes()
    second = create_internal_certificate("b.test", tmp_path / "b").certificate.read_bytes()
    der = ssl.PEM_cert_to_DER_cert(first.decode())
    expected = "sha256:" + hashlib.sha256(der).hexdigest()
    assert fingerprint(first) == fingerprint(first + second) == expected


def test_fingerprint_of_something_else() -> None:
    """A file that is no certificate is refused in one sentence."""
    with pytest.raises(CertificateError, match="not in PEM form"):
        fingerprint(b"hello")


@pytest.mark.parametrize("name", ["example.org", "shop.example.org", "localhost", "127.0.0.1"])
def test_handshake(tmp_path: Path, name: str) -> None:
    """A strict verifier that trusts the certificate gets TLS 1.2 or later and HTTP/1.1."""
    files = create_internal_certificate("example.org", tmp_path)
    listening = server_context(files.certificate, files.key)
    dialing = ssl.create_default_context(cafile=str(files.certificate))
    dialing.verify_flags |= ssl.VERIFY_X509_STRICT
    dialing.set_alpn_protocols(["h2", "http/1.1"])
    left, right = socket.socketpair()
    right.settimeout(10)
    left.settimeout(10)

    def answer() -> None:
        with listening.wrap_socket(right, server_side=True) as peer:
            peer.recv(1)

    thread = threading.Thread(target=answer)
    thread.start()
    try:
        with dialing.wrap_socket(left, server_hostname=name) as tls:
            assert tls.version() in ("TLSv1.2", "TLSv1.3")
            assert tls.selected_alpn_protocol() == "http/1.1"
            der = tls.getpeercert(binary_form=True)
            tls.send(b"x")
    finally:
        thread.join()
    assert der is not None
    assert (
        fingerprint(files.certificate.read_bytes()) == f"sha256:{hashlib.sha256(der).hexdigest()}"
    )
