"""An app that says hello, and at /fields which header fields have reached it."""

from __future__ import annotations

from typing import Any


async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Respond to each request with five bytes, or with the names of its fields."""
    if scope["type"] != "http":
        return
    body = b"hello"
    if scope["path"] == "/fields":
        body = b"\n".join(name for name, _ in scope["headers"])
    headers = [(b"content-length", str(len(body)).encode())]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})
