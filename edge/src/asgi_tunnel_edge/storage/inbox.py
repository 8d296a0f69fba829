"""Requests that wait for an app that is away, in one SQLite file: ``inbox.sqlite3``.

A file of its own, and no SQLAlchemy: it is written thousands of times a minute, and each commit is
on disk before it returns. What a visitor sent is encrypted (:mod:`.encryption`); what commands list
is not: ids, times, sizes, and what became of it. ``inbox`` uses it from one thread of a running
edge, the commands from processes of their own.

Large because it holds one class: all SQL about this file is in one place.
"""

from __future__ import annotations

import json
import os
import sqlite3
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final, NamedTuple

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.files import PRIVATE, PRIVATE_DIRECTORY

from ..wal import use_wal
from .encryption import SecretBox

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

__all__ = ["MAX_FAILED", "InboxRecord", "InboxRow", "InboxStore", "Lane"]

MAX_FAILED: Final = 1000
"""Requests of one token that were refused or given up and are kept to be looked at; the oldest goes
for the newest, so that strangers cannot fill the file with what an app refuses."""

_BUSY_TIMEOUT: Final = 5.0  # seconds; a write takes milliseconds
_PAGE: Final = 4096  # bytes
_MAX_LOG: Final = 16 * 1024 * 1024  # bytes of the write-ahead log that stay when it is done with
_VERSION: Final = 1

_TABLES: Final = """
CREATE TABLE IF NOT EXISTS requests (
    id TEXT PRIMARY KEY,
    token_id TEXT NOT NULL,
    hostname TEXT NOT NULL,
    rule TEXT NOT NULL,
    seq INTEGER NOT NULL,
    size INTEGER NOT NULL,
    state TEXT NOT NULL,
    attempts INTEGER NOT NULL,
    outcome TEXT NOT NULL,
    sealed BLOB NOT NULL
);
CREATE INDEX IF NOT EXISTS requests_in_order ON requests (token_id, hostname, rule, state, seq);
CREATE INDEX IF NOT EXISTS requests_of_token ON requests (token_id, state, size);
CREATE TABLE IF NOT EXISTS marks (
    token_id TEXT NOT NULL,
    hostname TEXT NOT NULL,
    rules TEXT NOT NULL,
    PRIMARY KEY (token_id, hostname)
);
"""

_ROW: Final = "id, token_id, hostname, rule, seq, size, state, attempts, outcome"
_IN_LANE: Final = "token_id = ? AND hostname = ? AND rule = ?"


class Lane(NamedTuple):
    """What is delivered one after the other."""

    token_id: str
    hostname: str  #: the registered name or wildcard
    rule: str  #: such as ``POST /hooks/stripe``


class InboxRecord(NamedTuple):
    """One request, as it is delivered."""

    id: str  #: the same for each delivery, and for what its sender repeats
    lane: Lane
    seq: int  #: when it was whole, in nanoseconds since 1970; later ones are delivered later
    attempts: int  #: deliveries that failed so far
    payload: bytes  #: head and body, as in OPEN

    @property
    def received(self) -> float:
        """When it came, in seconds since 1970."""
        return self.seq / 1e9


class InboxRow(NamedTuple):
    """One request, as commands list it."""

    id: str
    lane: Lane
    seq: int
    size: int  #: bytes
    state: str  #: ``waiting``; ``failed``: refused or given up
    attempts: int
    outcome: str  #: of the last attempt; empty: there was none


