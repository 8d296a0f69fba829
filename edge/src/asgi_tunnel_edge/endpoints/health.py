"""The page that a load balancer or a monitor asks: is this edge up, and does it take requests?"""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any, Final

__all__ = ["HEALTH_PATH", "Health"]

HEALTH_PATH: Final = "/.well-known/asgi-tunnel/health"
"""Answered on every hostname, with an address or nothing as Host, and by HTTP/1.0."""

_METHODS: Final = b"GET, HEAD, OPTIONS"


class Health:
    """An ASGI app: 200 ``{"status": "ok"}``, or 503 ``{"status": "stopping"}``.

    Args:
        is_ready: Whether the edge takes requests.
    """

    def __init__(self, is_ready: Callable[[], bool]) -> None:
        self._is_ready = is_ready

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request; it has nothing to do at start and stop."""
        if scope["type"] == "lifespan":
            await self._live(receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        fields = [(b"content-type", b"application/json"), (b"cache-control", b"no-store")]
        if scope["method"] not in ("GET", "HEAD", "OPTIONS"):
            status, text = 405, "this method is not served here"
            fields.append((b"allow", _METHODS))
        elif self._is_ready():
            status, text = 200, "ok"
        else:
            status, text = 503, "stopping"
            fields.append((b"retry-after", b"5"))
        body = json.dumps({"status": text}).encode() + b"\n"
        fields.append((b"content-length", b"%d" % len(body)))
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})

    async def _live(self, receive: Any, send: Any) -> None:
        while True:
            kind = (await receive())["type"]
            await send({"type": f"{kind}.complete"})
            if kind == "lifespan.shutdown":
                return
