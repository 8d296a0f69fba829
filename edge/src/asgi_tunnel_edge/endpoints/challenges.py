"""The proofs of http-01 (RFC 8555 section 8.3), on the port for plain HTTP."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

__all__ = ["CHALLENGE_PATH", "Challenges"]

CHALLENGE_PATH: Final = "/.well-known/acme-challenge/"


class Challenges:
    """An ASGI app: 200 with the proof of a token, or 404.

    Args:
        lookup: Finds the proof of a token.
    """

    def __init__(self, lookup: Callable[[str], str | None]) -> None:
        self._lookup = lookup

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request; it has nothing to do at start and stop."""
        if scope["type"] == "lifespan":
            while True:
                kind = (await receive())["type"]
                await send({"type": f"{kind}.complete"})
                if kind == "lifespan.shutdown":
                    return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        proof = self._lookup(scope["path"].removeprefix(CHALLENGE_PATH))
        is_known = proof is not None and scope["method"] in ("GET", "HEAD")
        body = (proof or "").encode() if is_known else b"there is no such proof\n"
        fields = [
            (b"content-type", b"application/octet-stream" if is_known else b"text/plain"),
            (b"content-length", b"%d" % len(body)),
            (b"cache-control", b"no-store"),
        ]
        status = 200 if is_known else 404
        await send({"type": "http.response.start", "status": status, "headers": fields})
        await send({"type": "http.response.body", "body": body})
