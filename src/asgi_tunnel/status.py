"""Says what this process's tunnel does to who asks on this machine: ``asgi-tunnel status``.

A Unix socket in a folder of the user's own, for nothing here listens on the network. Whoever
connects gets one JSON object and the end: nothing is read, and nobody is waited for, so there is
nothing to fill. Opened by :mod:`.connector`; what is said is its business.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import os
import socket
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

import anyio.to_thread

from .own_socket import has_own_sockets, is_own, listen

__all__ = ["MAX_REPLY", "ConnectionStatus", "StatusSocket", "ask_all"]

_log = logging.getLogger("asgi_tunnel.connector")

SUFFIX: Final = ".status"

MAX_REPLY: Final = 128 * 1024
"""Bytes of one reply, as much as all bounds below together make. It leaves at once or is cut, so
the socket's buffer has to have room for it."""

ASK_TIMEOUT: Final = 2.0
"""Seconds for a process to reply: one whose event loop is blocked does not."""

MAX_TEXT: Final = 300
"""Characters of one text in a reply: a sentence, a hostname."""

MAX_NAMES: Final = 50
"""Hostnames, and URLs, in one reply; a token may have a hundred."""

MAX_SERVICES: Final = 100
"""Services in one reply; a table may have a thousand lines."""

_ACCEPTED: Final = 8  # connections in one turn of the event loop
_BACKLOG: Final = 8
_READ: Final = 65536


class ConnectionStatus:
    """What is known of one of a tunnel's connections, for people: when, and why not.

    Attributes:
        state: "dialing", "connected", "waiting" (for the next try), or "stopped".
        since: Of the state, in seconds since 1970.
        edge: Where it leads to: an address, of the proxy where there is one.
        edge_url: Which of several edges that is; empty: the edge names no others.
        resumed: How many times its session went on over another connection.
        error: Why there was none last, in one sentence; empty: there always was.
        error_at: When, in seconds since 1970.
    """

    def __init__(self) -> None:
        self.state = "dialing"
        self.since = time.time()
        self.edge = ""
        self.edge_url = ""
        self.resumed = 0
        self.error = ""
        self.error_at: float | None = None
        self._next_try = 0.0  # monotonic

    def connected(self, edge: str, edge_url: str = "", *, is_resumed: bool) -> None:
        """There is a connection."""
        self._set("connected")
        self.edge = edge
        self.edge_url = edge_url
        self.resumed += is_resumed

    def failed(self, sentence: str) -> None:
        """A connection was lost, refused or not reached."""
        self.error = sentence[:MAX_TEXT]
        self.error_at = time.time()

    def waits(self, seconds: float) -> None:
        """The next try comes after ``seconds``."""
        self._set("waiting" if seconds else "dialing")
        self._next_try = time.monotonic() + seconds

    def dials(self) -> None:
        """A try begins."""
        self._set("dialing")

    def stops(self) -> None:
        """No try will come."""
        self._set("stopped")

    def describe(self) -> dict[str, Any]:
        """Return it for a program."""
        left = max(self._next_try - time.monotonic(), 0.0)
        return {
            "state": self.state,
            "since": self.since,
            "edge": self.edge,
            "edge_url": self.edge_url or None,
            "resumed": self.resumed,
            "error": self.error or None,
            "error_at": self.error_at,
            "next_try_in": round(left, 1) if self.state == "waiting" else None,
        }

    def _set(self, state: str) -> None:
        if state != self.state:
            self.state = state
            self.since = time.time()


class StatusSocket:
    """Answers on a socket of its own, while it is open.

    Args:
        folder: Of the sockets of all processes; made where it is not there.
        name: Of this one; unique in the folder.
        describe: Returns what is said; called for each who asks.
    """

    def __init__(self, folder: Path, name: str, describe: Callable[[], dict[str, Any]]) -> None:
        self._path = folder / f"{name}{SUFFIX}"
        self._describe = describe
        self._socket: socket.socket | None = None
        self._is_closed = False
        self._loop: asyncio.AbstractEventLoop | None = None

    async def open(self) -> None:
        """Open it; where that cannot be done, the log says so at DEBUG and all else goes on.

        Cancelling it loses nothing that :meth:`close` does not close.
        """
        if not has_own_sockets():
            return
        try:
            await anyio.to_thread.run_sync(self._listen)
        except OSError as error:
            _log.debug("= `asgi-tunnel status` does not see this process: %s", error)
        sock = self._socket
        if sock is not None and not self._is_closed:
            self._loop = asyncio.get_running_loop()
            self._loop.add_reader(sock.fileno(), self._accept)

    def close(self) -> None:
        """Close it and take it out of the folder; may be called twice."""
        self._is_closed = True
        sock, self._socket = self._socket, None
        if sock is None:
            return
        if self._loop is not None and not self._loop.is_closed():
            self._loop.remove_reader(sock.fileno())
        sock.close()
        with contextlib.suppress(OSError):
            self._path.unlink()

    def _listen(self) -> None:
        """Open it, in a thread: the disk may be slow."""
        self._socket = listen(self._path, _BACKLOG)
        if self._is_closed:  # meanwhile
            self.close()

    def _accept(self) -> None:
        for _ in range(_ACCEPTED):
            if self._socket is None:
                return
            try:
                client, _ = self._socket.accept()
            except OSError:  # nobody is left, or no descriptor
                return
            with client, contextlib.suppress(OSError):
                client.setblocking(False)
                client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2 * MAX_REPLY)
                client.send(json.dumps(self._describe()).encode()[:MAX_REPLY])


def ask_all(folders: Sequence[Path]) -> list[dict[str, Any]]:
    """Return what every process says whose socket is in one of ``folders``, oldest first.

    Folders of others are left out; root may ask anybody's. A socket that nobody answers, of a
    process that was killed, is taken away. One that does not reply in time is told of with its
    ``pid`` and an ``error``.
    """
    found: list[dict[str, Any]] = []
    for folder in folders:
        try:
            owns = is_own(folder)
            paths = sorted(folder.glob(f"*{SUFFIX}")) if owns or os.geteuid() == 0 else []
        except OSError:
            continue
        for path in paths:
            said = _ask(path, owns=owns)
            if said is not None:
                found.append(said)
    return sorted(found, key=lambda one: float(one.get("started", 0)))


def _ask(path: Path, *, owns: bool) -> dict[str, Any] | None:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        sock.settimeout(ASK_TIMEOUT)
        try:
            sock.connect(str(path))
            data = bytearray()
            while len(data) <= MAX_REPLY and (piece := sock.recv(_READ)):
                data += piece
            said = json.loads(data)
        except ConnectionRefusedError:
            if owns:  # else root would remove what somebody else may have led it to
                with contextlib.suppress(OSError):
                    path.unlink()
            return None
        except FileNotFoundError:
            return None
        except (OSError, ValueError) as error:
            why = "it does not reply" if isinstance(error, TimeoutError) else "its reply is cut"
            pid = path.name.partition("-")[0]
            return {"pid": int(pid) if pid.isdecimal() else 0, "error": why}
    return said if isinstance(said, dict) else None
