from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import Any

import anyio
import pytest
from tests.asgi.memory import request_head

from asgi_tunnel.asgi import played_visitor
from asgi_tunnel.asgi.played_visitor import PlayedVisitor
from asgi_tunnel.asgi.websocket import WebSocketExchange
from asgi_tunnel.inspector.replay import Message
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import StreamKind


async def play(app: Any, messages: Sequence[Message]) -> None:
    """Call an app with a visitor who sends messages; return when it has."""
    visitor = PlayedVisitor(messages)
    head = request_head("GET", "/live", scheme=b"wss")
    exchange = WebSocketExchange(visitor, StreamOpened(0, StreamKind.WEBSOCKET, head, b"", False))
    visitor.start(exchange)
    with anyio.fail_after(20):
        await exchange.run(app, {"type": "websocket"})


async def test_turns() -> None:
    """A message comes after as many of the app as before; then the visitor closes with 1000."""
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        assert (await receive())["type"] == "websocket.connect"
        await send({"type": "websocket.accept"})
        assert await receive() == {"type": "websocket.receive", "text": "first"}
        waiting = asyncio.ensure_future(receive())
        await anyio.wait_all_tasks_blocked()
        seen.append(waiting.done())
        await send({"type": "websocket.send", "text": "1"})
        await send({"type": "websocket.send", "bytes": b"2"})
        seen.append(await waiting)
        seen.append(await receive())

    await play(app, [("first", 0), (b"\xff", 2)])
    assert seen == [
        False,
        {"type": "websocket.receive", "bytes": b"\xff"},
        {"type": "websocket.disconnect", "code": 1000, "reason": ""},
    ]


@pytest.mark.plain
async def test_an_app_that_sends_less(monkeypatch: pytest.MonkeyPatch) -> None:
    """Is waited for, and gets the next message all the same."""
    monkeypatch.setattr(played_visitor, "STEP_WAIT", 0.01)
    seen: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        while (message := await receive())["type"] == "websocket.receive":
            seen.append(message["text"])

    await play(app, [("first", 1), ("second", 5)])
    assert seen == ["first", "second"]


async def test_an_app_that_closes() -> None:
    """Nothing is sent to it any more, whether it had begun or not."""

    async def closing(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await send({"type": "websocket.close", "code": 4000})
        assert (await receive())["type"] == "websocket.disconnect"

    async def denying(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.close"})

    await play(closing, [("first", 0)])
    await play(denying, [("first", 0)])
