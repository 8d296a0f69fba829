"""New databases by a copy: to make one takes a thousand tests 0.1 to 0.3 s of a core each.

The copy is of one that was made as every other, once in a test process: a file, or for PostgreSQL
what ``pg_dump`` says of it. Tests with the marker ``makes_tables`` make theirs, and edges that are
processes of their own.
"""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

from edge.tests.postgres import find_programs

__all__ = ["quick_upgrade"]

_MODULE = "asgi_tunnel_edge.storage.database"

_made: list[bytes] = []
"""The file of the one that was made."""

_dumped: list[str] = []
"""Statements that make the same in PostgreSQL."""


def quick_upgrade() -> tuple[type[Any], Callable[[Any], None]] | None:
    """Return the class whose ``_upgrade`` is to be replaced, and by what; None: nobody uses it."""
    module = sys.modules.get(_MODULE)
    if module is None:
        return None
    database: type[Any] = module.Database
    upgrade: Callable[[Any], None] = database.__dict__["_upgrade"]

    def copy_or_upgrade(self: Any) -> None:
        if self._dialect.revision():
            upgrade(self)
        elif not isinstance(self.location, Path):
            _fill(self, upgrade)
        else:
            if not _made:
                _made.append(_make(database, upgrade))
            self.location.write_bytes(_made[0])

    return database, copy_or_upgrade


def _make(database: type[Any], upgrade: Callable[[Any], None]) -> bytes:
    """Make one, and return its file: whole, with nothing beside it."""
    with tempfile.TemporaryDirectory() as folder:
        made, copy = Path(folder) / "made.sqlite3", Path(folder) / "copy.sqlite3"
        made.touch()
        one = database(made)
        upgrade(one)
        with closing(sqlite3.connect(made)) as source, closing(sqlite3.connect(copy)) as target:
            source.backup(target)
        # As every database of an edge: two that change that at once would be in each other's way.
        with closing(sqlite3.connect(copy)) as connection:
            connection.execute("PRAGMA journal_mode = WAL")
        return copy.read_bytes()


def _fill(one: Any, upgrade: Callable[[Any], None]) -> None:
    """Make the tables in a database, or a schema, of PostgreSQL."""
    import psycopg

    with psycopg.connect(one.location, autocommit=True) as connection:
        if _dumped:
            connection.execute(_dumped[0])
            return
        upgrade(one)
        found = connection.execute("SELECT current_schema()").fetchone()
        assert found is not None
    programs = find_programs()
    assert programs is not None
    dumped = subprocess.run(
        [str(programs / "pg_dump"), "--no-owner", "--no-privileges", "--inserts",
         f"--schema={found[0]}", one.location],
        check=True, capture_output=True, text=True,
    ).stdout  # fmt: skip
    # Its settings are for its own connection; psql's own commands are none of SQL.
    others = r"(?m)^(SET|SELECT pg_catalog\.set_config|CREATE SCHEMA|\\).*$"
    _dumped.append(re.sub(others, "", dumped).replace(f"{found[0]}.", ""))
