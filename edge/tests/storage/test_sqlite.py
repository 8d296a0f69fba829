"""The store in one SQLite file: its settings, and what is said of a file that cannot be used."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path

import pytest
from edge.tests.storage.conftest import record

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage import Store
from asgi_tunnel_edge.storage.moving import MoveStore
from asgi_tunnel_edge.storage.sqlite import SQLite


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the store is."""
    return tmp_path / "edge.sqlite3"


@pytest.fixture
def store(path: Path) -> Store:
    """A fresh store."""
    store = Store(path)
    store.migrate()
    return store


def test_settings_of_sqlite(store: Store, path: Path) -> None:
    """WAL, foreign keys and a busy timeout are on, and only the owner reads the file."""
    with closing(SQLite(path).connect()) as connection:
        pragmas = {
            name: connection.execute(f"PRAGMA {name}").fetchone()[0]
            for name in ("journal_mode", "foreign_keys", "busy_timeout")
        }
        assert pragmas == {"journal_mode": "wal", "foreign_keys": 1, "busy_timeout": 5000}
        for one in path.parent.iterdir():
            assert one.stat().st_mode & 0o777 == 0o600


def test_missing_database(tmp_path: Path) -> None:
    """A missing database is told, and not made by accident."""
    store = Store(tmp_path / "edge.sqlite3")
    with pytest.raises(StorageError, match="there is no database"):
        store.read()
    assert list(tmp_path.iterdir()) == []


def test_broken_database(tmp_path: Path) -> None:
    """A file that is no database is told, and left as it is."""
    path = tmp_path / "edge.sqlite3"
    path.write_bytes(b"hello" * 1000)
    for action in (Store(path).read, Store(path).migrate):
        with pytest.raises(StorageError, match="is broken"):
            action()
    assert path.read_bytes() == b"hello" * 1000


def test_empty_database(tmp_path: Path) -> None:
    """A database without tables is told as broken."""
    path = tmp_path / "edge.sqlite3"
    path.touch()
    with pytest.raises(StorageError, match="no such table"):
        Store(path).read()


def test_locked_database(store: Store, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A write waits for another one, and then says that it did in vain."""
    monkeypatch.setattr("asgi_tunnel_edge.storage.sqlite.BUSY_TIMEOUT", 0.01)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        with pytest.raises(StorageError, match="locked by another process; try again"):
            store.create_token(record("shop"))
        assert store.read() == (0, [])  # readers go on
    finally:
        other.close()


def test_directory_in_the_way(tmp_path: Path) -> None:
    """What the operating system says is part of the sentence."""
    with pytest.raises(StorageError, match="Is a directory"):
        Store(tmp_path).migrate()


def test_strange_path(tmp_path: Path) -> None:
    """A path with characters that mean something in URIs and in alembic's settings works."""
    folder = tmp_path / "a?b#c%20 %(d)s"
    folder.mkdir()
    store = Store(folder / "edge.sqlite3")
    store.migrate()
    store.create_token(record("shop"))
    assert [path.name for path in folder.iterdir()] == ["edge.sqlite3"]


def test_a_damaged_database_is_found(store: Store, path: Path) -> None:
    """A page that was overwritten is found, and no copy is made of it."""
    for number in range(50):
        store.create_token(record(f"shop{number}"))
    with path.open("r+b") as file:
        file.seek(4096 * 3)
        file.write(b"x" * 4096)
    with pytest.raises(StorageError, match="broken"):
        MoveStore(path).copy_to(path.with_name("copy"))


def test_what_no_edge_has_written_is_an_error(store: Store, path: Path) -> None:
    """One sentence; the store can be used again."""
    store.create_token(record("shop"))
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tokens SET expires_at = 'tomorrow'")
    with pytest.raises(StorageError, match="holds what no edge has written"):
        store.snapshot()
    with closing(sqlite3.connect(path)) as connection, connection:
        connection.execute("UPDATE tokens SET expires_at = 2000")
    assert store.snapshot().tokens["tok_shop"].expires_at == 2000
