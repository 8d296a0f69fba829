"""The parent's own lines on standard error, in the form of the edge's other lines.

A service manager or a shell may have sent standard output and error to files that are rotated. The
serving process sees that by itself (``observers.log_file``); here the same is done for the
parent's descriptors, which the next serving process inherits.
"""

from __future__ import annotations

import os
import select
import stat
import time
from typing import Final

__all__ = ["log", "pass_on", "reopen_streams"]

_LOGGER: Final = "asgi_tunnel_edge.parent"
_MAX_LINE: Final = 2048  # bytes: a pipe that has room for anything takes PIPE_BUF, 4,096
_FLAGS: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW
_MODE: Final = 0o640  # as observers.log_file has it

_paths: dict[int, str | None] = {}  # the regular files of standard output and error


def log(level: str, text: str) -> None:
    """Write a line; left out where nobody reads, for the parent may never wait for a reader."""
    reopen_streams()
    now = time.time()
    at = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    line = f"{at}.{int(now % 1 * 1000):03d}Z {level} {_LOGGER}: {text}"
    pass_on(line.encode("utf-8", "backslashreplace").replace(b"\n", b" ")[:_MAX_LINE] + b"\n")


def pass_on(data: bytes) -> None:
    """Write bytes to standard error, where somebody reads it."""
    try:
        if select.select([], [2], [], 0)[1]:
            os.write(2, data)
    except (OSError, ValueError):  # closed, or the disk is full; serving goes on
        return


def reopen_streams() -> None:
    """Leave files that were renamed or removed, for new ones under the old names."""
    for handle in (1, 2):
        if handle not in _paths:
            _paths[handle] = _path_of(handle)
        path = _paths[handle]
        if path is not None and not _is_same(path, handle):
            try:
                new = os.open(path, _FLAGS, _MODE)
            except OSError:
                continue  # it goes on as it is
            os.dup2(new, handle)
            os.close(new)


def _path_of(handle: int) -> str | None:
    try:
        path = os.readlink(f"/proc/self/fd/{handle}")
        if stat.S_ISREG(os.fstat(handle).st_mode) and _is_same(path, handle):
            return path
    except OSError:  # closed, removed already, or there is no /proc
        pass
    return None


def _is_same(path: str, handle: int) -> bool:
    try:
        one, other = os.stat(path), os.fstat(handle)
    except FileNotFoundError:
        return False
    except OSError:
        return True  # it cannot be looked at: what is open is better than nothing
    return (one.st_ino, one.st_dev) == (other.st_ino, other.st_dev)
