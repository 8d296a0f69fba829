"""The copy of certificates, with which an edge starts while its PostgreSQL is down."""

from __future__ import annotations

from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage.certificate_copy import CertificateCopy
from asgi_tunnel_edge.storage.encryption import SecretBox

SHOWN = {("*.a.test", "a.test"): (b"chain", b"private key"), ("b.test",): (b"c", b"k")}


@pytest.fixture
def copy(tmp_path: Path) -> CertificateCopy:
    """One that is not written yet."""
    key_path = tmp_path / "store.key"
    SecretBox(key_path).create()
    return CertificateCopy(tmp_path / "certificates.json", key_path, "https://ca.test")


def test_all_comes_back(copy: CertificateCopy, tmp_path: Path) -> None:
    """Private keys are encrypted, and the file is the edge's alone."""
    assert copy.load() == {}
    copy.save(SHOWN)
    assert copy.load() == SHOWN
    file = tmp_path / "certificates.json"
    assert file.stat().st_mode & 0o777 == 0o600
    assert b"private key" not in file.read_bytes()
    assert "cHJpdmF0ZSBrZXk" not in file.read_text()


def test_of_another_ca(copy: CertificateCopy, tmp_path: Path) -> None:
    """What a staging directory has issued is not shown as the real one's."""
    copy.save(SHOWN)
    other = CertificateCopy(
        tmp_path / "certificates.json", tmp_path / "store.key", "https://staging.test"
    )
    assert other.load() == {}


def test_what_cannot_be_used(copy: CertificateCopy, tmp_path: Path) -> None:
    """Each in one sentence."""
    file = tmp_path / "certificates.json"
    file.write_text("{")
    with pytest.raises(StorageError, match="is broken"):
        copy.load()
    copy.save(SHOWN)
    (tmp_path / "store.key").unlink()
    SecretBox(tmp_path / "store.key").create()
    again = CertificateCopy(file, tmp_path / "store.key", "https://ca.test")
    with pytest.raises(StorageError, match="does not fit"):
        again.load()
