"""The app that the faults happen to: long transfers, events, an echo, a counter, and its own state.

Raw ASGI, so that nothing between the tunnel and the test hides a byte.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import threading
from typing import Any
from urllib.parse import parse_qs

PIECE = 64 * 1024
_PATTERN = bytes(range(256)) * (PIECE // 256)

counted: dict[str, int] = {}
"""How often each POST was executed, by its id."""


def piece(number: int) -> bytes:
    """Return piece ``number`` of the endless body: no two pieces are the same."""
    return number.to_bytes(8, "big") + _PATTERN[8:]


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Serve one call."""
    kind = scope["type"]
    if kind == "lifespan":
        await _lifespan(receive, send)
    elif kind == "websocket":
        await (_listen if scope["path"] == "/listen" else _echo)(receive, send)
    else:
        handler = _PATHS[scope["path"]]
        query = {name: values[0] for name, values in parse_qs(scope["query_string"]).items()}
        await handler(query, receive, send)


async def _lifespan(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        await send({"type": message["type"] + ".complete"})
        if message["type"] == "lifespan.shutdown":
            return


async def _answer(send: Any, body: bytes) -> None:
    fields = [(b"content-length", str(len(body)).encode()), (b"x-pid", str(os.getpid()).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    await send({"type": "http.response.body", "body": body})


async def _hello(query: dict[bytes, bytes], receive: Any, send: Any) -> None:
    await asyncio.sleep(float(query.get(b"wait", b"0")))
    await _answer(send, b"hello")


async def _download(query: dict[bytes, bytes], receive: Any, send: Any) -> None:
    count = int(query[b"pieces"])
    fields = [(b"content-length", str(count * PIECE).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    for number in range(count):
        await send(
            {
                "type": "http.response.body",
                "body": piece(number),
                "more_body": number < count - 1,
            }
        )


async def _upload(query: dict[bytes, bytes], receive: Any, send: Any) -> None:
    digest = hashlib.sha256()
    size = 0
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return
        digest.update(message["body"])
        size += len(message["body"])
        if not message["more_body"]:
            break
    await _answer(send, f"{size} {digest.hexdigest()}".encode())


async def _events(query: dict[bytes, bytes], receive: Any, send: Any) -> None:
    gone = asyncio.ensure_future(receive_disconnect(receive))
    fields = [(b"content-type", b"text/event-stream")]
    await send({"type": "http.response.start", "status": 200, "headers": fields})
    for number in range(int(query[b"count"])):
        body = b"id: %d\ndata: %d\n\n" % (number, number)
        await send({"type": "http.response.body", "body": body, "more_body": True})
        await asyncio.wait({gone}, timeout=float(query[b"every"]))
        if gone.done():
            return
    gone.cancel()
    await send({"type": "http.response.body", "body": b""})


async def receive_disconnect(receive: Any) -> None:
    """Return when the visitor has left."""
    while (await receive())["type"] != "http.disconnect":
        pass


async def _count(query: dict[bytes, bytes], receive: Any, send: Any) -> None:
    name = query[b"id"].decode()
    counted[name] = counted.get(name, 0) + 1
    while (await receive()).get("more_body"):
        pass
    await asyncio.sleep(float(query.get(b"wait", b"0")))
    await _answer(send, str(counted[name]).encode())


async def _counted(query: dict[bytes, bytes], receive: Any, send: Any) -> None:
    await _answer(send, json.dumps(counted).encode())


async def _state(query: dict[bytes, bytes], receive: Any, send: Any) -> None:
    state = {
        "pid": os.getpid(),
        "tasks": len(asyncio.all_tasks()),
        "threads": threading.active_count(),
    }
    await _answer(send, json.dumps(state).encode())


async def _listen(receive: Any, send: Any) -> None:
    """Print what is heard."""
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            print("heard", message["text"], flush=True)  # noqa: T201 - read by the test
        else:
            print("closed", message["code"], flush=True)  # noqa: T201 - read by the test
            return


async def _echo(receive: Any, send: Any) -> None:
    while True:
        message = await receive()
        if message["type"] == "websocket.connect":
            await send({"type": "websocket.accept"})
        elif message["type"] == "websocket.receive":
            await send({"type": "websocket.send", "text": message["text"]})
        else:
            return


_PATHS = {
    "/hello": _hello,
    "/download": _download,
    "/upload": _upload,
    "/events": _events,
    "/count": _count,
    "/counted": _counted,
    "/state": _state,
}
