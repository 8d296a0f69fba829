"""The inspector's interface: a small ASGI app, the same behind both of its doors.

What it has is in docs/reference/inspector.md. Who asks stands in the scope, where only a door can
put it; a visitor's request never comes here.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable, MutableMapping
from contextlib import aclosing
from typing import Any, Final, Protocol

from .caller import CALLER, Caller
from .live import follow
from .query import Filter, read_number, read_query
from .recorder import OFF, Recorder
from .reply import RefusedError, Reply, json_reply
from .settings import LEVELS
from .view import View

__all__ = ["Act", "InspectorApp"]

MAX_REQUEST: Final = 8 * 1024 * 1024
"""Bytes of a request's body: a file of exchanges to import."""

MAX_LOOKED_AT: Final = 5000
"""Exchanges that one request looks at; what fits none of them is found in some requests more."""

_EXCHANGES: Final = "/exchanges"
_NONE: Final[frozenset[str]] = frozenset()

_Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


class Act(Protocol):
    """Does what is more than to look: repeats, exports, imports, compares."""

    async def __call__(
        self, method: str, path: str, query: bytes, body: bytes, recorder: View, *, may_write: bool
    ) -> Reply | None:
        """Serve a request; None: there is nothing of that name.

        Args:
            method: In capitals.
            path: Decoded.
            query: As it was sent.
            body: Complete.
            recorder: What the caller may see and do.
            may_write: Whether anything may be changed.
        """


class InspectorApp:
    """See the module.

    Args:
        recorder: Has the exchanges.
        describe: Says of which process they are: ``app``, ``pid``, ``agent``.
        act: Serves what is not here.
    """

    def __init__(
        self,
        recorder: Recorder,
        describe: Callable[[], dict[str, Any]],
        act: Act | None = None,
    ) -> None:
        self._recorder = recorder
        self._describe = describe
        self._act = act

    async def __call__(self, scope: Any, receive: _Receive, send: _Send) -> None:
        """Serve one request.  Cancelling it ends a live view."""
        caller: Caller = scope[CALLER]
        view = View(self._recorder, caller)
        try:
            if (scope["method"], scope["path"]) == ("GET", "/live"):
                await _stream(view, scope["query_string"], receive, send)
                return
            body = await _read(receive)
            reply = await self._reply(scope, body, view, may_write=caller.may_write)
        except RefusedError as error:
            reply = error.reply
        await _send(reply, send)

    async def _reply(self, scope: Any, body: bytes, view: View, *, may_write: bool) -> Reply:
        method, path, query = scope["method"], scope["path"], scope["query_string"]
        match method, path:
            case "GET", "/state":
                read_query(query, _NONE)
                return json_reply(self._state())
            case "PUT", "/state":
                _require(may_write)
                self._set_level(body)
                return json_reply(self._state())
            case "GET", "/exchanges":
                return json_reply(self._list(view, Filter.read(query)))
            case "DELETE", "/exchanges":
                _require(may_write)
                self._recorder.clear()
                return Reply(204, b"")
            case "GET", str() if path.startswith("/exchanges/") and path.count("/") == 2:
                read_query(query, _NONE)
                return _detail(view, path.rpartition("/")[2])
        reply = None
        if self._act is not None:
            reply = await self._act(method, path, query, body, view, may_write=may_write)
        if reply is None:
            raise RefusedError(404, "the inspector has nothing there")
        return reply

    def _state(self) -> dict[str, Any]:
        ring = self._recorder.ring
        return {
            "level": self._recorder.level,
            "exchanges": len(ring),
            "bytes": ring.held,
            "max_bytes": ring.max_bytes,
            "lost": ring.lost,
            "last": ring.next_seq - 1,
            **self._describe(),
        }

    def _set_level(self, body: bytes) -> None:
        values = read_json(body)
        level = values.get("level") if isinstance(values, dict) else None
        if level not in (*LEVELS, OFF):
            raise RefusedError(400, 'level is none of "full", "metadata" and "off"')
        self._recorder.level = level

    def _list(self, view: View, wanted: Filter) -> dict[str, Any]:
        """Return what fits, and the number to go on before; null: there is nothing more."""
        found: list[dict[str, Any]] = []
        last: int | None = None
        for count, one in enumerate(view.newest(wanted.before)):
            if one["seq"] <= wanted.after:
                break
            if len(found) >= wanted.limit or count >= MAX_LOOKED_AT:
                last = one["seq"] + 1
                break
            if wanted.fits(one):
                found.append(one)
        return {"exchanges": found, "next": last, "lost": self._recorder.ring.lost}


def _detail(view: View, name: str) -> Reply:
    found = view.detail(name)
    if found is None:
        raise RefusedError(
            404, "there is no exchange of this id, or it has given way to newer ones"
        )
    return json_reply(found)


def read_json(body: bytes) -> Any:
    """Return what a body says.

    Raises:
        RefusedError: It is no JSON.
    """
    try:
        return json.loads(body)
    except (ValueError, RecursionError):
        raise RefusedError(400, "the body is no JSON") from None


def _require(may_write: bool) -> None:
    if not may_write:
        raise RefusedError(403, "you may look, and not change anything")


async def _read(receive: _Receive) -> bytes:
    """Return the request's body.

    Raises:
        RefusedError: It is too large, or was not complete.
    """
    body = bytearray()
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            raise RefusedError(400, "the request is not complete")
        body += message.get("body", b"")
        if len(body) > MAX_REQUEST:
            raise RefusedError(413, f"the body has more than {MAX_REQUEST} bytes")
        if not message.get("more_body", False):
            return bytes(body)


async def _stream(view: View, query: bytes, receive: _Receive, send: _Send) -> None:
    """Send what happens until the viewer has gone."""
    values = read_query(query, frozenset({"after"}))
    after = read_number(values, "after", 0) if values else None
    async with aclosing(follow(view, after)) as pieces:
        first = await anext(pieces)
        await send(_start(200, "text/event-stream"))

        async def send_all() -> None:
            await send({"type": "http.response.body", "body": first, "more_body": True})
            async for piece in pieces:
                await send({"type": "http.response.body", "body": piece, "more_body": True})

        async with asyncio.TaskGroup() as group:
            sending = group.create_task(send_all())
            while (await receive())["type"] != "http.disconnect":
                pass
            sending.cancel()


async def _send(reply: Reply, send: _Send) -> None:
    start = _start(reply.status, reply.kind)
    if reply.status != 204:
        start["headers"].append((b"content-length", b"%d" % len(reply.body)))
    await send(start)
    await send({"type": "http.response.body", "body": reply.body})


def _start(status: int, kind: str) -> dict[str, Any]:
    return {
        "type": "http.response.start",
        "status": status,
        "headers": [
            (b"content-type", kind.encode("latin-1")),
            (b"cache-control", b"no-store"),
            (b"x-content-type-options", b"nosniff"),
        ],
    }
