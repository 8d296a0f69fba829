"""New databases by a copy: to make one takes a thousand tests 0.1 s of a core each.

The copy is of one that was made as every other, once in a test process. Tests of the store itself,
and edges that are processes of their own, make theirs.
"""

from __future__ import annotations

import sqlite3
import sys
import tempfile
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any

__all__ = ["quick_upgrade"]

_MODULE = "asgi_tunnel_edge.storage.database"

_made: list[bytes] = []
"""The file of the one that was made."""


def quick_upgrade() -> tuple[type[Any], Callable[[Any], None]] | None:
    """Return the class whose ``_upgrade`` is to be replaced, and by what; None: nobody uses it."""
    module = sys.modules.get(_MODULE)
    if module is None:
        return None
    database: type[Any] = module.Database
    upgrade: Callable[[Any], None] = database.__dict__["_upgrade"]

    def copy_or_upgrade(self: Any) -> None:
        if not isinstance(self.location, Path) or self._dialect.revision():
            upgrade(self)
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
