"""An app whose contents can be recognised: it says a marker that it alone knows."""

from __future__ import annotations

import asyncio
import hashlib
import os
from typing import Any

MARKER = os.environ.get("MARKER", "").encode()
CHUNK = 256 * 1024


async def app(scope: Any, receive: Any, send: Any) -> None:
    """``/size/N``, ``/digest``, ``/marker``, ``/events`` and ``/slow``; or a WebSocket."""
    if scope["type"] == "lifespan":
        while (await receive())["type"] == "lifespan.startup":
            await send({"type": "lifespan.startup.complete"})
        await send({"type": "lifespan.shutdown.complete"})
    elif scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"].upper()})
    else:
        await _http(scope["path"], receive, send)


async def _http(path: str, receive: Any, send: Any) -> None:
    async def say(body: bytes, *, more: bool = True) -> None:
        await send({"type": "http.response.body", "body": body, "more_body": more})

    is_events = path == "/events"
    fields = [(b"content-type", b"text/event-stream")] if is_events else []
    digest = hashlib.sha256()
    if path == "/digest":
        more = True
        while more:
            message = await receive()
            digest.update(message.get("body", b""))
            more = message.get("more_body", False)
    if path == "/slow":
        print("slow begins", flush=True)  # noqa: T201 - the test reads it
        await asyncio.sleep(2.0)
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    if path.startswith("/size/"):
        left = int(path[6:])
        while left:
            size = min(left, CHUNK)
            left -= size
            await say(bytes(size))
    elif path == "/marker":
        for _ in range(500):
            await say(MARKER * 512)
            await asyncio.sleep(0.01)
    elif is_events:
        for number in range(3):
            await say(b"data: %d\n\n" % number)
            await asyncio.sleep(0.05)
    await say(digest.hexdigest().encode() if path == "/digest" else b"hello\n", more=False)
