"""The store as a database of a PostgreSQL server, which several edges share.

The driver, ``psycopg``, is an extra of this distribution and is loaded with the first connection. A
connection is opened for each change, as for SQLite: an edge makes few. Password and TLS are what
libpq has for them: ``~/.pgpass``, ``?passfile=``, ``?sslmode=verify-full&sslrootcert=``.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any, Final, TypeVar
from urllib.parse import urlsplit

from asgi_tunnel_edge.errors import StorageError

from .dialect import BUSY_TIMEOUT, Select, older_version

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Mapping, Sequence
    from types import ModuleType

    import psycopg

__all__ = ["CHANNEL", "PostgreSQL"]

CHANNEL: Final = "asgi_tunnel_store"
"""What the trigger of migration 0014 notifies, and each running edge listens on."""

CONNECT_TIMEOUT: Final = 5
"""Seconds for a connection, to each host of the URL; a start without the server waits so long."""

ANSWER_TIMEOUT: Final = 20.0
"""Seconds for one statement: longer than any wait for a lock. A server that is frozen, or behind a
cable that was pulled, would otherwise hold a thread of the edge for ever."""

IDLE_TIMEOUT: Final = 60.0
"""Seconds that a transaction may wait for who has begun it, while all other writers wait: an edge
that is frozen in its middle, or whose cable was pulled. Moving a store reads so long in between."""

MIN_VERSION: Final = 150000
"""PostgreSQL 15, as the server says it; older ones are not tested."""

_WRITERS: Final = 0x6173_6769_0001
"""The advisory lock of those who write; a number that nobody else has by chance."""

_POLL_EVERY: Final = 20
"""Looks from one question to the server to the next, 5 s: it is told of each change, and only a
question shows that nothing was lost and that it answers."""

_LOST: Final = ("08", "57P")
"""What SQLSTATEs of a connection that is gone, or of a server that stops or starts, begin with."""

_REASONS: Final = {
    "25006": "takes no writes; name the primary server, not a standby, in `store`",
    "25P03": "has ended a change that stood still for too long; try again",
    "42501": "does not let this edge's user do that; make the user the owner of the database",
    "53300": "has no room for one more connection; raise max_connections of PostgreSQL",
    "55P03": "is locked by another process; try again",
}
_UNBOUNDED: Final = "asgi_tunnel_takes_time"  # what marks a connection
_NO_TABLE, _NO_COLUMN = "42P01", "42703"

_Result = TypeVar("_Result")


class PostgreSQL:
    """See :class:`.dialect.Dialect`.

    Args:
        url: ``postgresql://``, as libpq takes it.
    """

    alchemy: Final = "postgresql+psycopg://"

    def __init__(self, url: str) -> None:
        self._url = url
        self.label = _without_secrets(url)
        self.repair = "fill it from an edge's folder with `asgi-tunnel-edge store move`"

    @property
    def errors(self) -> tuple[type[Exception], ...]:
        """See :class:`.dialect.Dialect`."""
        try:
            return (_driver().Error,)
        except StorageError:
            return ()

    def load(self) -> None:
        """See :class:`.dialect.Dialect`."""
        _driver()

    def prepare(self) -> None:
        """See that there is a server that can be used; the database is its administrator's.

        Raises:
            StorageError: It is too old.
        """
        connection = self.connect()
        try:
            version = connection.info.server_version
        finally:
            connection.close()
        if version < MIN_VERSION:
            sentence = (
                f"the database {self.label} is of PostgreSQL {version // 10000}; "
                f"{MIN_VERSION // 10000} or later is needed"
            )
            raise StorageError(sentence)

    def connect(self) -> psycopg.Connection[Any]:
        """Open a connection."""
        return _bounded(_driver()).connect(
            self._url,
            autocommit=True,
            # A pool in front of the server may hand each transaction to another connection.
            prepare_threshold=None,
            application_name="asgi-tunnel-edge",
            connect_timeout=CONNECT_TIMEOUT,
            keepalives_idle=5,
            keepalives_interval=2,
            keepalives_count=3,
            tcp_user_timeout=int(ANSWER_TIMEOUT * 1000),
        )

    def begin(self, connection: psycopg.Connection[Any], *, writes: bool) -> None:
        """Begin as SQLite does: who writes is alone, who reads sees one moment.

        Changes are few and short. So each check before a change holds here for the same reason.
        """
        if not writes:
            connection.execute("BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY")
            return
        connection.execute(
            f"BEGIN; SET LOCAL lock_timeout = {int(BUSY_TIMEOUT * 1000)};"
            f"SET LOCAL idle_in_transaction_session_timeout = {int(IDLE_TIMEOUT * 1000)};"
            f"SELECT pg_advisory_xact_lock({_WRITERS})"
        )

    def take_time(self, connection: psycopg.Connection[Any]) -> None:
        """See :class:`.dialect.Dialect`."""
        vars(connection)[_UNBOUNDED] = True

    @contextmanager
    def moment(self) -> Iterator[Select]:
        """See :class:`.dialect.Dialect`."""
        connection = self.connect()
        try:
            with _moment(self, connection) as select:
                yield select
        finally:
            connection.close()

    def watch(self) -> _ServerWatch:
        """See :class:`.dialect.Dialect`."""
        return _ServerWatch(self)

    def revision(self) -> str | None:
        """See :class:`.dialect.Dialect`."""
        connection = self.connect()
        try:
            row = connection.execute("SELECT to_regclass('alembic_version')").fetchone()
            if row is None or row[0] is None:
                return None
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return None if row is None else str(row[0])
        finally:
            connection.close()

    def find_damage(self) -> str:
        """See that it answers; whether its files are whole is what PostgreSQL's own tools find."""
        self.revision()
        return ""

    def after_copy(self, connection: psycopg.Connection[Any]) -> None:
        """See :class:`.dialect.Dialect`."""
        owned = connection.execute(
            "SELECT table_name, column_name FROM information_schema.columns"
            " WHERE table_schema = current_schema() AND column_default LIKE 'nextval(%'"
        ).fetchall()
        for table, column in owned:
            sequence = f"pg_get_serial_sequence('{table}', '{column}')"
            newest = f"greatest(max({column}), 1), count(*) > 0"
            sql = f"SELECT setval({sequence}, {newest}) FROM {table}"  # noqa: S608 - our own names
            connection.execute(sql)

    def sentence(self, error: Exception) -> str:
        """See :class:`.dialect.Dialect`."""
        said = " ".join(str(error).split("\n", 1)[0].split())
        state = getattr(error, "sqlstate", None) or ""
        label = self.label
        if state in _REASONS:
            return f"the database {label} {_REASONS[state]}"
        if state == _NO_TABLE and ('"tokens"' in said or '"meta"' in said):
            return f"the database {label} has no tables; {self.repair}"
        if state in (_NO_TABLE, _NO_COLUMN):
            return older_version(label)
        if state.startswith(_LOST) or (not state and isinstance(error, _driver().OperationalError)):
            fix = "see that PostgreSQL runs there and lets this edge in"
            if "no password supplied" in said or "password authentication failed" in said:
                fix = (
                    "write HOST:PORT:DATABASE:USER:PASSWORD, with those of this URL, into a file "
                    "of the edge's user with mode 0600, and name it by ?passfile=PATH"
                )
            return f"the database {label} cannot be reached ({said}); {fix}"
        return f"the database {label} cannot be used ({said})"


