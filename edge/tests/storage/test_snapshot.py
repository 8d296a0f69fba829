from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from msgspec.structs import replace

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.quotas import TokenQuotas
from asgi_tunnel_edge.storage import (
    Store,
    load_snapshot_file,
    save_snapshot_file,
)
from asgi_tunnel_edge.tokens import Snapshot, TokenRecord, secret_digest

if TYPE_CHECKING:
    from pathlib import Path

TOKEN = TokenRecord(
    id="tok_1",
    name="shop",
    secret_sha256=secret_digest("right"),
    hostnames=("a.test",),
    created_at=1,
    expires_at=None,
)


def test_from_the_store(tmp_path: Path) -> None:
    """A snapshot holds what the store holds, with its generation."""
    store = Store(tmp_path / "edge.sqlite3")
    store.migrate()
    store.create_token(TOKEN)
    assert store.snapshot() == Snapshot.of(1, [TOKEN])


def test_file_round_trip(tmp_path: Path) -> None:
    """A saved snapshot reads back equal, and only its owner can read it."""
    path = tmp_path / "snapshot.json"
    limited = replace(TOKEN, id="tok_2", quotas=TokenQuotas(max_tunnels=3))
    passed = replace(TOKEN, id="tok_3", hostnames=("b.test",), end_to_end=("b.test",))
    snapshot = Snapshot.of(5, [TOKEN, limited, passed])
    save_snapshot_file(snapshot, path)
    assert load_snapshot_file(path) == snapshot
    assert path.stat().st_mode & 0o777 == 0o600
    assert "right" not in path.read_text()


def test_file_of_an_edge_without_quotas(tmp_path: Path) -> None:
    """Its tokens have none."""
    path = tmp_path / "snapshot.json"
    save_snapshot_file(Snapshot.of(5, [TOKEN]), path)
    content = json.loads(path.read_bytes())
    del content["tokens"][0]["quotas"]
    path.write_text(json.dumps(content))
    assert load_snapshot_file(path) == Snapshot.of(5, [TOKEN])


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{}",
        b"\xff",
        b"[]",
        json.dumps({"version": 2, "generation": 1, "tokens": []}).encode(),
    ],
)
def test_broken_file(tmp_path: Path, content: bytes) -> None:
    """A file of another form or version is refused: no tokens are guessed."""
    path = tmp_path / "snapshot.json"
    path.write_bytes(content)
    with pytest.raises(StorageError, match=r"the snapshot .* is "):
        load_snapshot_file(path)


def test_missing_file(tmp_path: Path) -> None:
    """A missing file is told with the system's reason."""
    with pytest.raises(StorageError, match="No such file"):
        load_snapshot_file(tmp_path / "snapshot.json")
