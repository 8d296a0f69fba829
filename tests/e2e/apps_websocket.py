"""The app behind the WebSocket tests.  What it saw is told by ``GET /KEY``, as JSON."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any
from urllib.parse import parse_qs

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

BLOCK = 64 * 1024

SEEN: dict[str, dict[str, Any]] = {}
GO_ON: dict[str, asyncio.Event] = {}


class Call:
    """One WebSocket: ``/KIND/KEY?QUERY``."""

    def __init__(self, scope: Message, receive: Receive, send: Send) -> None:
        _, self.kind, self.key = scope["path"].split("/")
        self.query = {
            name: values[0]
            for name, values in parse_qs(
                scope["query_string"].decode(), keep_blank_values=True
            ).items()
        }
        self.scope = scope
        self.send = send
        self.seen: dict[str, Any] = {"messages": 0}
        self._receive = receive
        SEEN[self.key] = self.seen

    async def receive(self) -> Message:
        """Return the next message; note how the WebSocket ends."""
        message = await self._receive()
        if message["type"] == "websocket.receive":
            self.seen["messages"] += 1
        elif message["type"] == "websocket.disconnect":
            self.seen["code"] = message["code"]
            self.seen["reason"] = message["reason"]
        return message

    async def accept(self, **more: Any) -> None:
        """Complete the handshake."""
        message = await self.receive()
        assert message == {"type": "websocket.connect"}
        await self.send({"type": "websocket.accept", **more})

    async def until_disconnect(self) -> None:
        """Receive whatever comes, to the end."""
        while (await self.receive())["type"] != "websocket.disconnect":
            pass


async def echo(call: Call) -> None:
    """Send every message back as what it is."""
    await call.accept()
    while (message := await call.receive())["type"] == "websocket.receive":
        del message["type"]
        await call.send({"type": "websocket.send", **message})


async def measure(call: Call) -> None:
    """Answer each message with its kind and size."""
    await call.accept()
    while (message := await call.receive())["type"] == "websocket.receive":
        text = message.get("text")
        size = f"bytes {len(message['bytes'])}" if text is None else f"text {len(text)}"
        await call.send({"type": "websocket.send", "text": size})


async def produce(call: Call) -> None:
    """Send one message of ``size`` bytes."""
    await call.accept()
    size = int(call.query["size"])
    if "text" in call.query:
        await call.send({"type": "websocket.send", "text": "t" * size})
    else:
        await call.send({"type": "websocket.send", "bytes": bytes(size)})
    await call.until_disconnect()


async def greet(call: Call) -> None:
    """Send three messages together with the handshake."""
    await call.accept()
    for text in ("one", "", "three"):
        await call.send({"type": "websocket.send", "text": text})
    await call.until_disconnect()


async def choose(call: Call) -> None:
    """Choose the last subprotocol; answer with all that were offered."""
    offered = call.scope["subprotocols"]
    chosen = offered[-1] if offered else None
    await call.accept(subprotocol=chosen, headers=[(b"X-Seen", ",".join(offered).encode())])
    await call.until_disconnect()


async def close(call: Call) -> None:
    """Close with the code and the reason of the query."""
    await call.accept()
    message: Message = {"type": "websocket.close"}
    if "code" in call.query:
        message["code"] = int(call.query["code"])
    if "reason" in call.query:
        message["reason"] = call.query["reason"]
    await call.send(message)
    await call.until_disconnect()


async def refuse(call: Call) -> None:
    """Close before the handshake."""
    await call.receive()
    await call.send({"type": "websocket.close", "code": 4000, "reason": "not for you"})
    await call.until_disconnect()


async def deny(call: Call) -> None:
    """Answer the handshake with a response of its own, in two pieces."""
    await call.receive()
    assert "websocket.http.response" in call.scope["extensions"]
    start = {"status": 418, "headers": [(b"Content-Type", b"text/tea"), (b"X-Pot", b"short")]}
    await call.send({"type": "websocket.http.response.start", **start})
    body = {"type": "websocket.http.response.body"}
    await call.send({**body, "body": b"I am ", "more_body": True})
    await call.send({**body, "body": b"a teapot"})
    await call.until_disconnect()


async def fail(call: Call) -> None:
    """Raise: before the handshake or after it."""
    if call.query["when"] == "after":
        await call.accept()
    raise LookupError("a secret of the app")


async def leave(call: Call) -> None:
    """Return without a close."""
    await call.accept()


async def flood(call: Call) -> None:
    """Send numbered messages of 64 KiB; count those that are accepted."""
    await call.accept()
    filler = bytes(BLOCK - 8)
    for number in range(int(call.query["count"])):
        await call.send({"type": "websocket.send", "bytes": number.to_bytes(8, "big") + filler})
        call.seen["accepted"] = (number + 1) * BLOCK
    await call.until_disconnect()


async def press(call: Call) -> None:
    """Send until that raises; note what."""
    await call.accept()
    block = bytes(BLOCK)
    try:
        while True:
            await call.send({"type": "websocket.send", "bytes": block})
            call.seen["accepted"] = call.seen.get("accepted", 0) + BLOCK
    except OSError as error:
        call.seen["raised"] = type(error).__name__
    await call.send({"type": "websocket.close"})  # a close comes never too late
    await call.until_disconnect()


async def listen(call: Call) -> None:
    """Send nothing; count."""
    await call.accept()
    await call.until_disconnect()


async def deaf(call: Call) -> None:
    """Receive nothing until told to go on; then count."""
    await call.accept()
    await GO_ON.setdefault(call.key, asyncio.Event()).wait()
    await call.until_disconnect()


KINDS: dict[str, Callable[[Call], Awaitable[None]]] = {
    one.__name__: one
    for one in (
        echo,
        measure,
        produce,
        greet,
        choose,
        close,
        refuse,
        deny,
        fail,
        leave,
        flood,
        press,
        listen,
        deaf,
    )
}


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Serve ``/KIND/KEY`` to WebSockets; tell what ``KEY`` saw to ``GET /KEY``."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    if scope["type"] == "http":
        key = scope["path"][1:]
        if scope["query_string"] == b"go":
            GO_ON.setdefault(key, asyncio.Event()).set()
        body = json.dumps(SEEN.get(key, {})).encode()
        head = {"status": 200, "headers": [(b"content-length", b"%d" % len(body))]}
        await send({"type": "http.response.start", **head})
        await send({"type": "http.response.body", "body": body})
        return
    call = Call(scope, receive, send)
    try:
        await KINDS[call.kind](call)
    finally:
        call.seen["ended"] = True
