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
from asgi_tunnel_edge.certificates.internal import (
    InternalCertificate,
    create_internal_certificate,
    create_next_certificate,
    fingerprint,
    next_certificate,
    show_next_certificate,
)
from asgi_tunnel_edge.errors import CertificateError
from asgi_tunnel_edge.files import write_atomically

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


def pairs(files: InternalCertificate) -> list[tuple[bytes, bytes]]:
    """What is shown, and what is next."""
    both = (files, next_certificate(files))
    return [(one.certificate.read_bytes(), one.key.read_bytes()) for one in both]


def test_next_certificate(tmp_path: Path) -> None:
    """It is made once ahead; then it is shown, and another one is next."""
    files = create_internal_certificate("example.org", tmp_path)
    assert create_next_certificate("example.org", files)
    assert not create_next_certificate("example.org", files)
    first, second = pairs(files)
    assert next_certificate(files).key.stat().st_mode & 0o777 == 0o600
    show_next_certificate("example.org", files)
    shown, third = pairs(files)
    assert shown == second
    assert third not in (first, second)
    server_context(files.certificate, files.key)


@pytest.mark.parametrize("written", [0, 1, 2])
def test_a_change_that_was_cut_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, written: int
) -> None:
    """T94: after a crash between any two files the same command goes on; no certificate is lost."""
    files = create_internal_certificate("example.org", tmp_path)
    create_next_certificate("example.org", files)
    _, second = pairs(files)
    left = [written]
    write = write_atomically

    def crash(path: Path, data: bytes, *, mode: int) -> None:
        if not left[0]:
            raise KeyboardInterrupt
        left[0] -= 1
        write(path, data, mode=mode)

    with monkeypatch.context() as patch:
        patch.setattr("asgi_tunnel_edge.certificates.internal.write_atomically", crash)
        with pytest.raises(KeyboardInterrupt):
            show_next_certificate("example.org", files)
    if not create_next_certificate("example.org", files):
        show_next_certificate("example.org", files)
    shown, third = pairs(files)
    assert shown == second
    assert third != second
    server_context(files.certificate, files.key)


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
