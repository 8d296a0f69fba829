from __future__ import annotations

import logging
import time
from pathlib import Path

import pytest

from asgi_tunnel_edge.certificates.internal import (
    create_internal_certificate,
    fingerprint,
    next_certificate,
)
from asgi_tunnel_edge.errors import CertificateError
from asgi_tunnel_edge.listeners.client_hello import ClientHello
from asgi_tunnel_edge.settings.acme import AcmeConfig
from asgi_tunnel_edge.settings.config import EdgeConfig, TlsConfig
from asgi_tunnel_edge.shown import ShownCertificates
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.tokens import Snapshot


def config_of(folder: Path, mode: str) -> EdgeConfig:
    """An edge for example.test."""
    return EdgeConfig(
        data_dir=folder,
        domain="example.test",
        listen="127.0.0.1:0",
        tls=TlsConfig(mode=mode),  # type: ignore[arg-type]
        acme=AcmeConfig(directory="https://127.0.0.1:1/dir"),
    )


async def test_files(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """They are shown, looked at every two seconds, and once a day compared with what is dialed."""
    config = config_of(tmp_path, "files")
    with pytest.raises(CertificateError):
        ShownCertificates(config)
    create_internal_certificate("example.test", tmp_path / "tls")
    shown = ShownCertificates(config)
    await shown.start(Snapshot.of(1, []))
    assert list(shown.endpoints) == []
    assert shown.proof(ClientHello(server_name="x", protocols=(b"acme-tls/1",))) is None
    before = shown.find("example.test")
    expiry = shown.expiries()["example.test"]
    assert expiry > time.time()
    shown.look(100.0, lambda: ["shop.test"])
    assert "shop.test" in caplog.text
    create_internal_certificate("example.test", tmp_path / "new")
    for name in ("key.pem", "certificate.pem"):
        (tmp_path / "new" / name).replace(tmp_path / "tls" / name)
    shown.look(101.0, list)
    assert shown.find("example.test") is before
    with caplog.at_level(logging.INFO):
        shown.look(102.5, list)
    assert shown.find("example.test") is not before
    assert "has changed" in caplog.text
    await shown.stop()


async def test_pins(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """The one shown and the next one, of the edge's own; without a next one, a warning says so."""
    config = config_of(tmp_path, "internal")
    files = create_internal_certificate("example.test", tmp_path / "tls")
    shown = ShownCertificates(config)
    await shown.start(Snapshot.of(1, []))
    coming = next_certificate(files).certificate
    first = fingerprint(files.certificate.read_bytes())
    assert list(shown.pins) == [first, fingerprint(coming.read_bytes())]
    shown.look(100.0, list)
    coming.unlink()
    shown.look(103.0, list)
    assert list(shown.pins) == [first]
    create_internal_certificate("example.test", tmp_path / "new")
    (tmp_path / "tls" / "next-key.pem").unlink()
    (tmp_path / "tls" / "next-key.pem").mkdir()
    again = ShownCertificates(config)
    await again.start(Snapshot.of(1, []))
    assert list(again.pins) == [first]
    assert "no next certificate can be made ahead" in caplog.text
    other = ShownCertificates(config_of(tmp_path, "files"))
    await other.start(Snapshot.of(1, []))
    other.look(100.0, list)
    assert list(other.pins) == []


async def test_a_ca(tmp_path: Path) -> None:
    """Nothing is shown before there is something; its proofs have an endpoint."""
    config = config_of(tmp_path, "acme")
    (tmp_path / "tls").mkdir()
    Store(config.database_path).migrate()
    shown = ShownCertificates(config)
    await shown.start(Snapshot.of(1, []))
    try:
        assert shown.find("example.test") is None
        assert shown.find(None) is None
        assert len(shown.endpoints) == 1
        assert shown.expiries() == {}
        shown.look(1.0, list)
        shown.follow(Snapshot.of(2, []))
    finally:
        await shown.stop()
