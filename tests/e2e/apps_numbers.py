"""The app behind the concurrency tests: everybody waits until all are there.

``POST /N/COUNT/SIZE`` and a WebSocket on the same path answer with what only number N gets.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

Message = dict[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

PRESENT: dict[str, set[int]] = {"http": set(), "websocket": set()}
COMPLETE = {"http": asyncio.Event(), "websocket": asyncio.Event()}


def content(number: int, size: int) -> bytes:
    """Return ``size`` bytes that only ``number`` has."""
    unit = b"%06d," % number
    return (unit * (size // len(unit) + 1))[:size]


async def meet(kind: str, number: int, count: int) -> None:
    """Wait until ``count`` are there at one time."""
    PRESENT[kind].add(number)
    if len(PRESENT[kind]) >= count:
        COMPLETE[kind].set()
    await COMPLETE[kind].wait()


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Serve both kinds."""
    kind = scope["type"]
    if kind == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    number, count, size = (int(part) for part in scope["path"][1:].split("/"))
    if kind == "http":
        body = b""
        while True:
            message = await receive()
            body += message["body"]
            if not message["more_body"]:
                break
        assert body == content(number, size), "a body of somebody else"
        await meet(kind, number, count)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": body + content(number, size)})
        return
    await receive()
    await send({"type": "websocket.accept"})
    await meet(kind, number, count)
    await send({"type": "websocket.send", "text": str(number)})
    while (message := await receive())["type"] == "websocket.receive":
        await send({"type": "websocket.send", "bytes": message["bytes"] + content(number, size)})
