"""A Unix socket of the user's own: how this process is asked, and by nobody else.

Nothing listens on the network. What opens one is :mod:`.status` and :mod:`.inspector.socket`.
"""

from __future__ import annotations

import os
import socket
import stat
from pathlib import Path
from typing import Final

__all__ = ["has_own_sockets", "is_own", "listen"]

LONGEST_PATH: Final = 100
"""Bytes of a socket's path that every system takes; Linux: 107."""


def has_own_sockets() -> bool:
    """Whether this system has them."""
    return hasattr(socket, "AF_UNIX") and os.name != "nt"


def is_own(folder: Path) -> bool:
    """Whether a folder is this user's, and nobody else may write there; a link is not."""
    status = folder.lstat()
    is_safe = stat.S_ISDIR(status.st_mode) and not status.st_mode & 0o022
    return is_safe and status.st_uid == os.geteuid()


def listen(path: Path, backlog: int) -> socket.socket:
    """Return a socket that listens, for its user alone; called in a thread: the disk may be slow.

    Args:
        path: Of the socket; its folder is made where it is not there.
        backlog: Connections that the system keeps until they are accepted.

    Raises:
        OSError: It cannot be had, or others might get to it.
    """
    folder = path.parent
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise OSError(f"the path {path} is too long for a socket")
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    if not is_own(folder):
        raise OSError(f"{folder} belongs to another user, or others may write there")
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        sock.bind(str(path))
        path.chmod(0o600)  # nobody else gets into the folder either
        sock.listen(backlog)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    return sock
