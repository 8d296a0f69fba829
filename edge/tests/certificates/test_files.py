from __future__ import annotations

import ssl
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from asgi_tunnel_edge.certificates.files import FileCertificates, server_context
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.errors import CertificateError

if TYPE_CHECKING:
    from asgi_tunnel_edge.certificates.source import CertificateSource


def test_files_are_shown_for_their_names_only(tmp_path: Path) -> None:
    """A name that is not in it gets none; who names no server gets the one there is."""
    files = create_internal_certificate("example.org", tmp_path)
    source: CertificateSource = FileCertificates(files.certificate, files.key, is_pinned=False)
    shown = source.find("example.org")
    assert shown is not None
    assert isinstance(shown.context, ssl.SSLContext)
    assert source.find("shop.example.org") is shown
    assert source.find(None) is shown
    assert source.find("deep.shop.example.org") is None
    assert source.find("other.test") is None
    assert shown.covers("shop.example.org")
    assert not shown.covers("other.test")


def test_a_pinned_certificate_is_shown_for_every_name(tmp_path: Path) -> None:
    """Apps know the edge's own whatever name they dial."""
    files = create_internal_certificate("example.org", tmp_path)
    source = FileCertificates(files.certificate, files.key, is_pinned=True)
    shown = source.find("other.test")
    assert shown is not None
    assert shown.covers("another.test")


def test_a_new_certificate_is_taken(tmp_path: Path) -> None:
    """Once both files belong together; until then, and when they are gone, the old one stays."""
    files = create_internal_certificate("example.org", tmp_path / "old")
    new = create_internal_certificate("example.net", tmp_path / "new")
    source = FileCertificates(files.certificate, files.key, is_pinned=False)
    assert not source.look()
    new.certificate.replace(files.certificate)
    assert not source.look()
    assert source.find("example.org") is not None
    new.key.replace(files.key)
    assert source.look()
    assert source.find("example.net") is not None
    assert source.find("example.org") is None
    assert not source.look()
    files.key.unlink()
    assert not source.look()
    assert source.find("example.net") is not None


def test_a_certificate_that_cannot_be_used_is_named_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """At the second look: certificate and key are seldom written at the same time."""
    files = create_internal_certificate("example.org", tmp_path)
    source = FileCertificates(files.certificate, files.key, is_pinned=False)
    files.certificate.write_text("nonsense")
    assert [source.look() for _ in range(4)] == [False] * 4
    assert [record.getMessage().split(":")[0] for record in caplog.records] == [
        "the certificate in use stays"
    ]


def test_a_file_that_goes_away_while_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Who replaces it by `rm` and `cp`: the one in use stays, and the next look finds the new."""
    files = create_internal_certificate("example.org", tmp_path)
    source = FileCertificates(files.certificate, files.key, is_pinned=False)
    new = create_internal_certificate("example.net", tmp_path / "new")
    files.certificate.write_bytes(new.certificate.read_bytes())
    files.key.write_bytes(new.key.read_bytes())
    with monkeypatch.context() as patch:
        patch.setattr(Path, "read_bytes", lambda path: (path / "gone").read_text())
        assert not source.look()
    assert source.find("example.org") is not None
    assert source.look()
    assert source.find("example.net") is not None


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
