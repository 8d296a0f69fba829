from __future__ import annotations

import ssl
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from asgi_tunnel_edge.certificates.files import FileCertificates, server_context
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.errors import CertificateError

if TYPE_CHECKING:
    from pathlib import Path

    from asgi_tunnel_edge.certificates.source import CertificateSource


def test_files_are_a_source_for_every_name(tmp_path: Path) -> None:
    """One certificate is there for any name; it is read once, and not again for each."""
    files = create_internal_certificate("example.org", tmp_path)
    source: CertificateSource = FileCertificates(files.certificate, files.key)
    files.certificate.unlink()
    contexts = {source.context(name) for name in (None, "example.org", "other.test")}
    assert len(contexts) == 1
    assert isinstance(contexts.pop(), ssl.SSLContext)


def test_old_tls_is_off(tmp_path: Path) -> None:
    """TLS 1.1 and earlier are not spoken."""
    files = create_internal_certificate("example.org", tmp_path)
    assert server_context(files.certificate, files.key).minimum_version is ssl.TLSVersion.TLSv1_2


def test_unusable_files(tmp_path: Path) -> None:
    """A missing, foreign, broken or encrypted file gets a sentence that names it."""
    one = create_internal_certificate("a.test", tmp_path / "a")
    two = create_internal_certificate("b.test", tmp_path / "b")
    missing = tmp_path / "missing.pem"
    with pytest.raises(CertificateError, match=r"certificate .*missing\.pem cannot be read"):
        server_context(missing, one.key)
    with pytest.raises(CertificateError, match=r"key .*missing\.pem cannot be read"):
        server_context(one.certificate, missing)
    with pytest.raises(CertificateError, match="does not belong to the certificate"):
        server_context(one.certificate, two.key)
    with pytest.raises(CertificateError, match="not a certificate and a key"):
        server_context(one.key, one.certificate)
    encrypted = tmp_path / "encrypted.pem"
    encrypted.write_bytes(
        ec.generate_private_key(ec.SECP256R1()).private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.BestAvailableEncryption(b"x"),
        )
    )
    with pytest.raises(CertificateError, match="has a passphrase"):
        server_context(one.certificate, encrypted)
