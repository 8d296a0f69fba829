"""The messages of one WebSocket: the visitor's to a service, and the service's to the visitor.

Frames are left to ``websockets``, which is imported with the first WebSocket.
"""

from __future__ import annotations

import asyncio
from typing import Final

from websockets.exceptions import InvalidState
from websockets.frames import Frame, Opcode
from websockets.protocol import OPEN, Protocol, Side

from ...asgi.types import Message, Receive, Send
from ...asgi.websocket import MAX_MESSAGE_SIZE
from .connection import CLOSE_TIMEOUT, ServiceConnection
from .errors import ResponseError

_LOST: Final = 1014  # the service was lost (RFC 6455 registry: bad gateway)
_NOT_SENDABLE: Final = frozenset({1004, 1005, 1006, 1015})


class Relay:
    """One WebSocket whose handshakes are done.

    Args:
        connection: To the service.
        receive: Of the call.
        send: Of the call.
    """

    __slots__ = (
        "_connection",
        "_is_broken",
        "_is_gone",
        "_is_text",
        "_parts",
        "_protocol",
        "_receive",
        "_send",
    )

    def __init__(self, connection: ServiceConnection, receive: Receive, send: Send) -> None:
        self._connection = connection
        self._receive = receive
        self._send = send
        self._protocol = Protocol(Side.CLIENT, state=OPEN, max_size=MAX_MESSAGE_SIZE)
        self._is_gone = False  # the visitor
        self._parts: list[bytes] = []  # of a message in fragments
        self._is_text = False
        self._is_broken = False  # a message cannot be passed on; the close is on its way

    async def run(self) -> None:
        """Relay until one side closes or is lost.  Cancelling it ends both ways."""
        pump = asyncio.get_running_loop().create_task(self._pump())
        try:
            await self._relay()
        finally:
            pump.cancel()

    # -- from the visitor --------------------------------------------------------------------

    async def _pump(self) -> None:
        """Send the visitor's messages to the service, as it takes them."""
        protocol, connection = self._protocol, self._connection
        while True:
            message = await self._receive()
            try:
                if message["type"] == "websocket.receive":
                    text = message.get("text")
                    if text is None:
                        protocol.send_binary(message["bytes"])
                    else:
                        protocol.send_text(text.encode())
                    self._flush()
                    if connection.needs_drain:
                        await connection.drain()
                    continue
                self._is_gone = True
                self._send_close(message.get("code", 1005), message.get("reason") or "")
                self._flush()
            except InvalidState:
                pass  # the service has closed meanwhile
            # Its answer, and what it sent before, is read to the end: else the close may be lost.
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, connection.close)
            return

    def _send_close(self, code: int, reason: str) -> None:
        if code == 1005:
            self._protocol.send_close()
        elif code in _NOT_SENDABLE:
            self._protocol.send_close(1001, "the visitor was lost")
        else:
            self._protocol.send_close(code, reason)

    def _flush(self) -> None:
        data = b"".join(self._protocol.data_to_send())
        if data:
            self._connection.write(data)

    # -- from the service --------------------------------------------------------------------

    async def _relay(self) -> None:
        """Send the service's messages to the visitor until it closes or is lost."""
        protocol, connection = self._protocol, self._connection
        while True:
            data = connection.take()
            if not data:
                try:
                    await connection.wait()
                except (ConnectionError, ResponseError):
                    await self._close(_LOST, "the service was lost")
                    return
                continue
            protocol.receive_data(data)
            self._flush()  # control frames are answered by the protocol
            for event in protocol.events_received():
                if isinstance(event, Frame):
                    message = self._assemble(event)
                    if message is not None:
                        await self._say(message)
            if protocol.close_rcvd is not None:
                self._flush()
                code, reason = protocol.close_rcvd.code, protocol.close_rcvd.reason
                await self._close(1000 if code in _NOT_SENDABLE else code, reason)
                connection.close_gently()
                return
            if protocol.parser_exc is not None or self._is_broken:
                self._flush()
                sent = protocol.close_sent
                await self._close(sent.code if sent is not None else _LOST, "")
                connection.close_gently()
                return

    def _assemble(self, frame: Frame) -> Message | None:
        """Return the message that a frame completes; None where it does not."""
        opcode = frame.opcode
        if opcode is Opcode.TEXT or opcode is Opcode.BINARY:
            self._is_text = opcode is Opcode.TEXT
        elif opcode is not Opcode.CONT:
            return None
        if self._is_gone or self._is_broken:
            self._parts.clear()
            return None
        data = bytes(frame.data)
        if not frame.fin:
            self._parts.append(data)
            return None
        if self._parts:
            data = b"".join((*self._parts, data))
            self._parts.clear()
        if not self._is_text:
            return {"type": "websocket.send", "bytes": data}
        try:
            return {"type": "websocket.send", "text": data.decode()}
        except UnicodeDecodeError:
            self._protocol.fail(1007, "a text message is not UTF-8")
            self._is_broken = True
            return None

    async def _say(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self._is_gone = True  # the visitor left; what it said is still on its way to _pump

    async def _close(self, code: int, reason: str) -> None:
        if not self._is_gone:
            self._is_gone = True
            await self._say({"type": "websocket.close", "code": code, "reason": reason})
