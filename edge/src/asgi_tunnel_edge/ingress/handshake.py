"""Lets a connection through its TLS handshake, a bounded number at one time.

A storm of reconnecting apps and visitors would otherwise start thousands of handshakes, each of
which is then too late for whoever waits for it.  Here a connection whose peer has already gone
costs no handshake, and those above the bound are closed at once: they come back after a moment,
spread, which is sooner than the end of such a queue.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, cast

from .http import Visitor

if TYPE_CHECKING:
    import ssl

    from .listener import Ingress

_log = logging.getLogger("asgi_tunnel_edge.ingress")

MAX_HANDSHAKES: Final = 128
"""Handshakes in progress at one time: at 1 ms of a core each, the last one waits 0.1 s."""

HANDSHAKE_TIMEOUT: Final = 5.0
"""Seconds for a handshake."""


class HandshakeGate:
    """Makes the protocol of each connection on a TLS listener.

    Args:
        ingress: What all connections share.
        context: The listener's TLS settings.

    Attributes:
        running: Handshakes in progress.
    """

    def __init__(self, ingress: Ingress, context: ssl.SSLContext) -> None:
        self.ingress = ingress
        self.context = context
        self.running: set[asyncio.Task[None]] = set()

    def __call__(self) -> PlainConnection:
        """Return the protocol of one new connection."""
        return PlainConnection(self)

    def stop(self) -> None:
        """End the handshakes in progress."""
        for task in list(self.running):
            task.cancel()


class PlainConnection(asyncio.Protocol):
    """One connection before its TLS handshake.

    Args:
        gate: What they share.
    """

    __slots__ = ("_gate",)

    def __init__(self, gate: HandshakeGate) -> None:
        self._gate = gate

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the handshake, unless nobody waits for it or too many do."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        plain = cast(asyncio.Transport, transport)
        plain.pause_reading()  # the first bytes are the handshake's
        gate = self._gate
        if len(gate.running) >= MAX_HANDSHAKES or _has_left(plain):
            plain.abort()
            return
        task = asyncio.get_running_loop().create_task(_shake_hands(gate, plain))
        gate.running.add(task)
        task.add_done_callback(gate.running.discard)


class _Early(asyncio.Protocol):
    """Keeps what arrives between the end of the handshake and the visitor's protocol."""

    def __init__(self) -> None:
        self.data = b""
        self.is_lost = False

    def data_received(self, data: bytes) -> None:
        self.data += data  # one read at the most: the visitor's protocol comes in the next turn

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = True


async def _shake_hands(gate: HandshakeGate, plain: asyncio.Transport) -> None:
    early = _Early()
    try:
        secure = await asyncio.get_running_loop().start_tls(
            plain,
            early,
            gate.context,
            server_side=True,
            ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
        )
    except (OSError, TimeoutError) as error:  # ssl.SSLError is an OSError
        _log.debug("a TLS handshake failed: %s", error)
        plain.abort()
        return
    except asyncio.CancelledError:
        plain.abort()
        raise
    if secure is None or early.is_lost:
        return
    visitor = Visitor(gate.ingress, is_secure=True)
    secure.set_protocol(visitor)
    visitor.connection_made(secure)
    if early.data:
        visitor.data_received(early.data)


def _has_left(transport: asyncio.Transport) -> bool:
    """Whether the peer has closed already; a reset counts."""
    sock = transport.get_extra_info("socket")
    if sock is None:
        return False
    try:
        # (uvloop's socket object has no `recv`; a duplicate of its descriptor has.)
        with socket.socket(fileno=socket.dup(sock.fileno())) as copy:
            return copy.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT) == b""
    except BlockingIOError:
        return False
    except OSError:
        return True
