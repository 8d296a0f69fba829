"""Accepts TLS connections, with a bounded number of handshakes at one time.

A storm of reconnecting apps and visitors would otherwise start thousands of handshakes, each of
which then ends too late. Who is turned away, and a connection whose peer has already gone, costs
no handshake, and neither does one that stays silent. Above the bound the oldest of the address
group that has the most is ended for a new one: silent connections of one address cannot keep the
others out. Who speaks HTTP without TLS is told so; it stays among the handshakes until it has read
that. What is spoken inside TLS is the business of whoever made the factory.
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
    from ..descriptors import DescriptorWatch

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

PLAIN_LINGER: Final = 2.0
"""Seconds that a connection without TLS is read and dropped, so that its answer is not lost to a
reset."""

PLAIN_BYTES: Final = 256 * 1024
"""Bytes that are dropped so, at most."""

_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""First bytes of HTTP methods; TLS begins with 0x16."""

PAUSE: Final = 0.25
"""Seconds without accepting after the system had no descriptor left: no busy loop."""


class TLSAcceptor:
    """Accepts on listening sockets and lets connections through their handshake.

    Args:
        factory: Makes the protocol of a connection whose handshake is done.
        context: The listener's TLS settings.
        sockets: Listening and non-blocking; they stay the caller's.
        limiter: Turns connections away, and hears of failed handshakes.
        plain_reply: Gets the address of who speaks HTTP without TLS; returns what it is told.
        watch: Hears that no descriptor was left.

    Attributes:
        loop: The running one.
    """

    def __init__(
        self,
        factory: Callable[[], asyncio.Protocol],
        context: ssl.SSLContext,
        sockets: Sequence[socket.socket],
        limiter: ConnectionLimiter,
        *,
        plain_reply: Callable[[str], bytes],
        watch: DescriptorWatch,
    ) -> None:
        self._pending: FairPool[_Pending] = FairPool(
            MAX_HANDSHAKES, HANDSHAKE_SHARES, replaces_own=True
        )
        self._limiter = limiter
        self._plain_reply = plain_reply
        self._factory = factory
        self._context = context
        self._sockets = list(sockets)
        self._watch = watch
        self.loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._pause = None
        for sock in self._sockets:
            self.loop.add_reader(sock.fileno(), self._accept, sock)

    def close(self) -> None:
        """Accept no more; may be called twice."""
        if self._pause is not None:
            self._pause.cancel()
            self._pause = None
        self._pause_accepting()
        self._sockets.clear()

    def _pause_accepting(self) -> None:
        for sock in self._sockets:
            self.loop.remove_reader(sock.fileno())

    def stop(self) -> None:
        """Accept no more and end the handshakes in progress."""
        self.close()
        for pending in self._pending:
            pending.end()

    def _accept(self, listener: socket.socket) -> None:
        for _ in range(ACCEPTS):
            try:
                connection, peer = listener.accept()
            except (BlockingIOError, InterruptedError, ConnectionAbortedError):
                return
            except OSError as error:  # no descriptor or no memory left
                self._watch.note(error)
                self._pause_accepting()
                self._pause = self.loop.call_later(PAUSE, self.start)
                return
            connection.setblocking(False)
            address = str(peer[0])
            if self._limiter.admit(address) is not None:
                connection.close()
                continue
            pending = _Pending(self, connection, address)
            victim = self._pending.enter(pending, networks_of(address)).victim
            if victim is not None:
                victim.end()
            pending.read()

    def leave(self, pending: _Pending) -> None:
        """A connection is pending no longer."""
        self._pending.leave(pending)

    def plain_reply(self, address: str) -> bytes:
        """Count who speaks HTTP without TLS, and return what it is told."""
        self._limiter.note_error(address)
        return self._plain_reply(address)

    async def shake_hands(self, pending: _Pending) -> None:
        """Complete the TLS handshake; cancelling it closes the connection."""
        try:
            await self.loop.connect_accepted_socket(
                self._factory,
                pending.connection,
                ssl=self._context,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as error:  # ssl.SSLError and TimeoutError are OSErrors
            _log.debug("a TLS handshake with %s failed: %s", pending.address, error)
            self._limiter.note_error(pending.address)
            pending.connection.close()
        except asyncio.CancelledError:
            pending.connection.close()
            raise
        finally:
            self._pending.leave(pending)


class _Pending:
    """A connection before the end of its TLS handshake.

    TLS is begun when the first byte is there: one that stays silent costs a descriptor, and no
    memory of the TLS library.

    Args:
        acceptor: Whose it is.
        connection: Accepted and non-blocking.
        address: Of the peer.
    """

    __slots__ = ("_acceptor", "_dropped", "_task", "_timer", "address", "connection")

    def __init__(self, acceptor: TLSAcceptor, connection: socket.socket, address: str) -> None:
        self._acceptor = acceptor
        self._task: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._dropped = 0  # bytes of who speaks no TLS
        self.connection = connection
        self.address = address

    def read(self) -> None:
        """Begin with TLS if a byte is there; otherwise wait for one."""
        acceptor = self._acceptor
        try:
            first = self.connection.recv(1, socket.MSG_PEEK)
        except BlockingIOError:
            if self._timer is None:
                self._wait(HANDSHAKE_TIMEOUT, self.read)
            return
        except OSError:
            first = b""
        if first and first[0] in _LETTERS:
            self._stop_waiting()
            self._refuse()
        elif first:
            self._stop_waiting()
            self._task = acceptor.loop.create_task(acceptor.shake_hands(self))
        else:
            self.end()  # the peer has closed already

    def _refuse(self) -> None:
        """Tell a visitor that speaks no TLS, in one write, and read what it has sent until then."""
        reply = self._acceptor.plain_reply(self.address)
        try:
            self.connection.send(reply)  # fits in the buffer of a new socket
            self.connection.shutdown(socket.SHUT_WR)
        except OSError:
            self.end()
            return
        self._wait(PLAIN_LINGER, self._drop)
        self._drop()

    def _drop(self) -> None:
        try:
            size = len(self.connection.recv(65536))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        self._dropped += size
        if not size or self._dropped > PLAIN_BYTES:
            self.end()

    def end(self) -> None:
        """Close it; the connection leaves its pool, if it was still there."""
        self._stop_waiting()
        if self._task is not None:
            self._task.cancel()
        else:
            self._acceptor.leave(self)
            self.connection.close()

    def _wait(self, seconds: float, on_bytes: Callable[[], None]) -> None:
        loop = self._acceptor.loop
        self._timer = loop.call_later(seconds, self.end)
        loop.add_reader(self.connection.fileno(), on_bytes)

    def _stop_waiting(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._acceptor.loop.remove_reader(self.connection.fileno())
