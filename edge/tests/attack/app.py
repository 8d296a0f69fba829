"""An app that says hello, and at /fields which header fields have reached it."""

from __future__ import annotations

from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Respond with five bytes, or the names of the fields; read uploads; echo at /echo."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            if scope["path"] == "/echo":
                await send({"type": "websocket.send", "text": message["text"]})
    if scope["type"] != "http":
        return
    while scope["path"] == "/upload" and (await receive()).get("more_body"):
        pass
    body = b"hello"
    if scope["path"] == "/fields":
        body = b"\n".join(name for name, _ in scope["headers"])
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
