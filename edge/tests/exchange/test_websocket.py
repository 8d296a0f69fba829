from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.asgi.memory import CLOSE, Recorder, Tunnelled, request_head, rest, until

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.head import RequestHead
from asgi_tunnel_edge.exchange.websocket import WebSocketExchange

from .fakes import FakeRoute, ListWriter, context_of, request_of

pytestmark = pytest.mark.plain  # a stand-in for the writer


def ask(tunnel: Tunnelled) -> tuple[ListWriter, WebSocketExchange]:
    """Relay a handshake into a tunnel in memory."""
    head: RequestHead = request_head(scheme=b"wss")
    request = request_of(fields=head.fields, websocket_key=b"dGhlIHNhbXBsZSBub25jZQ==")
    writer = ListWriter()
    route = FakeRoute(tunnel.edge).as_route()
    exchange = WebSocketExchange(writer, request, head, route, context_of())
    exchange.start()
    return writer, exchange


async def test_a_refused_websocket_leaves_nothing_behind() -> None:
    """A53: after a 403 neither side of the session keeps anything of the stream."""
    tunnel = Tunnelled(Recorder(CLOSE))
    writer, _ = ask(tunnel)
    await until(lambda: "finish" in writer.names)
    assert writer.status == 403
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
    writer, exchange = ask(tunnel)
    await until(lambda: writer.calls)
    exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
    await rest()
    go.set()
    await tunnel.returned()
    assert len(errors) == 1
    assert (tunnel.edge.in_flight, tunnel.connector.in_flight) == (0, 0)
