"""Renames a log file that is large or old enough, and keeps a bounded number of renamed ones.

``access.log`` becomes ``access.log.1``, which was ``access.log.2`` before, and so on. Between a
reload and the end of the process before it two processes write to one file, so a lock on the file
itself (flock) says who may do what: all who write hold it together, who renames holds it alone. So
a file is renamed once, and nobody writes to one that has lost its name: no line is lost.

A process that dies in the middle leaves a number unused, and nothing else. Used by the thread of
:mod:`.access_log`; reopening is left to :mod:`.log_file`.
"""

from __future__ import annotations

import os
import re
import stat
import time
from calendar import timegm
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

try:
    import fcntl
except ImportError:  # Windows, where a file that is open cannot be renamed either
    fcntl = None  # type: ignore[assignment]

__all__ = ["Rotation"]

_HEAD: Final = 64
_TIME: Final = re.compile(rb"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ")
_FORM: Final = "%Y-%m-%dT%H:%M:%SZ"


class Rotation:
    """See the module; used by one thread.

    Args:
        path: The file that lines are appended to.
        max_bytes: It is renamed before it would become larger; 0: whatever its size.
        max_age: Seconds from the time in its first line after which it is renamed; 0: never.
        keep: How many renamed files stay.
        wall: Seconds since 1970.
    """

    def __init__(
        self,
        path: Path,
        *,
        max_bytes: int = 0,
        max_age: float = 0.0,
        keep: int = 7,
        wall: Callable[[], float] = time.time,
    ) -> None:
        self._path = path
        self._max_bytes = max_bytes
        self._max_age = max_age
        self._keep = keep
        self._wall = wall
        self._file: tuple[int, int] | None = None  # whose first line was read
        self._began: float | None = None  # its time

    def is_due(self, handle: int, more: int) -> bool:
        """Whether a file is to be renamed before something is appended.

        Args:
            handle: Of the file.
            more: Bytes to append.
        """
        status = os.fstat(handle)
        if not status.st_size or not stat.S_ISREG(status.st_mode):
            return False
        if self._max_bytes and status.st_size + more > self._max_bytes:
            return True
        if not self._max_age:
            return False
        file = (status.st_dev, status.st_ino)
        if file != self._file or self._began is None:
            self._file, self._began = file, self._read_began()
        return self._wall() - self._began >= self._max_age

    def rotate(self, handle: int, more: int) -> bool:
        """Rename the file; False: somebody writes to it, or has renamed it already.

        Args:
            handle: Of the file.
            more: Bytes to append.

        Raises:
            OSError: A file cannot be renamed or removed.
        """
        if not _lock(handle, alone=True):
            return False
        try:
            if not self._is_named(handle) or not self.is_due(handle, more):
                return False
            self._shift()
            self._path.rename(self._numbered(1))
        finally:
            _unlock(handle)
        return True

    @contextmanager
    def writing(self, handle: int) -> Iterator[bool]:
        """Hold the file: while that is so nobody renames it.

        Yields:
            Whether it still has its name; otherwise it has to be left.
        """
        _lock(handle, alone=False)
        try:
            yield self._is_named(handle)
        finally:
            _unlock(handle)

    def _is_named(self, handle: int) -> bool:
        try:
            named = self._path.stat()
        except FileNotFoundError:
            return False
        status = os.fstat(handle)
        return (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino)

    def _shift(self) -> None:
        """Make the number 1 free: up to the first number that is not used, all move by one."""
        for number in self._numbers():
            if number > self._keep:  # as many were kept before
                self._numbered(number).unlink(missing_ok=True)
        free = 1
        while free < self._keep and self._numbered(free).exists():
            free += 1
        for number in range(free - 1, 0, -1):
            with suppress(FileNotFoundError):
                self._numbered(number).replace(self._numbered(number + 1))

    def _numbers(self) -> list[int]:
        name = re.compile(re.escape(self._path.name) + r"\.([1-9][0-9]{0,8})")
        names = (name.fullmatch(one.name) for one in self._path.parent.iterdir())
        return [int(match[1]) for match in names if match is not None]

    def _numbered(self, number: int) -> Path:
        return self._path.with_name(f"{self._path.name}.{number}")

    def _read_began(self) -> float:
        """The time in the first line; now, where there is none."""
        try:
            with self._path.open("rb") as file:
                match = _TIME.search(file.read(_HEAD))
        except OSError:
            match = None
        if match is None:
            return self._wall()
        try:
            return timegm(time.strptime(match[0].decode(), _FORM))
        except ValueError:
            return self._wall()


def _lock(handle: int, *, alone: bool) -> bool:
    """Lock a file; False: somebody else has it, and ``alone`` was asked for."""
    if fcntl is not None:
        how = fcntl.LOCK_EX | fcntl.LOCK_NB if alone else fcntl.LOCK_SH
        try:
            fcntl.flock(handle, how)
        except BlockingIOError:
            return False
        except OSError:  # a file system without locks; then one process may write to it
            pass
    return True


def _unlock(handle: int) -> None:
    if fcntl is not None:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_UN)
