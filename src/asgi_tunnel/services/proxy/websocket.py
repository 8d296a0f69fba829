"""One WebSocket: the visitor's messages to a service, and the service's to the visitor.

The handshake goes through the strict reader of responses; frames are left to ``websockets``.
"""

from __future__ import annotations

import asyncio
import base64
import os
from typing import TYPE_CHECKING, Any, Final

from ...asgi.types import Message, Receive, Scope, Send
from ...asgi.websocket import MAX_MESSAGE_SIZE
from ..service import ProxyTarget
from .connection import CLOSE_TIMEOUT, ServiceConnection
from .fields import request_fields, response_fields
from .http import Rewrite
from .pool import Pool
from .response import ResponseError, ResponseHead, ResponseReader

if TYPE_CHECKING:
    from websockets.frames import Frame
    from websockets.protocol import Protocol

_LOST: Final = 1014  # the service was lost (RFC 6455 registry: bad gateway)
_NOT_SENDABLE: Final = frozenset({1004, 1005, 1006, 1015})
_HANDSHAKE: Final = b"sec-websocket-"


class WebSocketExchange:
    """One WebSocket.

    Args:
        pool: The service's connections.
        target: Its timeouts and its Host.
        scope: Of the call.
        receive: Of the call.
        send: Of the call.

    Attributes:
        has_started: The visitor's WebSocket was accepted or refused.
    """

    def __init__(
        self, pool: Pool, target: ProxyTarget, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._pool = pool
        self._target = target
        self._scope = scope
        self._receive = receive
        self._send = send
        self._head = b""
        self._key = base64.b64encode(os.urandom(16))
        self._protocol: Protocol | None = None  # from the accepted handshake on
        self._is_gone = False  # the visitor
        self._parts: list[bytes] = []  # of a message in fragments
        self._is_text = False
        self._is_broken = False  # a message cannot be passed on; the close is on its way
        self.has_started = False

    def write_head(self, target: bytes, prefix: str, rewrite: Rewrite) -> None:
        """Write the head of the handshake down; see :meth:`.http.Exchange.write_head`."""
        fields = request_fields(
            self._scope,
            send_host=self._target.send_host.encode(),
            prefix=prefix,
            websocket=True,
        )
        fields += [
            (b"upgrade", b"websocket"),
            (b"connection", b"Upgrade"),
            (b"sec-websocket-version", b"13"),
            (b"sec-websocket-key", self._key),
        ]
        lines = [b"GET " + target + b" HTTP/1.1\r\n", *(b"%s: %s\r\n" % one for one in fields)]
        self._head = b"".join(lines) + b"\r\n"

    async def run(self) -> None:
        """Do the handshake and relay until one side closes; errors as :meth:`.http.Exchange.run`.

        Cancelling it closes the connection.
        """
        connection = await self._pool.open()
        reader = ResponseReader("GET", upgrade=True)
        connection.begin(reader)
        connection.write(self._head)
        pump: asyncio.Task[None] | None = None
        try:
            # The caller refuses with a message that begins by taking this one.
            async with asyncio.timeout(self._target.response_timeout or None):
                while reader.head is None:
                    await connection.wait()
                    connection.take_interim()
            head = reader.head
            if reader.is_upgraded:
                self._check(head)
            await self._receive()  # websocket.connect
            self.has_started = True
            if not reader.is_upgraded:
                await self._deny(connection, reader, head)
                return
            self._open()
            await self._accept(head)
            pump = asyncio.get_running_loop().create_task(self._pump(connection))
            await self._relay(connection)
        finally:
            if pump is not None:
                pump.cancel()
            self._pool.drop(connection)

    def _open(self) -> None:
        from websockets.protocol import OPEN, Protocol, Side

        self._protocol = Protocol(Side.CLIENT, state=OPEN, max_size=MAX_MESSAGE_SIZE)

    # -- the handshake -----------------------------------------------------------------------

    def _check(self, head: ResponseHead) -> None:
        """See that a 101 belongs to our request (RFC 6455 section 4.1).

        Raises:
            ResponseError: It does not.
        """
        from websockets.utils import accept_key

        found: dict[bytes, list[bytes]] = {}
        for name, value in head.fields:
            found.setdefault(name, []).append(value)
        tokens = [
            one.strip() for value in found.get(b"connection", []) for one in value.split(b",")
        ]
        is_ours = (
            [one.lower() for one in found.get(b"upgrade", [])] == [b"websocket"]
            and any(one.lower() == b"upgrade" for one in tokens)
            and found.get(b"sec-websocket-accept") == [accept_key(self._key.decode()).encode()]
        )
        if not is_ours:
            raise ResponseError("the service's 101 is no response to this WebSocket")
        if b"sec-websocket-extensions" in found:
            raise ResponseError("the service uses a WebSocket extension that nobody asked for")
        chosen = found.get(b"sec-websocket-protocol", [])
        if len(chosen) > 1 or any(one.decode("latin-1") not in self._offered() for one in chosen):
            raise ResponseError("the service chose a WebSocket subprotocol that nobody offered")

    def _offered(self) -> list[str]:
        return list(self._scope.get("subprotocols") or ())

    async def _accept(self, head: ResponseHead) -> None:
        subprotocol = None
        fields = []
        for name, value in response_fields(head.fields):
            if name == b"sec-websocket-protocol":
                subprotocol = value.decode("latin-1")
            elif not name.startswith(_HANDSHAKE) and name not in (b"date", b"server"):
                fields.append((name, value))
        await self._send(
            {"type": "websocket.accept", "subprotocol": subprotocol, "headers": fields}
        )

    async def _deny(
        self, connection: ServiceConnection, reader: ResponseReader, head: ResponseHead
    ) -> None:
        """Give the visitor the response with which the service refused."""
        if "websocket.http.response" not in (self._scope.get("extensions") or {}):
            await self._send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        await self._send(
            {
                "type": "websocket.http.response.start",
                "status": head.status,
                "headers": response_fields(head.fields),
            }
        )
        while True:
            data = connection.take()
            is_complete = reader.is_complete
            if data or is_complete:
                await self._send(
                    {
                        "type": "websocket.http.response.body",
                        "body": data,
                        "more_body": not is_complete,
                    }
                )
            if is_complete:
                return
            if not data:
                await connection.wait()

    # -- from the visitor --------------------------------------------------------------------

    async def _pump(self, connection: ServiceConnection) -> None:
        """Send the visitor's messages to the service, as it takes them."""
        from websockets.exceptions import InvalidState

        protocol = self._protocol
        assert protocol is not None
        while True:
            message = await self._receive()
            try:
                if message["type"] == "websocket.receive":
                    text = message.get("text")
                    if text is None:
                        protocol.send_binary(message["bytes"])
                    else:
                        protocol.send_text(text.encode())
                    self._flush(connection)
                    await connection.drain()
                    continue
                self._is_gone = True
                self._send_close(protocol, message.get("code", 1005), message.get("reason") or "")
                self._flush(connection)
            except InvalidState:
                pass  # the service has closed meanwhile
            # Its answer, and what it sent before, is read to the end: else the close may be lost.
            asyncio.get_running_loop().call_later(CLOSE_TIMEOUT, connection.close)
            return

    @staticmethod
    def _send_close(protocol: Protocol, code: int, reason: str) -> None:
        if code == 1005:
            protocol.send_close()
        elif code in _NOT_SENDABLE:
            protocol.send_close(1001, "the visitor was lost")
        else:
            protocol.send_close(code, reason)

    def _flush(self, connection: ServiceConnection) -> None:
        assert self._protocol is not None
        data = b"".join(self._protocol.data_to_send())
        if data:
            connection.write(data)

    # -- from the service --------------------------------------------------------------------

    async def _relay(self, connection: ServiceConnection) -> None:
        """Send the service's messages to the visitor until it closes or is lost."""
        protocol = self._protocol
        assert protocol is not None
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
            self._flush(connection)
            for event in protocol.events_received():
                await self._take(event)
            self._flush(connection)
            if protocol.close_rcvd is not None:
                code, reason = protocol.close_rcvd.code, protocol.close_rcvd.reason
                await self._close(1000 if code in _NOT_SENDABLE else code, reason)
                connection.close_gently()
                return
            if protocol.parser_exc is not None or self._is_broken:
                sent = protocol.close_sent
                await self._close(sent.code if sent is not None else _LOST, "")
                connection.close_gently()
                return

    async def _take(self, event: Any) -> None:
        """Assemble messages; control frames are answered by the protocol."""
        from websockets.frames import Opcode

        frame: Frame = event
        if self._is_broken:
            return
        if frame.opcode is Opcode.TEXT or frame.opcode is Opcode.BINARY:
            self._is_text = frame.opcode is Opcode.TEXT
        elif frame.opcode is not Opcode.CONT:
            return
        self._parts.append(bytes(frame.data))
        if not frame.fin or self._is_gone:
            if self._is_gone:
                self._parts.clear()
            return
        data = self._parts[0] if len(self._parts) == 1 else b"".join(self._parts)
        self._parts.clear()
        if not self._is_text:
            await self._say({"type": "websocket.send", "bytes": data})
            return
        try:
            text = data.decode()
        except UnicodeDecodeError:
            assert self._protocol is not None
            self._protocol.fail(1007, "a text message is not UTF-8")
            self._is_broken = True
            return
        await self._say({"type": "websocket.send", "text": text})

    async def _say(self, message: Message) -> None:
        try:
            await self._send(message)
        except OSError:
            self._is_gone = True  # the visitor left; what it said is still on its way to _pump

    async def _close(self, code: int, reason: str) -> None:
        if not self._is_gone:
            self._is_gone = True
            await self._say({"type": "websocket.close", "code": code, "reason": reason})
