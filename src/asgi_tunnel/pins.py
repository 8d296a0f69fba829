"""Which certificates of an edge an app takes: the token's, or those the edge has named since.

What an edge names in WELCOME came over a connection that was checked. It is kept in memory and in
a small file, so that an app that is started after the edge has changed its certificate is let in
with the token that it has. It leaves to ``dial`` to compare, and to ``connector`` to ask and tell.
"""

from __future__ import annotations

import contextlib
import logging
import os
import stat
import tempfile
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Final

import anyio.to_thread

from .protocol.limits import MAX_PINS
from .protocol.text import is_pin

if TYPE_CHECKING:
    from collections.abc import Sequence

    from .token import Token

__all__ = ["MAX_FILE_SIZE", "KnownPins"]

_log = logging.getLogger("asgi_tunnel.connector")

_FLAGS: Final = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)

MAX_FILE_SIZE: Final = 1024
"""Bytes that are read of the file: four pins have 288."""


class KnownPins:
    """The pins of one edge, for the life of a process.

    Args:
        token: Has a pin.
        folder: Of the file; made when there is something to keep. None: nothing is kept.

    Attributes:
        path: The file. Its name is made of the edge's URL and the token's pin, so that a token of
            an edge that was set up anew begins anew. None without a folder.
    """

    def __init__(self, token: Token, folder: Path | None) -> None:
        self._first = token.pin or ""
        self._learned: tuple[str, ...] = ()  # from the edge, by this process
        self._known: tuple[str, ...] = ()  # and from the file, at the last look
        self._has_warned = False
        # Not among the app's: a connection would wait for them, where they wait for a database.
        self._threads = anyio.CapacityLimiter(1)
        name = sha256(f"{token.edge}\n{self._first}".encode()).hexdigest()[:32]
        self.path = None if folder is None else folder / name

    async def accepted(self) -> tuple[str, ...]:
        """Return the pins to accept now: what the edge has named last, else the token's.

        Another process of the app may have heard of later ones: the file is read each time.
        Cancelling it changes nothing.
        """
        stored = await anyio.to_thread.run_sync(self._read, limiter=self._threads)
        self._known = tuple(dict.fromkeys((*self._learned, *stored)))
        return self._known or (self._first,)

    async def learn(self, pins: Sequence[str]) -> None:
        """The edge has named pins; none: it does not know of this, and nothing changes.

        Cancelling it may leave the file as it was. A file that cannot be written is in the log
        once.
        """
        if pins:
            self._learned = tuple(pins)
            await anyio.to_thread.run_sync(self._write, self._learned, limiter=self._threads)

    @property
    def kept_in(self) -> str:
        """The file, where the edge has named pins; empty where the token's is the only one."""
        return str(self.path) if self._known and self.path is not None else ""

    def _read(self) -> tuple[str, ...]:
        if self.path is None:
            return ()
        try:
            # A link, or what others may write, is nobody's word for whom to trust.
            number = os.open(self.path, _FLAGS)
            with open(number, "rb") as file:  # noqa: PTH123 - opened above
                status = os.fstat(number)
                data = file.read(MAX_FILE_SIZE + 1)
        except FileNotFoundError:
            return ()
        except OSError as error:
            self._warn(f"cannot be read ({error.strerror})")
            return ()
        if hasattr(os, "geteuid") and (status.st_uid != os.geteuid() or status.st_mode & 0o022):
            self._warn("belongs to another user, or others may write it")
            return ()
        pins = tuple(data.decode("ascii", "replace").split())
        is_short = len(data) <= MAX_FILE_SIZE and len(pins) <= MAX_PINS
        if not (stat.S_ISREG(status.st_mode) and is_short and all(map(is_pin, pins))):
            self._warn("is no list of pins")
            return ()
        return pins

    def _write(self, pins: tuple[str, ...]) -> None:
        if self.path is None or self._read() == pins:
            return
        try:
            self.path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(prefix=".new-", dir=self.path.parent)  # mode 0600
            try:
                with os.fdopen(handle, "w") as file:
                    file.write("\n".join([*pins, ""]))
                Path(name).replace(self.path)
            except BaseException:
                with contextlib.suppress(OSError):
                    Path(name).unlink()
                raise
        except OSError as error:
            self._warn(f"cannot be written ({error.strerror})")

    def _warn(self, why: str) -> None:
        if not self._has_warned:
            self._has_warned = True
            _log.warning(
                "%s %s: once the edge has changed its certificate, this app is not let in when it "
                "is started again; make it a file of this user, or set ASGI_TUNNEL_PINS to a "
                "folder that is kept",
                self.path,
                why,
            )