class InboxStore:
    """See the module. Every method raises StorageError when the file cannot be used.

    Args:
        path: The file.
        key_path: What requests are encrypted with.
        max_bytes: The file becomes no larger; 0: whatever the disk holds.
    """

    def __init__(self, path: Path, key_path: Path, *, max_bytes: int = 0) -> None:
        self.path = path
        self._box = SecretBox(key_path)
        self._max_bytes = max_bytes
        self._connection: sqlite3.Connection | None = None

    def open(self) -> None:
        """Open the file, and make it and the key where there is none."""
        if self._connection is not None:
            return
        with self._errors():
            # SQLite's own files beside it take the mode of the database.
            os.close(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
            connection = sqlite3.connect(
                self.path, timeout=_BUSY_TIMEOUT, isolation_level=None, check_same_thread=False
            )
            try:
                self._prepare(connection)
            except BaseException:
                connection.close()
                raise
            self._connection = connection

    def _prepare(self, connection: sqlite3.Connection) -> None:
        use_wal(connection, _BUSY_TIMEOUT)
        connection.execute("PRAGMA synchronous = FULL")  # a commit is on disk when it returns
        connection.execute(f"PRAGMA journal_size_limit = {_MAX_LOG}")
        if self._max_bytes:
            connection.execute(f"PRAGMA max_page_count = {max(self._max_bytes // _PAGE, 64)}")
        (version,) = connection.execute("PRAGMA user_version").fetchone()
        if version > _VERSION:
            sentence = (
                f"the inbox {self.path} was made by a newer version of asgi-tunnel-edge; upgrade "
                "this one"
            )
            raise StorageError(sentence)
        if version < _VERSION:
            connection.executescript(f"BEGIN IMMEDIATE; {_TABLES} PRAGMA user_version = 1; COMMIT")
        self._box.path.parent.mkdir(mode=PRIVATE_DIRECTORY, exist_ok=True)
        self._box.create()

    def close(self) -> None:
        """Let go of the file; may be called twice."""
        connection, self._connection = self._connection, None
        if connection is not None:
            connection.close()

    @property
    def version(self) -> int:
        """A number that is another one once another process has changed the file."""
        with self._errors():
            (number,) = self._opened.execute("PRAGMA data_version").fetchone()
            return int(number)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Make changes all or none; they are on disk when the block has ended."""
        with self._errors():
            connection = self._opened
            connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                connection.execute("COMMIT")
            except BaseException:
                if connection.in_transaction:  # not where SQLite itself has rolled back
                    connection.execute("ROLLBACK")
                raise

    # -- changes, within a transaction -------------------------------------------------------

    def insert(self, record: InboxRecord) -> bool:
        """Keep a request; False: it waits already. One that had failed waits again, in its lane."""
        lane = record.lane
        sealed = self._box.seal(record.payload, purpose=f"inbox:{record.id}")
        values = (record.id, *lane, record.seq, len(record.payload), record.attempts, sealed)
        done = self._opened.execute(
            "INSERT INTO requests (id, token_id, hostname, rule, seq, size, state, attempts, "
            "outcome, sealed) VALUES (?, ?, ?, ?, ?, ?, 'waiting', ?, '', ?) "
            "ON CONFLICT (id) DO UPDATE SET state = 'waiting', seq = excluded.seq, attempts = 0, "
            "hostname = excluded.hostname, rule = excluded.rule "
            "WHERE state = 'failed' AND token_id = excluded.token_id",
            values,
        )
        return done.rowcount > 0

    def delete(self, request_id: str) -> int:
        """Forget a request; return how many there were."""
        sql = "DELETE FROM requests WHERE id = ?"
        return self._opened.execute(sql, (request_id,)).rowcount

    def note(self, request_id: str, attempts: int, outcome: str, *, failed: bool = False) -> int:
        """Keep what became of a delivery; with ``failed`` there will be no other by itself.

        Return how many requests there were.
        """
        state = "failed" if failed else "waiting"
        done = self._opened.execute(
            "UPDATE requests SET attempts = ?, outcome = ?, state = ? WHERE id = ?",
            (attempts, outcome, state, request_id),
        )
        return done.rowcount

    def retry(self, request_id: str) -> int:
        """Let a failed request wait again; return how many there were."""
        done = self._opened.execute(
            "UPDATE requests SET state = 'waiting', attempts = 0 WHERE id = ? AND state = 'failed'",
            (request_id,),
        )
        return done.rowcount

    def set_marks(self, token_id: str, hostname: str, rules: Collection[str]) -> None:
        """Remember which requests to a hostname are kept; none: forget it."""
        if rules:
            self._opened.execute(
                "INSERT OR REPLACE INTO marks VALUES (?, ?, ?)",
                (token_id, hostname, json.dumps(list(rules))),
            )
        else:
            self._opened.execute(
                "DELETE FROM marks WHERE token_id = ? AND hostname = ?", (token_id, hostname)
            )

    def forget_tokens(self, token_ids: Collection[str]) -> int:
        """Forget what was kept for tokens; return how many requests that were."""
        connection, count = self._opened, 0
        for one in token_ids:
            count += connection.execute("DELETE FROM requests WHERE token_id = ?", (one,)).rowcount
            connection.execute("DELETE FROM marks WHERE token_id = ?", (one,))
        return count

    def expire(self, before: int) -> int:
        """Forget requests from before a time, in nanoseconds; return how many still waited."""
        connection = self._opened
        (count,) = connection.execute(
            "SELECT count(*) FROM requests WHERE seq < ? AND state = 'waiting'", (before,)
        ).fetchone()
        connection.execute("DELETE FROM requests WHERE seq < ?", (before,))
        tokens = connection.execute(
            "SELECT token_id FROM requests WHERE state = 'failed' GROUP BY token_id "
            "HAVING count(*) > ?",
            (MAX_FAILED,),
        ).fetchall()
        for (token_id,) in tokens:
            connection.execute(
                "DELETE FROM requests WHERE id IN (SELECT id FROM requests WHERE token_id = ? "
                "AND state = 'failed' ORDER BY seq DESC LIMIT -1 OFFSET ?)",
                (token_id, MAX_FAILED),
            )
        return int(count)

    # -- reading -----------------------------------------------------------------------------

    def marks(self) -> dict[tuple[str, str], tuple[str, ...]]:
        """The rules by token id and hostname."""
        with self._errors():
            rows = self._opened.execute("SELECT token_id, hostname, rules FROM marks").fetchall()
        return {
            (token_id, hostname): tuple(json.loads(rules)) for token_id, hostname, rules in rows
        }

    def token_ids(self) -> set[str]:
        """The tokens for which something is kept."""
        with self._errors():
            sql = "SELECT token_id FROM requests UNION SELECT token_id FROM marks"
            return {token_id for (token_id,) in self._opened.execute(sql)}

    def usage(self) -> dict[str, tuple[int, int]]:
        """How many requests wait, and how many bytes they have, by token id."""
        sql = (
            "SELECT token_id, count(*), sum(size) FROM requests WHERE state = 'waiting' "
            "GROUP BY token_id"
        )
        with self._errors():
            return {one: (count, size) for one, count, size in self._opened.execute(sql)}

    def lanes(self) -> dict[Lane, int]:
        """How many requests wait in each lane."""
        sql = (
            "SELECT token_id, hostname, rule, count(*) FROM requests WHERE state = 'waiting' "
            "GROUP BY token_id, hostname, rule"
        )
        with self._errors():
            return {Lane(*lane): count for *lane, count in self._opened.execute(sql)}

    def waiting(
        self, lane: Lane, *, limit: int, max_bytes: int, taken: frozenset[str] = frozenset()
    ) -> tuple[list[InboxRecord], bool]:
        """Return the oldest requests of a lane, in order, and whether these are all.

        At least one where there is any. One that cannot be decrypted is marked as failed.

        Args:
            lane: Which one.
            limit: How many.
            max_bytes: Of all of them.
            taken: Ids of those that are left out.
        """
        found: list[InboxRecord] = []
        broken: list[tuple[str, str]] = []
        size = 0
        with self._errors():
            rows = self._opened.execute(
                f"SELECT id, seq, attempts, sealed FROM requests WHERE {_IN_LANE} "  # noqa: S608
                "AND state = 'waiting' ORDER BY seq, id LIMIT ?",
                (*lane, limit + len(taken)),
            )
            count = 0
            is_whole = True
            for request_id, seq, attempts, sealed in rows:
                count += 1
                if request_id in taken:
                    continue
                if found and size + len(sealed) > max_bytes:
                    is_whole = False
                    break
                size += len(sealed)
                try:
                    payload = self._box.open(sealed, purpose=f"inbox:{request_id}")
                except StorageError as error:
                    broken.append((request_id, str(error)))
                    continue
                found.append(InboxRecord(request_id, lane, seq, attempts, payload))
            rows.close()
        if broken:
            with self.transaction():
                for request_id, why in broken:
                    self.note(request_id, 0, why, failed=True)
        return found, is_whole and count < limit + len(taken)

    def rows(self, token_id: str | None = None) -> list[InboxRow]:
        """All requests, or those of one token, the oldest first."""
        where, values = ("", ()) if token_id is None else ("WHERE token_id = ?", (token_id,))
        with self._errors():
            sql = f"SELECT {_ROW} FROM requests {where} ORDER BY seq, id"  # noqa: S608
            return [_row(values) for values in self._opened.execute(sql, values)]

    def find(self, request_id: str) -> tuple[InboxRow, bytes] | None:
        """Return a request and its payload; None: there is none."""
        with self._errors():
            row = self._opened.execute(
                f"SELECT {_ROW}, sealed FROM requests WHERE id = ?",  # noqa: S608
                (request_id,),
            ).fetchone()
        if row is None:
            return None
        return _row(row[:-1]), self._box.open(row[-1], purpose=f"inbox:{request_id}")

    # -- inside ------------------------------------------------------------------------------

    @property
    def _opened(self) -> sqlite3.Connection:
        if self._connection is None:
            raise StorageError(f"the inbox {self.path} is not open")
        return self._connection

    @contextmanager
    def _errors(self) -> Iterator[None]:
        try:
            yield
        except (sqlite3.Error, OSError) as error:
            said = getattr(error, "strerror", None) or str(error)
            sentence = f"the inbox {self.path} cannot be used ({said}); check its disk and owner"
            raise StorageError(sentence) from error


def _row(values: tuple[str, str, str, str, int, int, str, int, str]) -> InboxRow:
    request_id, token_id, hostname, rule, seq, size, state, attempts, outcome = values
    lane = Lane(token_id, hostname, rule)
    return InboxRow(request_id, lane, seq, size, state, attempts, outcome)
