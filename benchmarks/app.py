"""The app that every system serves: bare ASGI, so that what is measured is the way to it.

GET /               5 bytes
GET /64k            64 KiB
GET /asset/N        2 KiB
GET /json           2 KiB of JSON, encoded for each request
GET /bytes/N        N bytes in one piece, at most 256 KiB
POST /echo-size     answers the length of the body
GET /down?bytes=N   N bytes, sent in pieces of 64 KiB
POST /up            answers the length of the body, which may be endless
GET /events?count=N N server-sent events, one in a piece, each with the time it was sent
WebSocket /ws       sends each message back
"""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any
from urllib.parse import parse_qs

Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

_PIECE = bytes(64 * 1024)
_ASSET = b"a" * 2048
_FILE = bytes(256 * 1024)
_RECORDS = [
    {"id": number, "name": f"item {number:04}", "tags": ["new", "in stock"], "price": 19.9}
    for number in range(26)
]


async def app(scope: Message, receive: Receive, send: Send) -> None:
    """Serve one scope."""
    match scope["type"]:
        case "http":
            await _http(scope, receive, send)
        case "websocket":
            await _echo(receive, send)
        case "lifespan":
            await _lifespan(receive, send)
        case other:
            raise ValueError(f"the app has nothing for a scope of type {other!r}")


async def _http(scope: Message, receive: Receive, send: Send) -> None:
    path: str = scope["path"]
    if path == "/":
        await _answer(send, b"hello")
    elif path.startswith("/asset/"):
        await _answer(send, _ASSET)
    elif path == "/64k":
        await _answer(send, _PIECE)
    elif path == "/json":
        await _answer(send, json.dumps(_RECORDS).encode(), kind=b"application/json")
    elif path.startswith("/bytes/"):
        await _answer(send, _FILE[: int(path[7:])])
    elif path in ("/echo-size", "/up"):
        await _answer(send, str(await _body_size(receive)).encode())
    elif path == "/down":
        await _down(_number(scope, "bytes"), receive, send)
    elif path == "/events":
        await _events(_number(scope, "count"), send)
    else:
        await _answer(send, b"not found", status=404)


def _number(scope: Message, name: str) -> int:
    return int(parse_qs(scope["query_string"].decode())[name][0])


async def _answer(
    send: Send, body: bytes, *, status: int = 200, kind: bytes = b"text/plain"
) -> None:
    length = str(len(body)).encode()
    headers = [(b"content-type", kind), (b"content-length", length)]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def _body_size(receive: Receive) -> int:
    size = 0
    while True:
        message = await receive()
        size += len(message.get("body", b""))
        if not message.get("more_body"):
            return size


async def _down(size: int, receive: Receive, send: Send) -> None:
    # Servers take what is sent to a visitor who has gone, and say nothing: without this look, a
    # download that was cut would go on to its end and load the app beside the next measurement.
    gone = asyncio.ensure_future(_disconnect(receive))
    try:
        await _pieces(size, gone, send)
    finally:
        gone.cancel()


async def _disconnect(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _pieces(size: int, gone: asyncio.Future[None], send: Send) -> None:
    headers = [
        (b"content-type", b"application/octet-stream"),
        (b"content-length", str(size).encode()),
    ]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for _ in range(size // len(_PIECE)):
        if gone.done():
            return
        await send({"type": "http.response.body", "body": _PIECE, "more_body": True})
        # As reading a file would. A loop that never waits lets nobody else in while the socket
        # takes everything, and that would be the app's fault and not the way's to it.
        await asyncio.sleep(0)
    await send({"type": "http.response.body", "body": _PIECE[: size % len(_PIECE)]})


async def _events(count: int, send: Send) -> None:
    headers = [(b"content-type", b"text/event-stream"), (b"cache-control", b"no-store")]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    for number in range(count):
        event = f"id: {number}\ndata: {time.perf_counter()}\n\n".encode()
        await send({"type": "http.response.body", "body": event, "more_body": True})
    await send({"type": "http.response.body", "body": b""})


async def _echo(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            return
        if message.get("bytes") is not None:
            await send({"type": "websocket.send", "bytes": message["bytes"]})
        else:
            await send({"type": "websocket.send", "text": message["text"]})


async def _lifespan(receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        await send({"type": f"{message['type']}.complete"})
        if message["type"] == "lifespan.shutdown":
            return
