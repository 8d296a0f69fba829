"""The control socket in the edge's folder: where it is, how it is opened, how it is asked.

One JSON object a line, in each direction; a reply for each request, in their order
(docs/reference/control.md). Only the edge's own user can open it. Used by the parent, which owns
it, and by commands such as ``asgi-tunnel-edge status``.
"""

from __future__ import annotations

import contextlib
import json
import os
import socket
from collections.abc import Iterator
from typing import Any, Final

__all__ = ["CONTROL_FILE", "MAX_REPLY", "ask", "connect_control", "open_control", "remove_control"]

CONTROL_FILE: Final = "edge.control"

MAX_REPLY: Final = 16 * 1024 * 1024
"""Bytes of one reply: a list of 10,000 tunnels with 1 KiB of each."""

_LONGEST: Final = 96  # bytes of a socket's path that every system takes, with .new; Linux: 107
_BACKLOG: Final = 16
_READ: Final = 65536


def open_control(folder: str) -> socket.socket | None:
    """Listen in an edge's folder; None where another running edge does already.

    Raises:
        OSError: The folder cannot be written.
    """
    with contextlib.suppress(OSError):
        connect_control(folder).close()
        return None
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)  # the socket is made with the mode that it keeps
    try:
        with _short(folder) as path:
            new = f"{path}.new"
            with contextlib.suppress(FileNotFoundError):
                os.unlink(new)
            sock.bind(new)
            sock.listen(_BACKLOG)
            # Whoever finds it can connect. It takes the place of one whose edge was killed.
            os.rename(new, path)
        sock.setblocking(False)
    except BaseException:
        sock.close()
        raise
    finally:
        os.umask(before)
    return sock


def remove_control(folder: str) -> None:
    """Take the socket of an edge that ends out of its folder."""
    with contextlib.suppress(OSError), _short(folder) as path:
        os.unlink(path)


def connect_control(folder: str) -> socket.socket:
    """Connect to the edge that runs in a folder.

    Raises:
        OSError: None runs there, or it is another user's.
    """
    sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        with _short(folder) as path:
            sock.connect(path)
    except BaseException:
        sock.close()
        raise
    return sock


def ask(folder: str, request: dict[str, Any], timeout: float) -> dict[str, Any]:
    """Send one request to the edge that runs in a folder; return its reply.

    Args:
        folder: The edge's.
        request: Its ``command`` says what is asked for.
        timeout: Seconds, for each part of the reply.

    Raises:
        OSError: No edge runs there.
        TimeoutError: It did not reply.
        ConnectionError: It ended before it did.
    """
    with connect_control(folder) as sock:
        sock.settimeout(timeout)
        sock.sendall(json.dumps(request).encode() + b"\n")
        data = bytearray()
        while not data.endswith(b"\n") and len(data) <= MAX_REPLY:
            piece = sock.recv(_READ)
            if not piece:
                raise ConnectionResetError("the edge has closed the control socket")
            data += piece
    reply = json.loads(data)
    if not isinstance(reply, dict):
        raise ConnectionAbortedError("the control socket says something else")
    return reply


@contextlib.contextmanager
def _short(folder: str) -> Iterator[str]:
    """A path of the socket that fits into an address, however long the folder's is."""
    path = os.path.join(folder, CONTROL_FILE)
    if len(os.fsencode(path)) <= _LONGEST:
        yield path
        return
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        if os.path.isdir(f"/proc/self/fd/{handle}"):
            yield f"/proc/self/fd/{handle}/{CONTROL_FILE}"
            return
        before = os.open(".", os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fchdir(handle)
            yield CONTROL_FILE
        finally:
            os.fchdir(before)
            os.close(before)
    finally:
        os.close(handle)
