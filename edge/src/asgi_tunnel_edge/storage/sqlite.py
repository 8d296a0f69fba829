"""The store as one SQLite file that several processes of one machine use: the default."""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Any, Final

from asgi_tunnel_edge.files import PRIVATE

from ..wal import use_wal
from .dialect import BUSY_TIMEOUT, Select, older_version

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

__all__ = ["SQLite"]

_WATCH_TIMEOUT: Final = 0.2
"""Seconds that one look of a running edge waits for a lock; the next look comes soon enough."""


class SQLite:
    """See :class:`.dialect.Dialect`."""

    alchemy: Final = "sqlite://"
    errors: Final = (sqlite3.Error,)

    def __init__(self, path: Path) -> None:
        self.path = path
        self.label = str(path)
        self.repair = "put a copy back, or make a new one with `asgi-tunnel-edge remake database`"

    def load(self) -> None:
        """See :class:`.dialect.Dialect`: it comes with Python."""

    def prepare(self) -> None:
        """Make the file; SQLite's own files beside it take its mode."""
        os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))

    def open(self, *, timeout: float = BUSY_TIMEOUT) -> sqlite3.Connection:
        """Open it as it is; nothing about it is changed, and an empty one is never made.

        One thread at a time uses it, and not always the same one.
        """
        # `mode=rw`: reading in WAL mode, too, needs to write the shared-memory file.
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(
            uri, uri=True, timeout=timeout, isolation_level=None, check_same_thread=False
        )

    def connect(self) -> sqlite3.Connection:
        """Open it for changes."""
        connection = self.open()
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(BUSY_TIMEOUT * 1000)}")
            use_wal(connection, BUSY_TIMEOUT)
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def begin(self, connection: sqlite3.Connection, *, writes: bool) -> None:
        """Begin what the driver, in its old form, would begin too late.

        A write takes the lock at once. In a deferred transaction the later upgrade to a write fails
        when somebody else wrote in between.
        """
        connection.execute("BEGIN IMMEDIATE" if writes else "BEGIN DEFERRED")

    def take_time(self, connection: sqlite3.Connection) -> None:
        """See :class:`.dialect.Dialect`: they have no bound."""

    @contextmanager
    def moment(self) -> Iterator[Select]:
        """See :class:`.dialect.Dialect`."""
        connection = self.open()
        try:
            with _moment(connection) as select:
                yield select
        finally:
            connection.close()

    def watch(self) -> _FileWatch:
        """See :class:`.dialect.Dialect`."""
        return _FileWatch(self)

    def revision(self) -> str | None:
        """See :class:`.dialect.Dialect`."""
        connection = self.open()
        try:
            known = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
            if connection.execute(known).fetchone() is None:
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else str(row[0])
        finally:
            connection.close()

    def find_damage(self) -> str:
        """Look through the whole file; SQLite's first sentence about what is wrong."""
        connection = self.open()
        try:
            said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
        finally:
            connection.close()
        return "" if said == "ok" else said

    def after_copy(self, connection: sqlite3.Connection) -> None:
        """See :class:`.dialect.Dialect`: SQLite goes on behind the largest number by itself."""

    def sentence(self, error: Exception) -> str:
        """See :class:`.dialect.Dialect`."""
        said, path = str(error), self.path
        if not path.exists():
            return f"there is no database {path}; {self.repair}, which says what is lost"
        if "locked" in said or "busy" in said:
            return f"the database {path} is locked by another process; try again"
        is_empty = "no such table: tokens" in said or "no such table: meta" in said
        if "no such column" in said or ("no such table" in said and not is_empty):
            return older_version(self.label)
        if "not a database" in said or "malformed" in said or is_empty:
            what = f"the database {path} is broken ({said})"
            return f"{what}; {self.repair}, which says what is lost"
        return f"the database {path} cannot be used ({said}); check its disk and permissions"


class _FileWatch:
    """See :class:`.dialect.Watch`.

    SQLite has no notifications between processes. It has a counter that costs microseconds to read.
    """

    def __init__(self, database: SQLite) -> None:
        self._database = database
        self._connection: sqlite3.Connection | None = None
        self._identity: tuple[int, int] | None = None  # of the file that the connection reads

    def version(self) -> object:
        status = self._database.path.stat()
        identity = (status.st_dev, status.st_ino)
        if identity != self._identity or self._connection is None:
            # Replaced by a copy: the open connection would read the old file for ever.
            self.close()
            self._connection = self._database.open(timeout=_WATCH_TIMEOUT)
            self._identity = identity
        (number,) = self._connection.execute("PRAGMA data_version").fetchone()
        return identity, number

    @contextmanager
    def moment(self) -> Iterator[Select]:
        assert self._connection is not None, "version() comes first"
        with _moment(self._connection) as select:
            yield select

    def update(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        connection = self._connection
        if connection is None:
            return
        connection.execute("BEGIN IMMEDIATE")
        connection.executemany(sql, rows)
        connection.execute("COMMIT")

    def close(self) -> None:
        if self._connection is not None:
            with suppress(sqlite3.Error):
                self._connection.close()
        self._connection = self._identity = None


@contextmanager
def _moment(connection: sqlite3.Connection) -> Iterator[Select]:
    cursor = connection.cursor()
    cursor.row_factory = sqlite3.Row

    def select(sql: str, *values: object) -> Iterator[Mapping[str, Any]]:
        for row in cursor.execute(sql, values):
            yield dict(row)

    cursor.execute("BEGIN")
    try:
        yield select
    finally:
        cursor.execute("ROLLBACK")  # it has changed nothing
