"""The app behind the edges: it writes down each POST, and sends events and echoes for ever."""

from __future__ import annotations

import asyncio
import os
from typing import Any, Final
from urllib.parse import parse_qs

EVERY: Final = 0.2
"""Seconds between two events."""

COUNTED: Final = "CLUSTER_COUNTED"
"""The variable that names the file to which each executed POST adds a line."""

WORK: Final = 0.05
"""Seconds that a POST takes: so long that some are in progress whenever an edge ends."""


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one call."""
    kind = scope["type"]
    if kind == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    elif kind == "websocket":
        await _echo(receive, send)
    elif scope["path"] == "/events":
        await _events(scope, receive, send)
    elif scope["path"] == "/count":
        await _count(scope, receive, send)
    else:
        await _answer(send, b"hello")


async def _answer(send: Any, body: bytes) -> None:
    fields = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def _count(scope: dict[str, Any], receive: Any, send: Any) -> None:
    while (await receive()).get("more_body"):
        pass
    name = parse_qs(scope["query_string"])[b"id"][0]
    # One write of less than a page with O_APPEND: lines of several processes never mix.
    file = os.open(os.environ[COUNTED], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    os.write(file, name + b"\n")
    os.close(file)
    await asyncio.sleep(WORK)
    await _answer(send, name)


async def _events(scope: dict[str, Any], receive: Any, send: Any) -> None:
    fields = dict(scope["headers"])
    number = int(fields.get(b"last-event-id", b"-1")) + 1
    gone = asyncio.ensure_future(_disconnect(receive))
    start = {"status": 200, "headers": [(b"content-type", b"text/event-stream")]}
    await send({"type": "http.response.start", **start})
    while not gone.done():
        body = b"id: %d\ndata: %d\n\n" % (number, number)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        number += 1
        await asyncio.wait({gone}, timeout=EVERY)


async def _disconnect(receive: Any) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _echo(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            return
