"""Says HELLO and waits for what the edge replies.

It leaves to others to open the connection (``dial``), and what HELLO says. Called by
:mod:`.connector`, for a session, and by :mod:`.probe`, which wants none.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from .errors import (
    AuthenticationError,
    HandshakeError,
    HostnameUnavailableError,
    TunnelError,
    VersionMismatchError,
)
from .protocol.codes import RefuseCode
from .protocol.handshake import HandshakeReader, Hello, Refuse, Welcome, encode_handshake
from .transport import Transport, WebSocketTransport

__all__ = ["HELLO_TIMEOUT", "greet"]

HELLO_TIMEOUT: Final = 10.0
"""Seconds between HELLO and WELCOME."""

_REFUSED: Final = {
    RefuseCode.UNAUTHENTICATED: AuthenticationError,
    RefuseCode.VERSION: VersionMismatchError,
    RefuseCode.HOSTNAME: HostnameUnavailableError,
}


async def no_end_to_end(hostnames: tuple[str, ...]) -> None:
    """Nothing has to be ready: no session follows."""


class _Greeting:
    """Receives the one frame that replies to HELLO."""

    def __init__(self) -> None:
        self.reply: asyncio.Future[Hello | Welcome | Refuse]
        self.reply = asyncio.get_running_loop().create_future()
        self._reader = HandshakeReader()
        self.rest = b""  # frames behind the reply, which the session has to read
        self.is_lost = False
        self.is_behind = False

    def data_received(self, data: bytes | memoryview) -> None:
        if self.reply.done():
            self.rest += data
            return
        try:
            found = self._reader.feed(bytes(data))
        except TunnelError as error:
            self.reply.set_exception(error)
            return
        if found is not None:
            reply, self.rest = found
            self.reply.set_result(reply)

    def transport_writable(self) -> None:
        """HELLO is small."""

    def note_overhead(self, units: int) -> None:
        """Not of the edge that this side has chosen."""

    def transport_lost(self, transport: Transport, error: Exception | None) -> None:
        self.is_lost = True
        if not self.reply.done():
            self.reply.set_exception(
                error or ConnectionResetError("the edge closed during the handshake")
            )


async def greet(
    transport: WebSocketTransport,
    hello: Hello,
    make_ready: Callable[[tuple[str, ...]], Awaitable[None]],
) -> tuple[Welcome, bytes]:
    """Return the edge's reply and the bytes behind it, once the app's end-to-end side is ready.

    Args:
        transport: Connected; nothing was sent over it.
        hello: What to say.
        make_ready: Called with the end-to-end hostnames of the reply.

    Raises:
        HandshakeError: The edge refuses, with its own sentence.
        TunnelError: What it sent is no reply.
        OSError: The connection broke.

    Cancelling it leaves the transport to the caller.
    """
    greeting = _Greeting()
    transport.start(greeting)
    transport.send(encode_handshake(hello))
    # The reply is seen a turn of the loop after it came: what came meanwhile is in the greeting.
    reply = await greeting.reply
    if isinstance(reply, Refuse):
        kind = _REFUSED.get(RefuseCode(reply.code)) if reply.code in set(RefuseCode) else None
        raise (kind or HandshakeError)(reply.code, reply.reason, retry_after=reply.retry_after)
    if not isinstance(reply, Welcome):
        raise ConnectionError("the edge answered HELLO with HELLO")
    await make_ready(reply.end_to_end)
    if greeting.is_lost and reply.session:  # after the reply to a probe the edge closes
        raise ConnectionResetError("the edge closed after the handshake")
    return reply, greeting.rest
