from __future__ import annotations

from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage.encryption import SecretBox


@pytest.fixture
def box(tmp_path: Path) -> SecretBox:
    """A box with a new key."""
    one = SecretBox(tmp_path / "secrets.key")
    one.create()
    return one


def test_round_trip(box: SecretBox) -> None:
    """What is sealed is opened by whoever reads the same file; two seals of a secret differ."""
    sealed = box.seal(b"secret", purpose="a")
    assert b"secret" not in sealed
    assert sealed != box.seal(b"secret", purpose="a")
    assert SecretBox(box.path).open(sealed, purpose="a") == b"secret"


def test_file_is_private_and_stays(box: SecretBox) -> None:
    """Only the edge's user reads the key, and it is never made anew over an old one."""
    assert box.path.stat().st_mode & 0o777 == 0o600
    before = box.path.read_bytes()
    box.create()
    assert box.path.read_bytes() == before


def test_changed_or_moved(box: SecretBox) -> None:
    """A changed secret, one that was cut, and one of another row are refused."""
    sealed = box.seal(b"secret", purpose="a")
    with pytest.raises(StorageError, match="does not fit"):
        box.open(sealed, purpose="b")
    for end in range(len(sealed)):
        with pytest.raises(StorageError, match="does not fit"):
            box.open(sealed[:end], purpose="a")
    flipped = bytearray(sealed)
    flipped[-1] ^= 1
    with pytest.raises(StorageError, match="does not fit"):
        box.open(bytes(flipped), purpose="a")


@pytest.mark.parametrize("content", [None, b"", b"short\n", b"\xff" * 44])
def test_key_file_that_is_none(tmp_path: Path, content: bytes | None) -> None:
    """A missing or broken key file is named, with what to do."""
    path = tmp_path / "secrets.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(StorageError, match=r"secrets\.key.*put back the one that belongs"):
        SecretBox(path).seal(b"secret", purpose="a")