class _ServerWatch:
    """See :class:`.dialect.Watch`: PostgreSQL tells of changes, and is asked beside that."""

    def __init__(self, database: PostgreSQL) -> None:
        self._database = database
        self._connection: psycopg.Connection[Any] | None = None
        self._opened = self._told = self._looks = 0
        self._generation: object = None

    def version(self) -> object:
        connection = self._connection
        if connection is None:
            connection = self._connection = self._database.connect()
            connection.execute(f"LISTEN {CHANNEL}")
            self._opened += 1  # whatever happened before is not known
            self._looks = 0
        self._told += sum(1 for _ in connection.notifies(timeout=0))
        if self._looks % _POLL_EVERY == 0:
            sql = "SELECT value FROM meta WHERE key = 'generation'"
            self._generation = connection.execute(sql).fetchone()
        self._looks += 1
        return self._opened, self._told, self._generation

    @contextmanager
    def moment(self) -> Iterator[Select]:
        assert self._connection is not None, "version() comes first"
        with _moment(self._database, self._connection) as select:
            yield select

    def update(self, sql: str, rows: Sequence[tuple[object, ...]]) -> None:
        connection = self._connection
        if connection is None:
            return
        self._database.begin(connection, writes=True)
        with connection.cursor() as cursor:
            cursor.executemany(_placeholders(sql), rows)
        connection.execute("COMMIT")

    def close(self) -> None:
        if self._connection is not None:
            with suppress(*self._database.errors):
                self._connection.close()
        self._connection = None


@contextmanager
def _moment(database: PostgreSQL, connection: psycopg.Connection[Any]) -> Iterator[Select]:
    from psycopg.rows import dict_row

    def select(sql: str, *values: object) -> Iterator[Mapping[str, Any]]:
        with connection.cursor(row_factory=dict_row) as cursor:
            yield from cursor.execute(_placeholders(sql), values)

    database.begin(connection, writes=False)
    try:
        yield select
    finally:
        with suppress(*database.errors):  # a connection that is lost has said so before
            connection.execute("ROLLBACK")


def _placeholders(sql: str) -> str:
    return sql.replace("?", "%s")


@cache
def _driver() -> ModuleType:
    try:
        import psycopg
    except ImportError as error:
        sentence = (
            "`store` names a PostgreSQL, and its driver is not there; install it with "
            "`pip install 'asgi-tunnel-edge[postgresql]'`"
        )
        raise StorageError(sentence) from error
    return psycopg


@cache
def _bounded(driver: ModuleType) -> type[psycopg.Connection[Any]]:
    """Return the driver's connection, with a bound for each wait."""
    base: type[psycopg.Connection[Any]] = driver.Connection

    class Connection(base):  # type: ignore[valid-type, misc]
        def wait(
            self,
            gen: Generator[Any, Any, _Result],
            interval: float = 0.1,
            timeout: float | None = None,
        ) -> _Result:
            is_bounded = timeout is None and _UNBOUNDED not in vars(self)
            bound = ANSWER_TIMEOUT if is_bounded else timeout
            result: _Result = super().wait(gen, interval, bound)
            return result

    return Connection


def _without_secrets(url: str) -> str:
    """Return a URL for sentences: user, hosts and database."""
    parts = urlsplit(url)
    user, at, hosts = parts.netloc.rpartition("@")
    return f"{parts.scheme}://{user.partition(':')[0]}{at}{hosts}{parts.path}"
