from __future__ import annotations

from pathlib import Path

from asgi_tunnel_edge.running import has_running_edge, marked_as_running


def test_running(tmp_path: Path) -> None:
    """It is known while one of two runs, and no longer; nothing is left in the folder."""
    assert not has_running_edge(tmp_path)
    with marked_as_running(tmp_path):
        with marked_as_running(tmp_path):
            assert has_running_edge(tmp_path)
        assert has_running_edge(tmp_path)
    assert not has_running_edge(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Nobody runs there, and whoever tries says so by itself."""
    assert not has_running_edge(tmp_path / "none")
    with marked_as_running(tmp_path / "none"):
        pass
