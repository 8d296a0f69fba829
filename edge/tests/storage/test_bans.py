from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from asgi_tunnel_edge.ban import BanRecord
from asgi_tunnel_edge.errors import BanNotFoundError, TooManyBansError
from asgi_tunnel_edge.storage import Store, load_snapshot, load_snapshot_file, save_snapshot_file
from asgi_tunnel_edge.storage import store as module
from asgi_tunnel_edge.tokens import Snapshot

if TYPE_CHECKING:
    from pathlib import Path

ONE = BanRecord(address="203.0.113.7", created_at=1000, expires_at=2000, reason="loud")
TWO = BanRecord(address="2001:db8::/64", created_at=1001)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store."""
    one = Store(tmp_path / "edge.sqlite3")
    one.migrate()
    return one


def test_in_the_snapshot(store: Store, tmp_path: Path) -> None:
    """Bans raise the generation, come with a snapshot and survive in its file."""
    store.add_ban(TWO)
    store.add_ban(ONE)
    snapshot = load_snapshot(store)
    assert snapshot.bans == (ONE, TWO)
    assert snapshot.generation == 2
    path = tmp_path / "snapshot.json"
    save_snapshot_file(snapshot, path)
    assert load_snapshot_file(path) == snapshot


def test_file_of_an_edge_without_bans(tmp_path: Path) -> None:
    """A snapshot that an older edge saved has no bans, and is read."""
    path = tmp_path / "snapshot.json"
    path.write_text(json.dumps({"version": 1, "generation": 3, "tokens": []}))
    assert load_snapshot_file(path) == Snapshot.of(3, [])


def test_expired_bans_go(store: Store) -> None:
    """The next change forgets what is over."""
    store.add_ban(ONE)
    store.add_ban(BanRecord(address="10.0.0.1", created_at=2000))
    assert [ban.address for ban in store.bans()] == ["10.0.0.1"]


def test_bounded(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """There is room for a number of bans; a banned address can still be banned anew."""
    monkeypatch.setattr(module, "MAX_BANS", 2)
    store.add_ban(ONE)
    store.add_ban(TWO)
    with pytest.raises(TooManyBansError):
        store.add_ban(BanRecord(address="10.0.0.1", created_at=1002))
    store.add_ban(TWO)
    assert len(store.bans()) == 2


def test_remove(store: Store) -> None:
    """A ban is taken back once; then there is none."""
    store.add_ban(ONE)
    store.remove_bans([ONE.address, ONE.address], now=1500)
    with pytest.raises(BanNotFoundError):
        store.remove_bans([ONE.address], now=1500)
    assert store.bans() == []
