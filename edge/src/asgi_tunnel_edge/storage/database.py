"""One SQLite file that several processes use: connections, transactions, migrations, sentences.

Nothing is opened between calls, so that there is nothing to close. The base of ``store`` and
``acme``, which hold what is in the tables.
"""

from __future__ import annotations

import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.files import PRIVATE

from .models import Meta

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

__all__ = ["GENERATION", "HEAD_REVISION", "RENEWALS", "Database", "raise_number", "read_number"]

#: The newest migration. A test compares it with the folder.
HEAD_REVISION: Final = "0013"

#: Rows of ``meta``: what grows with each change, and with each renewal that is asked for.
GENERATION: Final = "generation"
RENEWALS: Final = "renewals"

#: Seconds to wait for another process's write; a write here takes milliseconds.
_BUSY_TIMEOUT: Final = 5.0
_WRITE: Final = {"sqlite_begin": "IMMEDIATE"}


class Database:
    """The file. Every method raises StorageError when it is missing, locked, broken or newer."""

    def __init__(self, path: Path) -> None:
        self.path = path
        # A creator rather than a URL: `mode=rw` never makes an empty database by mistake.
        self._engine = sa.create_engine("sqlite://", creator=self._connect, poolclass=NullPool)
        sa.event.listen(self._engine, "begin", _begin)

    def migrate(self) -> None:
        """Make the database, or bring it to this version's tables; all or nothing.

        Of two processes that do this at once, one does it and the other finds it done.
        """
        with self._errors():
            # SQLite's own files beside the database take the mode of the database.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
            if self._revision() == HEAD_REVISION:
                return  # without the 0.2 s that importing alembic takes
            self._upgrade()

    def copy_to(self, path: Path) -> str:
        """Copy the whole database, as of one moment, into one new file; return its revision.

        Writers go on meanwhile. The copy is mode 0600, and not in WAL mode: there is nothing
        beside it.

        Raises:
            StorageError: It cannot be read, or is broken, or the copy cannot be written.
        """
        with self._errors():
            os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
            source, target = self._connect(), sqlite3.connect(path)
            try:
                source.backup(target)
                target.execute("PRAGMA journal_mode = DELETE")
            finally:
                source.close()
                target.close()
        problem = Database(path).find_damage()
        if problem:
            sentence = f"the database {self.path} is broken ({problem}); put a copy back"
            raise StorageError(sentence)
        return Database(path).revision() or ""

    def find_damage(self) -> str:
        """Look through the whole file; empty when all is well, else SQLite's first sentence.

        Raises:
            StorageError: It cannot be opened at all.
        """
        with self._errors():
            connection = self._open()
            try:
                said = str(connection.execute("PRAGMA quick_check(1)").fetchone()[0])
            finally:
                connection.close()
        return "" if said == "ok" else said

    def revision(self) -> str | None:
        """The newest migration that was made; None in a file without tables.

        Raises:
            StorageError: It cannot be read.
        """
        with self._errors():
            connection = self._open()
            try:
                known = "SELECT 1 FROM sqlite_master WHERE name = 'alembic_version'"
                if connection.execute(known).fetchone() is None:
                    return None
                row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
                return None if row is None else str(row[0])
            finally:
                connection.close()

    def _open(self) -> sqlite3.Connection:
        """Open it as it is; nothing about it is changed."""
        uri = f"{self.path.absolute().as_uri()}?mode=rw"
        return sqlite3.connect(uri, uri=True, timeout=_BUSY_TIMEOUT, isolation_level=None)

    def _connect(self) -> sqlite3.Connection:
        connection = self._open()
        try:
            connection.execute(f"PRAGMA busy_timeout = {int(_BUSY_TIMEOUT * 1000)}")
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        engine = self._engine.execution_options(**_WRITE)
        with Session(engine) as session, session.begin():
            yield session

    def _revision(self) -> str | None:
        with self._engine.connect() as connection:
            if not sa.inspect(connection).has_table("alembic_version"):
                return None
            revision = connection.scalar(sa.text("SELECT version_num FROM alembic_version"))
            return None if revision is None else str(revision)

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", "asgi_tunnel_edge.storage:migrations")
        config.set_main_option("path_separator", "os")
        with self._engine.execution_options(**_WRITE).begin() as connection:
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                sentence = (
                    f"the database {self.path} was made by a newer version of asgi-tunnel-edge; "
                    "upgrade this one"
                )
                raise StorageError(sentence) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """One sentence for each way in which a database fails."""
        try:
            yield
        except (sa.exc.DBAPIError, sqlite3.Error) as error:
            raise StorageError(self._sentence(error)) from error
        except OSError as error:
            sentence = (
                f"the database {self.path} cannot be opened ({error.strerror}); "
                "run this as the user that owns the directory"
            )
            raise StorageError(sentence) from error

    def _sentence(self, error: Exception) -> str:
        cause = error.orig if isinstance(error, sa.exc.DBAPIError) else error
        said = str(cause)
        if not self.path.exists():
            return (
                f"there is no database {self.path}; put a copy back, or make a new one with "
                "`asgi-tunnel-edge remake database`, which says what is lost"
            )
        if "locked" in said or "busy" in said:
            return f"the database {self.path} is locked by another process; try again"
        is_empty = "no such table: tokens" in said or "no such table: meta" in said
        if "no such column" in said or ("no such table" in said and not is_empty):
            return (
                f"the database {self.path} is of an older version; start the edge once with "
                "`asgi-tunnel-edge run`, which brings it up to date"
            )
        if "not a database" in said or "malformed" in said or is_empty:
            return (
                f"the database {self.path} is broken ({said}); put a copy back, or make a new one "
                "with `asgi-tunnel-edge remake database`, which says what is lost"
            )
        return f"the database {self.path} cannot be used ({said}); check its disk and permissions"


def _begin(connection: sa.Connection) -> None:
    """Begin the transaction that the driver, in its old form, would begin too late.

    A write takes the lock at once: what it checks stays true until it commits. In a deferred
    transaction the later upgrade to a write fails when somebody else wrote in between.
    """
    kind = connection.get_execution_options().get("sqlite_begin", "DEFERRED")
    connection.exec_driver_sql(f"BEGIN {kind}")


def read_number(session: Session, key: str) -> int:
    """A row of ``meta``; 0 where there is none."""
    return session.scalar(sa.select(Meta.value).where(Meta.key == key)) or 0


def raise_number(session: Session, key: str) -> None:
    """Add one to a row of ``meta``, within a write."""
    session.merge(Meta(key=key, value=read_number(session, key) + 1))
