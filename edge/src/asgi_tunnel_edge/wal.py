"""SQLite's write-ahead log: readers and one writer of a file work side by side."""

from __future__ import annotations

import sqlite3
import time
from typing import Final

__all__ = ["use_wal"]

_RETRY: Final = 0.01  # seconds


def use_wal(connection: sqlite3.Connection, patience: float) -> None:
    """Switch a file to it, where it is not.

    SQLite waits for nobody while it does, whatever the connection's timeout: of several processes
    that open a new file at the same moment, one may be told that it is locked.

    Args:
        connection: Of the file.
        patience: Seconds for others to be done.

    Raises:
        sqlite3.Error: It is locked for longer, or is no database.
    """
    end = time.monotonic() + patience
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
        except sqlite3.OperationalError as error:
            is_locked = error.sqlite_errorcode & 0xFF == sqlite3.SQLITE_BUSY  # and why, above it
            if not is_locked or time.monotonic() >= end:
                raise
            time.sleep(_RETRY)
        else:
            return
