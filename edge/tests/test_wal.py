from __future__ import annotations

import sqlite3
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from pathlib import Path

import pytest

from asgi_tunnel_edge.wal import use_wal


def test_many_that_open_a_new_file_at_once(tmp_path: Path) -> None:
    """None of them is told that it is locked; without it 3 files in 100 were, for one of four."""

    def work(path: Path) -> str:
        with closing(sqlite3.connect(path, timeout=5.0, isolation_level=None)) as connection:
            use_wal(connection, 5.0)
            connection.execute("CREATE TABLE IF NOT EXISTS one (x)")
            return str(connection.execute("PRAGMA journal_mode").fetchone()[0])

    with ThreadPoolExecutor(4) as threads:
        for number in range(60):
            path = tmp_path / f"{number}.sqlite3"
            assert set(threads.map(work, [path] * 8)) == {"wal"}


def test_one_that_stays_locked(tmp_path: Path) -> None:
    """After its patience it says so; a file that is no database is none at once."""
    path = tmp_path / "one.sqlite3"
    with closing(sqlite3.connect(path, isolation_level=None)) as holder:
        holder.execute("CREATE TABLE one (x)")
        holder.execute("BEGIN EXCLUSIVE")
        with closing(sqlite3.connect(path, timeout=0.0)) as connection:
            with pytest.raises(sqlite3.OperationalError, match="locked"):
                use_wal(connection, 0.05)
            holder.execute("ROLLBACK")
            use_wal(connection, 0.05)
    path.write_bytes(b"x" * 4096)
    with (
        closing(sqlite3.connect(path)) as connection,
        pytest.raises(sqlite3.DatabaseError, match="not a database"),
    ):
        use_wal(connection, 5.0)
