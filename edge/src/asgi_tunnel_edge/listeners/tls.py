"""Accepts TLS connections, with a bounded number of handshakes at one time.

A storm of reconnecting apps and visitors would otherwise start thousands of handshakes, each of
which then ends too late. A connection whose peer has already gone costs no handshake, and those
above the bound are closed at once: they come back after a moment, spread, which is sooner than the
end of such a queue.  What is spoken inside TLS is the business of whoever made the factory.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from ..descriptors import DescriptorWatch

_log = logging.getLogger("asgi_tunnel_edge.listeners")

MAX_HANDSHAKES: Final = 256
"""Handshakes in progress at one time: at 1 ms of a core each, the last one waits 0.3 s."""

HANDSHAKE_TIMEOUT: Final = 5.0
"""Seconds; a handshake takes two round trips, half of one holds memory."""

ACCEPTS: Final = 64
"""Connections accepted in one turn of the event loop before others get theirs."""

PAUSE: Final = 0.25
"""Seconds without accepting after the system had no descriptor left: no busy loop."""


class TLSAcceptor:
    """Accepts on listening sockets and lets connections through their handshake.

    Args:
        factory: Makes the protocol of a connection whose handshake is done.
        context: The listener's TLS settings.
        sockets: Listening and non-blocking; they stay the caller's.
        watch: Hears that no descriptor was left.

    Attributes:
        running: Handshakes in progress.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        sockets: Sequence[socket.socket],
        *,
        watch: DescriptorWatch,
    ) -> None:
        self.running: set[asyncio.Task[None]] = set()
        self._factory = factory
        self._context = context
        self._sockets = list(sockets)
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
        self._pause_accepting()
        self._sockets.clear()

    def _pause_accepting(self) -> None:
        for sock in self._sockets:
            self._loop.remove_reader(sock.fileno())

    def stop(self) -> None:
        """Accept no more and end the handshakes in progress."""
        self.close()
        for task in list(self.running):
            task.cancel()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, _address = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory left
                self._watch.note(error)
                self._pause_accepting()
                self._pause = self._loop.call_later(PAUSE, self.start)
                return
            connection.setblocking(False)
            if len(self.running) >= MAX_HANDSHAKES or _is_peer_gone(connection):
                connection.close()
                continue
            task = self._loop.create_task(self._accept_tls(connection))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    async def _accept_tls(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            _log.debug("a TLS handshake failed: %s", error)
            connection.close()


def _is_peer_gone(connection: socket.socket) -> bool:
    """Whether the peer has closed already; a reset counts."""
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
