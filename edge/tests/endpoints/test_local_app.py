"""An ASGI app inside the edge's process as a second upstream: the same exchanges, no sockets."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

import pytest
from edge.tests.exchange.fakes import ListWriter, Log, context_of, head_of, request_of
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Route as StarletteRoute
from tests.asgi.memory import until

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel_edge.endpoints.local_app import LocalApp
from asgi_tunnel_edge.exchange.http import HTTPExchange
from asgi_tunnel_edge.exchange.websocket import WebSocketExchange

if TYPE_CHECKING:
    from starlette.requests import Request as StarletteRequest

pytestmark = pytest.mark.plain  # a stand-in for the writer

CHUNK = 64 * 1024


@asynccontextmanager
async def serving(app: Any) -> AsyncIterator[LocalApp]:
    """Run an app as an upstream."""
    local = LocalApp(app)
    await local.start()
    try:
        yield local
    finally:
        await local.stop()


def ask(local: LocalApp, method: bytes = b"GET", *, length: int = 0, paused: bool = False) -> Any:
    """Start an exchange; return it and its writer."""
    writer = ListWriter(is_paused=paused)
    request = request_of(method, length=length)
    exchange = HTTPExchange(writer, request, head_of(method), local.route, (Log(),))
    exchange.start()
    return exchange, writer


async def test_a_starlette_app_responds() -> None:
    """An app of a framework is served, its lifespan included, and each exchange completes."""
    started: list[str] = []

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        started.append("up")
        yield
        started.append("down")

    async def page(request: StarletteRequest) -> PlainTextResponse:
        body = await request.body()
        return PlainTextResponse(f"{request.client.host if request.client else ''} {len(body)}")

    app = Starlette(routes=[StarletteRoute("/", page, methods=["GET", "POST"])], lifespan=lifespan)
    async with serving(app) as local:
        _, writer = ask(local)
        await until(lambda: "finish" in writer.names)
        assert (writer.status, writer.body) == (200, b"192.0.2.7 0")
        exchange, writer = ask(local, b"POST", length=10)
        exchange.send_body(b"hello", end=False)
        exchange.send_body(b"hello", end=True)
        await until(lambda: "finish" in writer.names)
        assert writer.body == b"192.0.2.7 10"
        assert started == ["up"]
    assert started == ["up", "down"]


async def test_an_app_waits_for_a_slow_visitor() -> None:
    """What the visitor does not take is bounded by the stream's window, and goes on when it is."""
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        if scope["type"] == "lifespan":
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(64):
            await send({"type": "http.response.body", "body": bytes(CHUNK), "more_body": True})
            sent += 1
        await send({"type": "http.response.body", "body": b""})

    async with serving(app) as local:
        exchange, writer = ask(local, paused=True)
        before = -1
        while before != sent:
            before = sent
            for _ in range(50):
                await asyncio.sleep(0)
        assert 0 < sent < 48
        writer.paused = False
        exchange.writable()
        await until(lambda: "finish" in writer.names)
        assert len(writer.body) == 64 * CHUNK


async def test_an_app_hears_that_its_visitor_left() -> None:
    """Abandoning the exchange is http.disconnect for the app, and leaves nothing behind."""
    heard = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        await receive()
        assert (await receive())["type"] == "http.disconnect"
        heard.set()

    async with serving(app) as local:
        exchange, _ = ask(local)
        for _ in range(10):
            await asyncio.sleep(0)
        exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
        await asyncio.wait_for(heard.wait(), 5)


async def test_an_app_that_raises_is_500() -> None:
    """Its failure is one response and ends nothing else."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise RuntimeError("no")

    async with serving(app) as local:
        for _ in range(2):
            _, writer = ask(local)
            await asyncio.wait_for(_called(writer), 5)
            assert writer.status == 500 or writer.replied is not None


async def _called(writer: ListWriter) -> None:
    while not writer.calls:  # noqa: ASYNC110 - iterations of the event loop are what is waited for
        await asyncio.sleep(0)


async def test_a_websocket_echoes() -> None:
    """WebSockets pass as they do through a tunnel."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "lifespan":
            return
        await receive()
        await send({"type": "websocket.accept"})
        message = await receive()
        await send({"type": "websocket.send", "text": message["text"]})
        await receive()

    async with serving(app) as local:
        writer = ListWriter()
        request = request_of(websocket_key=b"dGhlIHNhbXBsZSBub25jZQ==")
        exchange = WebSocketExchange(writer, request, head_of(), local.route, context_of())
        exchange.start()
        await until(lambda: writer.channel is not None)
        exchange.data_received(b"\x81\x85\0\0\0\0hello")
        await until(lambda: writer.channel is not None and writer.channel.written != b"")
        assert writer.channel is not None
        assert writer.channel.written == b"\x81\x05hello"
        exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
