"""An origin that writes down every request it runs, one JSON line an event, into ``$RECORD``.

A request counts as relayed when a ``run`` line says so, and as understood when its ``body`` line
says that the body was complete; nothing else is evidence.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

SHOWN = 4096
"""Bytes of a body that are written down as they are; of a longer one, its SHA-256."""

_file = os.open(os.environ["RECORD"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)


def note(event: str, target: str, **values: object) -> None:
    """Append one line."""
    line = json.dumps({"event": event, "target": target, **values}) + "\n"
    os.write(_file, line.encode())


def shown(body: bytes) -> str:
    """A body in a record."""
    return body.decode("latin-1") if len(body) <= SHOWN else hashlib.sha256(body).hexdigest()


async def app(scope: Scope, receive: Receive, send: Send) -> None:
    """Serve lifespan, HTTP and WebSocket; the path says how to behave."""
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    query = scope["query_string"]
    target = (scope["raw_path"] + (b"?" + query if query else b"")).decode("latin-1")
    note(
        "run",
        target,
        type=scope["type"],
        method=scope.get("method", ""),
        headers=[[n.decode("latin-1"), v.decode("latin-1")] for n, v in scope["headers"]],
        client=list(scope["client"]),
        scheme=scope["scheme"],
        version=scope["http_version"],
    )
    if scope["type"] == "websocket":
        await _websocket(scope["path"], target, receive, send)
    else:
        await _http(scope["path"], target, receive, send)


async def _read_body(target: str, receive: Receive) -> bytes | None:
    parts: list[bytes] = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            note("disconnect", target, size=sum(map(len, parts)))
            return None
        parts.append(message.get("body", b""))
        if not message.get("more_body", False):
            body = b"".join(parts)
            note("body", target, size=len(body), body=shown(body))
            return body


async def _answer(send: Send, status: int, body: bytes, *headers: tuple[bytes, bytes]) -> None:
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})
    await send({"type": "http.response.body", "body": body})


async def _http(path: str, target: str, receive: Receive, send: Send) -> None:
    verb, _, argument = path[1:].partition("/")
    start = {"type": "http.response.start", "status": 200, "headers": []}
    match verb:
        case "early":
            await _answer(send, 200, b"early", (b"content-length", b"5"))
        case "status":
            await _answer(send, int(argument), b"")
        case "bytes":
            await _answer(send, 200, b"x" * int(argument), (b"content-length", argument.encode()))
        case "stream":
            await send(start)
            left = int(argument)
            while left:
                size = min(left, 65536)
                left -= size
                await send({"type": "http.response.body", "body": b"x" * size, "more_body": True})
                note("sent", target, size=int(argument) - left)
            await send({"type": "http.response.body"})
        case "begin":  # an answer that has begun when the body breaks a rule
            await send(start)
            await send({"type": "http.response.body", "body": b"begun", "more_body": True})
            await _read_body(target, receive)
            await send({"type": "http.response.body", "body": b"ended"})
        case "sleep":
            await asyncio.sleep(float(argument))
            await _answer(send, 200, b"slept", (b"content-length", b"5"))
        case "late":  # reads nothing for a while
            await asyncio.sleep(float(argument))
            late = await _read_body(target, receive) or b""
            await _answer(send, 200, b"%d" % len(late))
        case "wrong":
            await _wrong(argument, send)
        case _:
            body = await _read_body(target, receive)
            if body is not None:
                text = f"{target} {len(body)}".encode("latin-1")
                await _answer(send, 200, text, (b"content-length", b"%d" % len(text)))


_BAD_FIELDS: dict[str, list[tuple[bytes, bytes]]] = {
    "crlf": [(b"x-a", b"1\r\nSet-Cookie: a=b")],
    "lf": [(b"x-a", b"1\nSet-Cookie: a=b")],
    "nul": [(b"x-a", b"1\x00")],
    "name": [(b"x-a: b\r\nx-c", b"1")],
    "headers": [(b"x-%d" % number, b"v") for number in range(4000)],
    "transfer-encoding": [(b"transfer-encoding", b"chunked")],
}


async def _wrong(how: str, send: Send) -> None:
    """Break a rule of ASGI or of HTTP."""
    length = (b"content-length", b"5")
    match how:
        case "crash-before":
            raise RuntimeError("before")
        case "crash-after":
            await send({"type": "http.response.start", "status": 200, "headers": []})
            await send({"type": "http.response.body", "body": b"half", "more_body": True})
            raise RuntimeError("after")
        case "no-answer":
            return
        case "two-lengths":
            await _answer(send, 200, b"hello", length, (b"content-length", b"6"))
        case "short":
            await _answer(send, 200, b"hell", length)
        case "long":
            await _answer(send, 200, b"hello world", length)
        case "long-in-pieces":
            await send({"type": "http.response.start", "status": 200, "headers": [length]})
            await send({"type": "http.response.body", "body": b"hel", "more_body": True})
            await send({"type": "http.response.body", "body": b"lo HTTP/1.1 200 OK\r\n\r\n"})
        case "204-body":
            await _answer(send, 204, b"hello", length)
        case "304-body":
            await _answer(send, 304, b"hello", length)
        case "status":
            await _answer(send, 999, b"")
        case _:
            await _answer(send, 200, b"hello", *_BAD_FIELDS[how])


async def _websocket(path: str, target: str, receive: Receive, send: Send) -> None:
    await receive()
    verb = path[1:]
    if verb == "deny":
        await send({"type": "websocket.close"})
        return
    await send({"type": "websocket.accept"})
    if verb == "greet":
        await send({"type": "websocket.send", "text": "hello"})
    if verb == "idle":  # takes no messages for a while
        await asyncio.sleep(6)
    if verb == "raise":
        raise RuntimeError("in a websocket")
    while True:
        message = await receive()
        if message["type"] == "websocket.disconnect":
            note("closed", target, code=message.get("code"))
            return
        text, data = message.get("text"), message.get("bytes")
        payload: bytes = text.encode() if text is not None else (data or b"")
        note("message", target, size=len(payload), text=text is not None, body=shown(payload))
        if verb == "flood":
            while True:
                await send({"type": "websocket.send", "bytes": b"x" * 65536})
        if verb != "sink":
            await send({"type": "websocket.send", "bytes": data, "text": text})
