"""Accepts TLS connections, with a bounded number of handshakes at one time.

A storm of reconnecting apps and visitors would otherwise start thousands of handshakes, each of
which then ends too late. Who is turned away, and a connection whose peer has already gone, costs
no handshake. Above the bound the oldest handshake of the address group that has the most is ended
for a new one: silent connections of one address cannot keep the others out. What is spoken inside
TLS is the business of whoever made the factory.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final

from ..address import networks_of
from ..shares.pool import FairPool

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from ..connections.limiter import ConnectionLimiter

_log = logging.getLogger("asgi_tunnel_edge.listeners")

MAX_HANDSHAKES: Final = 256
"""Handshakes in progress at one time: at 1 ms of a core each, the last one waits 0.3 s."""

HANDSHAKE_SHARES: Final = (64, 96, 128)
"""Handshakes of one address (IPv6: of one /64), one /56 and one /48; its oldest one is ended for
its newest. Eight apps of 8 connections that dial at once from one home fit in."""

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
        limiter: Turns connections away, and hears of failed handshakes.

    Attributes:
        running: Handshakes in progress.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        sockets: Sequence[socket.socket],
        limiter: ConnectionLimiter,
    ) -> None:
        self.running: set[asyncio.Task[None]] = set()
        self._pool: FairPool[asyncio.Task[None]] = FairPool(
            MAX_HANDSHAKES, HANDSHAKE_SHARES, replaces_own=True
        )
        self._limiter = limiter
        self._factory = factory
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
                connection, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory left
                _log.warning("no connection can be accepted for a moment: %s", error)
                self._pause_accepting()
                self._pause = self._loop.call_later(PAUSE, self.start)
                return
            connection.setblocking(False)
            address = str(peer[0])
            if _is_peer_gone(connection) or self._limiter.admit(address) is not None:
                connection.close()
                continue
            task = self._loop.create_task(self._accept_tls(connection, address))
            self.running.add(task)
            task.add_done_callback(self._forget)
            victim = self._pool.enter(task, networks_of(address)).victim
            if victim is not None:
                victim.cancel()

    def _forget(self, task: asyncio.Task[None]) -> None:
        self.running.discard(task)
        self._pool.leave(task)

    async def _accept_tls(self, connection: socket.socket, address: str) -> None:
        try:
            await self._loop.connect_accepted_socket(
                self._factory,
                connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            _log.debug("a TLS handshake with %s failed: %s", address, error)
            self._limiter.note_error(address)
            connection.close()
        except asyncio.CancelledError:
            connection.close()
            raise


def _is_peer_gone(connection: socket.socket) -> bool:
    """Whether the peer has closed already; a reset counts."""
    try:
        return connection.recv(1, socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
