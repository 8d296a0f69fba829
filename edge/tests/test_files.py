from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.files import write_atomically

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("mode", [0o600, 0o644])
def test_replaces_content_and_mode(tmp_path: Path, mode: int) -> None:
    """A write replaces content and mode, and leaves no other file."""
    path = tmp_path / "file"
    path.write_text("old")
    write_atomically(path, b"new", mode=mode)
    assert path.read_bytes() == b"new"
    assert path.stat().st_mode & 0o777 == mode
    assert list(tmp_path.iterdir()) == [path]


def test_failure_leaves_the_old_file(tmp_path: Path) -> None:
    """When the file cannot be replaced, the temporary one is gone too."""
    path = tmp_path / "file"
    path.mkdir()
    with pytest.raises(OSError, match="directory"):
        write_atomically(path, b"new")
    assert list(tmp_path.iterdir()) == [path]
