"""The app's own certificate: files that come late, change, or are for somebody else."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING

from asgi_tunnel.config import EndToEndConfig
from asgi_tunnel_edge.certificates.internal import create_internal_certificate
from asgi_tunnel_edge.home.certificates import HomeCertificates

if TYPE_CHECKING:
    import pytest

HOME = "home.example.test"
OTHER = "other.example.test"


def said(caplog: pytest.LogCaptureFixture) -> list[str]:
    """What the log was told, and forget it."""
    messages = [record.getMessage() for record in caplog.records]
    caplog.clear()
    return messages


async def test_files_that_come_late_are_read(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is missing is said once; no restart is needed."""
    made = create_internal_certificate(HOME, tmp_path / "made")
    config = EndToEndConfig(certificate=tmp_path / "c.pem", key=tmp_path / "k.pem")
    certificates = HomeCertificates(config)
    try:
        await certificates.expect([HOME])
        assert not await certificates.look()
        assert not certificates.is_ready
        (sentence,) = said(caplog)
        assert str(config.certificate) in sentence
        assert "ASGI_TUNNEL_CERTIFICATE" in sentence
        assert "edge.toml" not in sentence
        shutil.copy(made.key, tmp_path / "k.pem")
        shutil.copy(made.certificate, tmp_path / "c.pem")
        assert await certificates.look()
        assert certificates.find(HOME) is not None
        assert said(caplog) == []
    finally:
        certificates.stop()


async def test_a_new_certificate_is_shown(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """And one that cannot be used leaves the old one, and a line in the log."""
    made = create_internal_certificate(HOME, tmp_path)
    certificates = HomeCertificates(EndToEndConfig(certificate=made.certificate, key=made.key))
    try:
        await certificates.expect([HOME])
        old = certificates.find(HOME)
        made.certificate.write_text("half of one")
        assert not await certificates.look()
        assert not await certificates.look()
        assert certificates.find(HOME) is old
        assert ["stays" in one for one in said(caplog)] == [True]
        new = create_internal_certificate(HOME, tmp_path / "new")
        shutil.copy(new.key, made.key)
        shutil.copy(new.certificate, made.certificate)
        assert await certificates.look()
        assert certificates.find(HOME) is not old
    finally:
        certificates.stop()


async def test_a_certificate_for_another_name(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """It is not shown, and the log names the hostname; a wildcard needs one for any name."""
    made = create_internal_certificate(HOME, tmp_path)
    certificates = HomeCertificates(EndToEndConfig(certificate=made.certificate, key=made.key))
    try:
        with caplog.at_level(logging.ERROR):
            await certificates.expect([HOME, OTHER, "*.other.test"])
        messages = said(caplog)
        assert len(messages) == 2
        assert any(f"is not for {OTHER}" in one for one in messages)
        assert any("is not for *.other.test" in one for one in messages)
        assert certificates.find(OTHER) is None
    finally:
        certificates.stop()


async def test_nothing_is_set(caplog: pytest.LogCaptureFixture) -> None:
    """The log says which variables to set."""
    certificates = HomeCertificates(EndToEndConfig())
    await certificates.expect([HOME])
    certificates.stop()
    (sentence,) = said(caplog)
    assert "set ASGI_TUNNEL_ACME_EMAIL" in sentence
    assert "set ASGI_TUNNEL_CERTIFICATE and ASGI_TUNNEL_KEY" in sentence
    certificates = HomeCertificates(EndToEndConfig(acme_email="me@example.test"))
    await certificates.expect([HOME])
    certificates.stop()
    (sentence,) = said(caplog)
    assert "set ASGI_TUNNEL_CERTIFICATES to " in sentence
