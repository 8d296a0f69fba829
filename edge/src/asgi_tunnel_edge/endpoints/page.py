"""What short pages of the edge have in common: GET, HEAD and OPTIONS, one small response.

A page is an ASGI app behind a :class:`.local_app.LocalApp`; :class:`LocalPages` is several.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

__all__ = ["LocalPages", "Page", "Response"]

_METHODS: Final = ("GET", "HEAD", "OPTIONS")


class Response(NamedTuple):
    """What a page says."""

    status: int
    body: bytes
    content_type: bytes = b"application/json"
    fields: Sequence[tuple[bytes, bytes]] = ()  #: more header fields

    @classmethod
    def json(
        cls, status: int, value: object, fields: Sequence[tuple[bytes, bytes]] = ()
    ) -> Response:
        """Return a value as JSON, on one line."""
        return cls(status, json.dumps(value).encode() + b"\n", fields=fields)


class Page:
    """An ASGI app; it has nothing to do at start and stop."""

    async def respond(self, scope: Any) -> Response:
        """Return the response to a GET, HEAD or OPTIONS; cancelling it loses nothing.

        Args:
            scope: Of the request.
        """
        raise NotImplementedError

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one request."""
        if scope["type"] == "lifespan":
            await _live(receive, send)
            return
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        if scope["method"] in _METHODS:
            response = await self.respond(scope)
        else:
            allow = (b"allow", ", ".join(_METHODS).encode())
            response = Response.json(405, {"status": "this method is not served here"}, [allow])
        fields = [
            (b"content-type", response.content_type),
            (b"cache-control", b"no-store"),
            *response.fields,
            (b"content-length", b"%d" % len(response.body)),
        ]
        await send({"type": "http.response.start", "status": response.status, "headers": fields})
        await send({"type": "http.response.body", "body": response.body})


class LocalPages(Page):
    """Several pages by their path.

    Args:
        pages: By path.
    """

    def __init__(self, pages: Mapping[str, Page]) -> None:
        self._pages = dict(pages)

    async def respond(self, scope: Any) -> Response:
        """See :class:`Page`; 404 for a path without one."""
        page = self._pages.get(scope["path"])
        if page is None:
            return Response.json(404, {"status": "nothing is served here"})
        return await page.respond(scope)


async def _live(receive: Any, send: Any) -> None:
    while True:
        kind = (await receive())["type"]
        await send({"type": f"{kind}.complete"})
        if kind == "lifespan.shutdown":
            return
