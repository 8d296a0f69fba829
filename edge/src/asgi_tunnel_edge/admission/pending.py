"""A tunnel's connection before its HELLO: read, bounded in time and in what it may send.

What becomes of the HELLO is decided in :mod:`.tunnels`, which makes one for each handshake.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from asgi_tunnel.errors import TunnelError
from asgi_tunnel.protocol.codes import RefuseCode
from asgi_tunnel.protocol.handshake import (
    HandshakeReader,
    Hello,
    Refuse,
    Welcome,
    encode_handshake,
)
from asgi_tunnel.protocol.limits import MAX_HANDSHAKE_SIZE
from asgi_tunnel.transport import Transport, WebSocketTransport

from ..tokens import TokenRecord

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["PendingTunnel"]

HELLO_TIMEOUT: Final = 10.0
"""Seconds between the WebSocket handshake and HELLO."""


class PendingTunnel:
    """A connection between its WebSocket handshake and HELLO; a transport's receiver.

    Args:
        websocket: The connection.
        token: What it was accepted with.
        address: Where it comes from, for the log.
        secret_sha256: Of the secret that it came with.
        on_hello: Called once with HELLO and the bytes behind it.
        on_end: Called when it is no longer pending, with HELLO or without; perhaps twice.
    """

    def __init__(
        self,
        websocket: WebSocketTransport,
        token: TokenRecord,
        address: str,
        *,
        secret_sha256: str,
        on_hello: Callable[[PendingTunnel, Hello, bytes], None],
        on_end: Callable[[PendingTunnel], object],
    ) -> None:
        self.websocket = websocket
        self.token = token
        self.address = address
        self.secret_sha256 = secret_sha256
        self._on_hello = on_hello
        self._on_end = on_end
        self._reader = HandshakeReader()
        self.is_behind = False
        self._overhead = 0  # WebSocket frames of a few bytes
        self._is_over = False  # HELLO was read, or cannot be
        self._timer = asyncio.get_running_loop().call_later(HELLO_TIMEOUT, websocket.abort)

    def reply(self, message: Refuse | Welcome) -> None:
        """Say why there will be no session, or what one would hear, and close."""
        self.websocket.send(encode_handshake(message))
        self.websocket.close()

    def data_received(self, data: bytes | memoryview) -> None:
        """Read HELLO."""
        if self._is_over:
            return  # refused: nothing more is read, and above all nothing is kept
        try:
            found = self._reader.feed(bytes(data))
        except TunnelError as error:
            self._finish()
            self.reply(Refuse(code=RefuseCode.MALFORMED, reason=str(error)))
            return
        if found is None:
            return
        self._finish()
        message, rest = found
        if isinstance(message, Hello):
            self._on_end(self)
            self._on_hello(self, message, rest)
        else:
            self.websocket.abort()

    def transport_writable(self) -> None:
        """Nothing waits to be sent."""

    def note_overhead(self, units: int) -> None:
        """End it above what HELLO needs that comes in messages of one byte."""
        self._overhead += units
        if self._overhead > 2 * MAX_HANDSHAKE_SIZE:
            self.websocket.abort()

    def transport_lost(self, transport: Transport, error: Exception | None) -> None:
        """The connection ended before there was a session."""
        self._finish()
        self._on_end(self)

    def _finish(self) -> None:
        self._is_over = True
        self._timer.cancel()
