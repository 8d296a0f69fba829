"""Whole stores: from one database into another one, and into one file for a backup.

Rows are copied as of one moment of the source, in the order in which they were kept, into tables
that are empty; they are read again and compared before the target keeps them.
"""

from __future__ import annotations

import hashlib
import os
import sqlite3
from contextlib import closing
from typing import TYPE_CHECKING, Any, Final

import sqlalchemy as sa

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.files import PRIVATE

from .database import GENERATION, HEAD_REVISION, Database
from .models import Base, Meta

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from sqlalchemy.orm import Session

__all__ = ["MoveStore"]

CHUNK: Final = 1000
"""Rows that are in memory at one time, 1 KiB each."""


class MoveStore(Database):
    """A store that is copied; every method raises StorageError."""

    def move_to(self, target: MoveStore) -> dict[str, int]:
        """Copy all rows into an empty store, all or none; this one stays as it is.

        Args:
            target: Its tables are made where there are none.

        Returns:
            How many rows each table has.

        Raises:
            StorageError: The target has rows, or does not take one as it is; or the source is of
                another version.
        """
        revision = self.revision()
        if revision != HEAD_REVISION:
            sentence = f"the database {self.label} is of revision {revision}, not {HEAD_REVISION}"
            raise StorageError(f"{sentence}; start the edge once with it, and try again")
        target.migrate()
        with self._errors(), self._read() as source, target._errors(), target._write() as copy:
            target._check_empty(copy)
            counts = {}
            for table in Base.metadata.sorted_tables:
                copy.execute(sa.delete(table))  # what migrations have put there
                for rows in _chunks(source, table):
                    copy.execute(sa.insert(table), rows)
                counts[table.name], before = _digest(source, table)
                if (counts[table.name], before) != _digest(copy, table):
                    sentence = f"{target.label} gives other rows back for the table {table.name}"
                    raise StorageError(f"{sentence} than it got; nothing was moved")
            target._dialect.after_copy(copy.connection().connection.driver_connection)
        return counts

    def copy_to(self, path: Path) -> str:
        """Copy the whole store, as of one moment, into one new SQLite file; return its revision.

        Writers go on meanwhile. The copy is mode 0600, and not in WAL mode: there is nothing beside
        it.

        Raises:
            StorageError: It cannot be read, or is broken, or the copy cannot be written.
        """
        copy = MoveStore(path)
        with self._errors():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
            if isinstance(self.location, str):
                self.move_to(copy)
            else:
                with closing(self._dialect.connect()) as source, closing(_open(path)) as target:
                    source.backup(target)
            with closing(_open(path)) as target:
                target.execute("PRAGMA journal_mode = DELETE")
        problem = copy.find_damage()
        if problem:
            sentence = f"the database {self.label} is broken ({problem}); put a copy back"
            raise StorageError(sentence)
        return copy.revision() or ""

    def _check_empty(self, session: Session) -> None:
        """See that nobody uses these tables.

        Raises:
            StorageError: There are rows; the sentence names the tables.
        """
        numbers = {row.key: row.value for row in session.scalars(sa.select(Meta))}
        tables = [table for table in Base.metadata.sorted_tables if table.name != "meta"]
        used = [one.name for one in tables if session.execute(sa.select(one).limit(1)).first()]
        if numbers not in ({}, {GENERATION: 0}):
            used.append("meta")
        if used:
            sentence = f"the database {self.label} is not empty (it has rows in {', '.join(used)})"
            raise StorageError(f"{sentence}; name an empty one, nothing is overwritten")


def _chunks(session: Session, table: sa.Table) -> Iterator[list[dict[str, Any]]]:
    """All rows, as many at a time as memory is for, in the order in which they were kept."""
    for rows in session.execute(_ordered(table)).mappings().partitions(CHUNK):
        yield [dict(row) for row in rows]


def _digest(session: Session, table: sa.Table) -> tuple[int, str]:
    """How many rows there are, and one number for what is in them."""
    count, digest = 0, hashlib.sha256()
    for rows in session.execute(_ordered(table)).partitions(CHUNK):
        for row in rows:
            count += 1
            digest.update(repr(tuple(row)).encode())
    return count, digest.hexdigest()


def _ordered(table: sa.Table) -> sa.Select[Any]:
    """All rows; of tokens, whose order is seen, the first that was kept comes first."""
    is_token = table.name == "tokens"
    columns = [sa.literal_column("rowid")] if is_token else [*table.primary_key.columns]
    return sa.select(table).order_by(*columns).execution_options(yield_per=CHUNK)


def _open(path: Path) -> sqlite3.Connection:
    return sqlite3.connect(path)
