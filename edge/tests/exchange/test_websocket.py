from __future__ import annotations

import asyncio
import types
from typing import Any, cast

import pytest
from tests.asgi.memory import CLOSE, Recorder, Tunnelled, request_head, rest, until

from asgi_tunnel.protocol.head import RequestHead
from asgi_tunnel_edge.exchange.websocket import WebSocketRelay
from asgi_tunnel_edge.request import Request
from asgi_tunnel_edge.settings.config import Limits

pytestmark = pytest.mark.plain  # a stand-in for the visitor's connection


class FakeVisitor:
    """A visitor's connection that keeps what is written."""

    def __init__(self) -> None:
        self.written = b""
        self.is_paused = False
        self.is_closed = False

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def taken_over(self) -> None:
        """Nothing to hand over."""

    def resume_body(self) -> None:
        """It is never paused."""

    def close_soon(self) -> None:
        """Note it."""
        self.is_closed = True

    cut = close_soon


def ask(tunnel: Tunnelled) -> tuple[FakeVisitor, WebSocketRelay]:
    """Relay a handshake into a tunnel in memory."""
    head: RequestHead = request_head(scheme=b"wss")
    request = Request(
        method=b"GET",
        target=b"/",
        is_http11=True,
        host=b"shop.example.test",
        hostname="shop.example.test",
        fields=head.fields,
        length=0,
        keep_alive=True,
        expects_continue=False,
        takes_trailers=False,
        websocket_key=b"dGhlIHNhbXBsZSBub25jZQ==",
        websocket_error=0,
    )
    visitor = FakeVisitor()
    choose: Any = lambda: tunnel.edge  # noqa: E731 - a route in one line
    route = types.SimpleNamespace(choose=choose, hostname="shop.example.test")
    ingress = types.SimpleNamespace(
        limits=Limits(),
        now=asyncio.get_running_loop().time,
        access_log=types.SimpleNamespace(add=lambda entry: None),
    )
    relay = WebSocketRelay(cast(Any, visitor), request, head, cast(Any, route), cast(Any, ingress))
    relay.start()
    return visitor, relay


async def test_a_refused_websocket_leaves_nothing_behind() -> None:
    """A53: after a 403 neither side of the session keeps anything of the stream."""
    tunnel = Tunnelled(Recorder(CLOSE))
    visitor, _ = ask(tunnel)
    await until(lambda: visitor.is_closed)
    assert visitor.written.startswith(b"HTTP/1.1 403 ")
    await until(lambda: not tunnel.edge.connection.open_streams, "a stream is left")
    await rest()
    assert (tunnel.edge.in_flight, tunnel.connector.in_flight) == (0, 0)


async def test_a_visitor_who_leaves_a_refusal_frees_the_app() -> None:
    """A54: an app whose refusal nobody reads any more is told when it sends the next piece."""
    go = asyncio.Event()
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        await go.wait()
        with pytest.raises(OSError, match="disconnected") as caught:
            await send({"type": "websocket.http.response.body", "body": b"", "more_body": False})
        errors.append(caught.value)

    tunnel = Tunnelled(app)
    visitor, relay = ask(tunnel)
    await until(lambda: visitor.written)
    relay.connection_lost()
    await rest()
    go.set()
    await tunnel.returned()
    assert len(errors) == 1
    assert (tunnel.edge.in_flight, tunnel.connector.in_flight) == (0, 0)
