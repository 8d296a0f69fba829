"""One WebSocket with a service: its handshake, through the strict reader of responses."""

from __future__ import annotations

import asyncio
import base64
import os
from typing import Final

from ...asgi.types import Message, Receive, Scope, Send
from .connection import ServiceConnection
from .errors import ResponseError
from .fields import HeadWriter, response_fields
from .pool import Pool
from .response import ResponseHead, ResponseReader
from .urls import UrlMap

_HANDSHAKE: Final = b"sec-websocket-"


class WebSocketExchange:
    """One WebSocket.

    Args:
        pool: The service's connections.
        scope: Of the call.
        receive: Of the call.
        send: Of the call.

    Attributes:
        has_started: The visitor's WebSocket was accepted or refused.
    """

    def __init__(self, pool: Pool, scope: Scope, receive: Receive, send: Send) -> None:
        self._pool = pool
        self._scope = scope
        self._receive = receive
        self._first: Message | None = None  # websocket.connect, once it was taken
        self._is_gone = False  # the visitor
        self._send = send
        self._head = b""
        self._key = base64.b64encode(os.urandom(16))
        self.has_started = False

    def write_head(self, writer: HeadWriter, target: bytes, urls: UrlMap) -> None:
        """Write the head of the handshake down; see :meth:`.http.Exchange.write_head`."""
        head = writer.write(self._scope, b"GET", target, websocket=True)
        self._head = head.data + (
            b"upgrade: websocket\r\nconnection: Upgrade\r\nsec-websocket-version: 13\r\n"
            b"sec-websocket-key: %b\r\n\r\n" % self._key
        )

    async def receive(self) -> Message:
        """Return the call's messages, for a refusal: from the first one on."""
        first, self._first = self._first, None
        return await self._receive() if first is None else first

    async def run(self) -> None:
        """Do the handshake and relay until one side closes; errors as :meth:`.http.Exchange.run`.

        Cancelling it closes the connection.
        """
        self._first = await self._receive()
        connection = await self._pool.open()
        reader = ResponseReader("GET", upgrade=True, lines=self._pool.lines)
        connection.begin(reader)
        connection.write(self._head)
        try:
            head = await self._read_head(connection, reader)
            if head is None:
                return
            if reader.is_upgraded:
                self._check(head)
            self.has_started = True
            if not reader.is_upgraded:
                await self._deny(connection, reader, head)
                return
            from .relay import Relay  # and with it what only WebSockets need

            relay = Relay(connection, self._receive, self._send)
            await self._accept(head)
            await relay.run()
        finally:
            self._pool.drop(connection)

    # -- the handshake -----------------------------------------------------------------------

    async def _read_head(
        self, connection: ServiceConnection, reader: ResponseReader
    ) -> ResponseHead | None:
        """Wait for the service's response; None: the visitor has left before it came."""
        watch = asyncio.ensure_future(self._watch(connection))
        try:
            async with asyncio.timeout(self._pool.target.response_timeout or None):
                while reader.head is None:
                    await connection.wait()
                    reader.interim.clear()
            return None if self._is_gone else reader.head
        except ConnectionError:
            if self._is_gone:
                return None
            raise
        finally:
            watch.cancel()
            await asyncio.gather(watch, return_exceptions=True)

    async def _watch(self, connection: ServiceConnection) -> None:
        await self._receive()  # before it is accepted, a visitor can only leave
        self._is_gone = True
        connection.close()

    def _check(self, head: ResponseHead) -> None:
        """See that a 101 belongs to our request (RFC 6455 section 4.1).

        Raises:
            ResponseError: It does not.
        """
        from websockets.utils import accept_key

        found: dict[bytes, list[bytes]] = {}
        for name, value in head.fields:
            found.setdefault(name, []).append(value)
        is_ours = (
            [one.lower() for one in found.get(b"upgrade", [])] == [b"websocket"]
            and b"upgrade" in head.connection
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
        for name, value in response_fields(head):
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
                "headers": response_fields(head),
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
