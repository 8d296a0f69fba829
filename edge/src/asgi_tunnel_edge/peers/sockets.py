"""The sockets between processes of one machine: who may connect, and paths that are too long."""

from __future__ import annotations

import contextlib
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import Final

__all__ = ["PEER_FOLDER", "connect_unix", "is_same_user", "listen_unix"]

PEER_FOLDER: Final = "peers"
"""Folder of these sockets, in the edge's own."""

_LONGEST: Final = 100  # bytes of a socket's path that every system takes; Linux: 107
_BACKLOG: Final = 128
_CREDENTIALS: Final = Struct("3i")  # process, user, group: unix(7)


def listen_unix(path: Path) -> socket.socket:
    """Listen at a path that only this user can open; what dead processes left beside it goes.

    Raises:
        OSError: The folder cannot be written.
    """
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for other in path.parent.glob("*.sock"):
        if not _is_answered(other):
            with contextlib.suppress(OSError):
                other.unlink()
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the socket is made with the mode that it keeps
    try:
        with _short(path) as short:
            sock.bind(short)
        sock.listen(_BACKLOG)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def connect_unix(path: Path) -> socket.socket:
    """Connect to a process of this machine; it has accepted at once, or has no room.

    Raises:
        OSError: Nobody listens there, or its line of connections is full.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    sock.setblocking(False)
    try:
        with _short(path) as short:
            sock.connect(short)
    except BaseException:
        sock.close()
        raise
    return sock


def is_same_user(sock: socket.socket) -> bool:
    """Whether the process at the other end runs as this one's user; the kernel says so."""
    if not hasattr(socket, "SO_PEERCRED"):  # macOS: the socket's mode alone decides
        return True
    found = sock.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, _CREDENTIALS.size)
    return int(_CREDENTIALS.unpack(found)[1]) == os.getuid()


def _is_answered(path: Path) -> bool:
    try:
        connect_unix(path).close()
    except BlockingIOError:
        return True
    except OSError:
        return False
    return True


@contextlib.contextmanager
def _short(path: Path) -> Iterator[str]:
    """Give a path that fits into an address, however long the folder's is."""
    if len(os.fsencode(path)) <= _LONGEST:
        yield str(path)
        return
    handle = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
    try:
        folder = Path(f"/proc/self/fd/{handle}")
        if not folder.is_dir():
            raise OSError(f"the path {path} is too long for a socket; use a shorter data_dir")
        yield str(folder / path.name)
    finally:
        os.close(handle)
