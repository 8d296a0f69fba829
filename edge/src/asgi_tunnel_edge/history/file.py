"""Rows of counts in a SQLite file: minutes of two days, hours of two months.

Plain ``sqlite3``, without the store's tables: what is lost here is lost for a picture. Rows are
added to those that are there, in one transaction, so two processes of an edge may write the same
minute. Every method blocks, and is called in a thread; each opens the file anew, so that there is
nothing to close.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from ..files import PRIVATE
from ..wal import use_wal
from .tally import Tally

__all__ = ["HOUR", "MINUTE", "OTHERS", "HistoryFile"]

MINUTE: Final = 60
HOUR: Final = 3600

KEEP: Final = {MINUTE: 48 * HOUR, HOUR: 60 * 24 * HOUR}
"""Seconds that rows are kept, by the span of each: what an operator compares with the day before,
and with the month before."""

MAX_NAMES: Final = 100
"""Hostnames of one minute or hour that have a row of their own, those with the most requests; the
others share one. 48 h of minutes and 60 days of hours are 430,000 rows then, 110 MB."""

OTHERS: Final = "+"
"""Stands for hostnames that have no row of their own; none is spelt so."""

_TABLES: Final = {MINUTE: "minutes", HOUR: "hours"}
_BUSY: Final = 5.0  # seconds to wait for the other process's write, which takes milliseconds

_MAKE: Final = """
CREATE TABLE IF NOT EXISTS {table} (
    start INTEGER NOT NULL, hostname TEXT NOT NULL, requests INTEGER NOT NULL,
    s1 INTEGER NOT NULL, s2 INTEGER NOT NULL, s3 INTEGER NOT NULL, s4 INTEGER NOT NULL,
    s5 INTEGER NOT NULL, sent INTEGER NOT NULL, durations BLOB NOT NULL,
    PRIMARY KEY (start, hostname)
) WITHOUT ROWID"""
# The names in these sentences are all of this module.
_COLUMNS: Final = "requests, s1, s2, s3, s4, s5, sent, durations"
_ONE: Final = f"SELECT {_COLUMNS} FROM {{table}} WHERE start = ? AND hostname = ?"  # noqa: S608
_PUT: Final = f"INSERT OR REPLACE INTO {{table}} VALUES ({','.join('?' * 10)})"  # noqa: S608


class HistoryFile:
    """See the module.

    Args:
        path: Of the file; made where it is missing.
    """

    def __init__(self, path: Path) -> None:
        self._path = path

    def add(self, start: int, tallies: Mapping[str, Tally]) -> None:
        """Add the counts of one minute, and forget what is too old.

        Args:
            start: Of the minute, in seconds since 1970.
            tallies: By hostname.

        Raises:
            OSError: The file cannot be made.
            sqlite3.Error: It cannot be written, or is none.
        """
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            for span, table in _TABLES.items():
                begin = start - start % span
                for name, tally in _bounded(tallies).items():
                    _add(connection, table, begin, name, tally)
                old = start - KEEP[span]
                connection.execute(f"DELETE FROM {table} WHERE start < ?", (old,))  # noqa: S608
            connection.execute("COMMIT")

    def read(
        self, span: int, since: int, hostnames: Collection[str] | None
    ) -> list[tuple[int, str, Tally]]:
        """Return rows, oldest first: start (seconds since 1970), hostname and counts.

        Args:
            span: MINUTE or HOUR.
            since: Seconds since 1970.
            hostnames: Only of these; None: of all.

        Raises:
            sqlite3.Error: The file cannot be read, or is none.
        """
        if not self._path.exists():
            return []
        table = _TABLES[span]
        text = f"SELECT start, hostname, {_COLUMNS} FROM {table} WHERE start >= ?"  # noqa: S608
        values: list[object] = [since]
        if hostnames is not None:
            text += f" AND hostname IN ({','.join('?' * len(hostnames))})"
            values += hostnames
        with self._open() as connection:
            rows = connection.execute(f"{text} ORDER BY start, hostname", values)
            return [(start, name, _tally(row)) for start, name, *row in rows]

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        if not self._path.exists():
            os.close(os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE))
        connection = sqlite3.connect(self._path, timeout=_BUSY, isolation_level=None)
        try:
            use_wal(connection, _BUSY)
            connection.execute("PRAGMA synchronous = NORMAL")  # a minute may be lost with the power
            for table in _TABLES.values():
                connection.execute(_MAKE.format(table=table))
            yield connection
        finally:
            connection.close()


def _bounded(tallies: Mapping[str, Tally]) -> dict[str, Tally]:
    """Return the busiest by themselves, and the others together."""
    busiest = sorted(tallies.items(), key=lambda pair: (-pair[1].requests, pair[0]))
    found = dict(busiest[:MAX_NAMES])
    if len(busiest) > MAX_NAMES:
        found[OTHERS] = Tally.sum(tally for _, tally in busiest[MAX_NAMES:])
    return found


def _add(connection: sqlite3.Connection, table: str, start: int, name: str, tally: Tally) -> None:
    row = connection.execute(_ONE.format(table=table), (start, name)).fetchone()
    if row is None and name != OTHERS:
        # Other minutes of the hour, or the other process, may have filled the places.
        text = f"SELECT count(*) FROM {table} WHERE start = ?"  # noqa: S608
        if connection.execute(text, (start,)).fetchone()[0] > MAX_NAMES:
            name = OTHERS
            row = connection.execute(_ONE.format(table=table), (start, name)).fetchone()
    whole = tally if row is None else _tally(row).add(tally)
    values = (start, name, whole.requests, *whole.statuses, whole.sent, whole.pack())
    connection.execute(_PUT.format(table=table), values)


def _tally(row: Collection[object]) -> Tally:
    requests, s1, s2, s3, s4, s5, sent, durations = row
    statuses = (s1, s2, s3, s4, s5)
    return Tally.unpack(requests, statuses, sent, durations)  # type: ignore[arg-type]
