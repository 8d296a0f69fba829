"""The app of these tests."""

from __future__ import annotations

import asyncio
import hashlib
from typing import Any, Final

from websockets.typing import Subprotocol

MIB = 1024 * 1024
PIECE = bytes(range(256)) * 256
CHAT: Final = Subprotocol("chat")


class App:
    """What the tests ask of an app.

    Attributes:
        bodies: Of the requests, as their sizes and digests.
        paths: Of the requests.
        sent: Bytes of ``/endless`` that were taken so far.
        may_read: Lets ``/slow`` read its body.
    """

    def __init__(self) -> None:
        self.paths: list[str] = []
        self.sent = 0
        self.may_read = asyncio.Event()
        self.headers: list[tuple[bytes, bytes]] = []

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """``/size/N``, ``/digest``, ``/endless``, ``/events``, ``/slow``; a WebSocket echoes."""
        self.paths.append(scope["path"])
        self.headers = list(scope["headers"])
        if scope["type"] == "websocket":
            await self._echo(scope, receive, send)
            return
        path: str = scope["path"]
        if path == "/slow":
            await self.may_read.wait()
        body = path.encode()
        if scope["method"] == "POST":
            digest, size = hashlib.sha256(), 0
            while True:
                message = await receive()
                piece = message.get("body", b"")
                digest.update(piece)
                size += len(piece)
                if not message.get("more_body"):
                    break
            body = f"{size} {digest.hexdigest()}".encode()
        left = int(path[6:]) if path.startswith("/size/") else 0
        length = left or len(body)
        if path in ("/endless", "/events"):
            fields = [(b"content-type", b"text/event-stream")]
        else:
            fields = [(b"content-length", str(length).encode())]
        await send({"type": "http.response.start", "status": 200, "headers": fields})
        while path == "/endless":
            await send({"type": "http.response.body", "body": PIECE, "more_body": True})
            self.sent += len(PIECE)
        while path == "/events":
            await send({"type": "http.response.body", "body": b"data: x\n\n", "more_body": True})
            await self.may_read.wait()
            self.may_read.clear()
        while left:
            piece = PIECE[: min(left, len(PIECE))]
            left -= len(piece)
            await send({"type": "http.response.body", "body": piece, "more_body": left > 0})
            body = b""
        if body:
            await send({"type": "http.response.body", "body": body})

    async def _echo(self, scope: Any, receive: Any, send: Any) -> None:
        await receive()
        if scope["path"] == "/deny":
            await send({"type": "websocket.close", "code": 4003})
            return
        await send({"type": "websocket.accept", "subprotocol": "chat"})
        while (message := await receive())["type"] == "websocket.receive":
            if message.get("text") == "close":
                await send({"type": "websocket.close", "code": 4001, "reason": "as asked"})
                return
            await send({**message, "type": "websocket.send"})
        self.paths.append(f"closed {message['code']}")
