"""A log's file under its name: opened to append, and again once the name leads elsewhere.

Who rotates logs renames or removes the file. What is written after that belongs into a new one
under the old name, whether somebody says so (SIGHUP) or not. That holds for a file that the log
names itself, and for standard output and standard error where a shell or a service manager has
sent them to a file. Used by the threads of :mod:`.access_log` and :mod:`.log_handler`.
"""

from __future__ import annotations

import os
import stat
from contextlib import suppress
from pathlib import Path
from typing import Final

__all__ = ["LogFile"]

_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
_MODE: Final = 0o640


class LogFile:
    """See the module; used by one thread.

    Args:
        path: The file to append to; None: what ``handle`` leads to.
        handle: Of standard output or standard error. Its number stays, so that what Python itself
            writes there goes into the new file, too.

    Attributes:
        handle: The descriptor to write to; -1 while there is none.
        path: The file; None for a pipe, a terminal, or where it cannot be known.
    """

    def __init__(self, path: Path | None = None, *, handle: int = -1) -> None:
        self._is_standard = path is None
        self.handle = handle
        self.path = _path_of(handle) if path is None else path

    def open(self) -> bool:
        """Open the file if what is open is not it; return whether that was so.

        Raises:
            OSError: It cannot be opened, or the folder does not exist. Never for a standard stream,
                which then goes on as it is.
        """
        if self._is_current():
            return False
        assert self.path is not None
        if self._is_standard:
            with suppress(OSError):
                # The name was found in /proc, where no link is left to be followed.
                new = os.open(self.path, _FLAGS | os.O_NOFOLLOW, _MODE)
                os.dup2(new, self.handle)
                os.close(new)
                return True
            return False
        new = os.open(self.path, _FLAGS, _MODE)
        self.close()
        self.handle = new
        return True

    def close(self) -> None:
        """Close the file; a standard stream stays open."""
        if self.handle >= 0 and not self._is_standard:
            os.close(self.handle)
            self.handle = -1

    def _is_current(self) -> bool:
        if self._is_standard and self.path is None:
            return True
        if self.handle < 0 or self.path is None:
            return False
        try:
            return _is_same(self.path.stat(), os.fstat(self.handle))
        except FileNotFoundError:
            return False
        except OSError:
            return True  # it cannot be looked at: what is open is better than nothing


def _path_of(handle: int) -> Path | None:
    """The name of the regular file that a descriptor leads to; Linux only."""
    try:
        status = os.fstat(handle)
        path = Path(f"/proc/self/fd/{handle}").readlink()
        if stat.S_ISREG(status.st_mode) and _is_same(path.stat(), status):
            return path
    except OSError:  # removed already, or there is no /proc
        pass
    return None


def _is_same(one: os.stat_result, other: os.stat_result) -> bool:
    return (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev)
