"""Accepts TLS connections, a bounded number of handshakes at one time.

A storm of reconnecting apps and visitors would otherwise start thousands of handshakes, each of
which is then too late for whoever waits for it.  Here a connection whose peer has already gone
costs no handshake, and those above the bound are closed at once: they come back after a moment,
spread, which is sooner than the end of such a queue.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final

from ..http1.connection import Visitor

if TYPE_CHECKING:
    import ssl
    from collections.abc import Sequence

    from ..context import Ingress

_log = logging.getLogger("asgi_tunnel_edge.ingress")

MAX_HANDSHAKES: Final = 256
"""Handshakes in progress at one time: at 1 ms of a core each, the last one waits 0.3 s."""

HANDSHAKE_TIMEOUT: Final = 5.0
"""Seconds; a handshake takes two round trips, half of one holds memory."""

ACCEPTS: Final = 64
"""Connections accepted in one turn of the event loop before others get theirs."""

PAUSE: Final = 0.25
"""Seconds without accepting after the system had no descriptor left: no busy loop."""


class HandshakeGate:
    """Accepts on listening sockets and lets connections through their handshake.

    Args:
        ingress: What all connections share.
        context: The listener's TLS settings.
        sockets: Listening and non-blocking; they stay the caller's.

    Attributes:
        running: Handshakes in progress.
    """

    def __init__(
        self, ingress: Ingress, context: ssl.SSLContext, sockets: Sequence[socket.socket]
    ) -> None:
        self.running: set[asyncio.Task[None]] = set()
        self._ingress = ingress
        self._context = context
        self._sockets = list(sockets)
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
                _log.warning("no connection can be accepted for a moment: %s", error)
                self._pause_accepting()
                self._pause = self._loop.call_later(PAUSE, self.start)
                return
            connection.setblocking(False)
            if len(self.running) >= MAX_HANDSHAKES or _has_left(connection):
                connection.close()
                continue
            task = self._loop.create_task(self._shake_hands(connection))
            self.running.add(task)
            task.add_done_callback(self.running.discard)

    async def _shake_hands(self, connection: socket.socket) -> None:
        try:
            await self._loop.connect_accepted_socket(
                lambda: Visitor(self._ingress, is_secure=True).as_protocol(),
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            _log.debug("a TLS handshake failed: %s", error)
            connection.close()


def _has_left(connection: socket.socket) -> bool:
    """Whether the peer has closed already; a reset counts."""
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True


async def listen(host: str, port: int, *, backlog: int) -> list[socket.socket]:
    """Return sockets that listen on every address of ``host``.

    Raises:
        OSError: An address cannot be listened on; no socket stays open.
    """
    found = await asyncio.get_running_loop().getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    sockets: list[socket.socket] = []
    try:
        for family, kind, protocol, _, address in dict.fromkeys(found):
            sock = socket.socket(family, kind, protocol)
            sockets.append(sock)
            sock.setblocking(False)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            if family == socket.AF_INET6:
                sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            sock.bind(address)
            sock.listen(backlog)
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets
