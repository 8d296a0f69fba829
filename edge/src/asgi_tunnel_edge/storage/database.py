"""The store's connections, transactions, migrations and sentences, whatever database it is in.

Nothing is opened between calls, so that there is nothing to close. The base of ``store``, ``acme``
and the others, which hold what is in the tables; what the databases differ in is in ``dialect``.
"""

from __future__ import annotations

from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Final

import sqlalchemy as sa
from sqlalchemy.orm import Session
from sqlalchemy.pool import NullPool

from asgi_tunnel_edge.errors import StorageError

from .location import dialect_of
from .models import Meta

if TYPE_CHECKING:
    from collections.abc import Iterator

    from .dialect import Location

__all__ = ["GENERATION", "HEAD_REVISION", "RENEWALS", "Database", "raise_number", "read_number"]

#: The newest migration. A test compares it with the folder.
HEAD_REVISION: Final = "0014"

#: Rows of ``meta``: what grows with each change, and with each renewal that is asked for.
GENERATION: Final = "generation"
RENEWALS: Final = "renewals"

_WRITES: Final = "asgi_tunnel_writes"
"""The option of a connection whose transaction changes something."""


class Database:
    """The store. Every method raises StorageError when it is missing, locked, broken or newer.

    Args:
        location: ``EdgeConfig.database``: the path of a file, or a URL.
    """

    def __init__(self, location: Location) -> None:
        self.location = location
        self._dialect = dialect_of(location)

    @property
    def label(self) -> str:
        """What sentences call it; without a password."""
        return self._dialect.label

    @property
    def repair(self) -> str:
        """What to do where it is lost, for sentences."""
        return self._dialect.repair

    def migrate(self) -> None:
        """Make the tables, or bring them to this version; all or nothing.

        Of two processes that do this at once, one does it and the other finds it done.
        """
        with self._errors():
            self._dialect.prepare()
            if self._dialect.revision() == HEAD_REVISION:
                return  # without the 0.2 s that importing alembic takes
            self._upgrade()

    def find_damage(self) -> str:
        """Look through all that is kept; empty when all is well, else one sentence.

        Raises:
            StorageError: It cannot be opened at all.
        """
        with self._errors():
            return self._dialect.find_damage()

    def revision(self) -> str | None:
        """The newest migration that was made; None where there are no tables.

        Raises:
            StorageError: It cannot be read.
        """
        with self._errors():
            return self._dialect.revision()

    @property
    def _engine(self) -> sa.Engine:
        with self._errors():
            return _engine_of(self.location)

    @contextmanager
    def _read(self) -> Iterator[Session]:
        with Session(self._engine) as session, session.begin():
            yield session

    @contextmanager
    def _write(self) -> Iterator[Session]:
        engine = self._engine.execution_options(**{_WRITES: True})
        with Session(engine) as session, session.begin():
            yield session

    def _upgrade(self) -> None:
        from alembic import command
        from alembic.config import Config
        from alembic.util import CommandError

        config = Config()
        config.set_main_option("script_location", "asgi_tunnel_edge.storage:migrations")
        config.set_main_option("path_separator", "os")
        with self._engine.execution_options(**{_WRITES: True}).begin() as connection:
            self._dialect.take_time(connection.connection.driver_connection)
            config.attributes["connection"] = connection
            try:
                command.upgrade(config, "head")
            except CommandError as error:
                sentence = (
                    f"the database {self.label} was made by a newer version of asgi-tunnel-edge; "
                    "upgrade this one"
                )
                raise StorageError(sentence) from error

    @contextmanager
    def _errors(self) -> Iterator[None]:
        """One sentence for each way in which a database fails."""
        try:
            yield
        except sa.exc.DBAPIError as error:
            cause = error.orig
            said = self._dialect.sentence(cause if isinstance(cause, Exception) else error)
            raise StorageError(said) from error
        except self._dialect.errors as error:
            raise StorageError(self._dialect.sentence(error)) from error
        except OSError as error:
            sentence = (
                f"the database {self.label} cannot be opened ({error.strerror}); "
                "run this as the user that owns the directory"
            )
            raise StorageError(sentence) from error


@lru_cache(maxsize=8)
def _engine_of(location: Location) -> sa.Engine:
    """Return the engine of a store: it asks a server once what that can do, 20 ms.

    It holds no connection, so that threads may share it, and processes that are forked.
    """
    dialect = dialect_of(location)
    dialect.load()

    def begin(connection: sa.Connection) -> None:
        writes = bool(connection.get_execution_options().get(_WRITES))
        dialect.begin(connection.connection.driver_connection, writes=writes)

    # A creator rather than a URL: how a connection is opened stands in one place.
    engine = sa.create_engine(dialect.alchemy, creator=dialect.connect, poolclass=NullPool)
    sa.event.listen(engine, "begin", begin)
    return engine


def read_number(session: Session, key: str) -> int:
    """A row of ``meta``; 0 where there is none."""
    return session.scalar(sa.select(Meta.value).where(Meta.key == key)) or 0


def raise_number(session: Session, key: str) -> None:
    """Add one to a row of ``meta``, within a write."""
    session.merge(Meta(key=key, value=read_number(session, key) + 1))
