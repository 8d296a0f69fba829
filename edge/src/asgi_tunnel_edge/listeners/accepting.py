"""Takes connections out of the kernel's queue, all that wait, in each turn of the event loop.

That queue is first come, first served, and the one place in which no group has a share: who comes
last waits for all who came before. So it is emptied at once, and whoever is taken is judged here,
where the largest group gives way. uvloop's own servers accept one connection in a turn: with long
turns, those that others' floods make, a visitor behind 1,500 silent connections waited 9 s.

Called by :mod:`.acceptor` and :mod:`.plain`.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from ..descriptors import DescriptorWatch

__all__ = ["ListeningSockets", "accept_all"]

ACCEPTS: Final = 1024
"""Connections accepted in one turn of the event loop before others get theirs: at 20 us for one
that is turned away, 20 ms."""

PAUSE: Final = 0.25
"""Seconds without accepting after the system had no descriptor left: no busy loop."""


def accept_all(
    listener: socket.socket, on_connection: Callable[[socket.socket, str], None]
) -> None:
    """Accept what waits, :data:`ACCEPTS` at most.

    Args:
        listener: Listening and non-blocking.
        on_connection: Gets each connection, non-blocking, and its peer's address.

    Raises:
        OSError: There is no descriptor or no memory left.
    """
    for _ in range(ACCEPTS):
        try:
            connection, peer = listener.accept()
        except (BlockingIOError, InterruptedError, ConnectionAbortedError):
            return
        connection.setblocking(False)
        on_connection(connection, str(peer[0]))


class ListeningSockets:
    """See the module.

    Args:
        sockets: Listening and non-blocking; they stay the caller's.
        on_connection: Gets each connection, non-blocking, and its peer's address.
        watch: Hears that no descriptor was left.
    """

    def __init__(
        self,
        sockets: Sequence[socket.socket],
        on_connection: Callable[[socket.socket, str], None],
        watch: DescriptorWatch,
    ) -> None:
        self._sockets = list(sockets)
        self._on_connection = on_connection
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._pause = None
        for sock in self._sockets:
            self._loop.add_reader(sock.fileno(), self._accept, sock)

    def close(self) -> None:
        """Accept no more; may be called twice."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._stop_reading()
        self._sockets.clear()

    def _stop_reading(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())

    def _accept(self, listener: socket.socket) -> None:
        try:
            accept_all(listener, self._on_connection)
        except OSError as error:  # no descriptor or no memory left
            self._watch.note(error)
            self._stop_reading()
            self._pause = self._loop.call_later(PAUSE, self.start)
