"""How a WebSocket ends when the app, the edge or the tunnel does."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.asgi.memory import CLOSE, Tunnelled, rest, text, until
from tests.asgi.test_websocket import Held, disconnect, opened

from asgi_tunnel.asgi.types import Message
from asgi_tunnel.errors import ClientDisconnectedError
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.limits import INITIAL_STREAM_WINDOW

WHY = "the app restarts"


async def test_a_shutdown_closes_with_1012() -> None:
    """A63: when the app ends, both ends get 1012 after what was sent before."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    visitor.say("last words")
    await rest()
    tunnel.origin.close_websockets(1012, "the app restarts")
    await visitor.over()
    assert visitor.closed == (1012, "the app restarts")
    with pytest.raises(ClientDisconnectedError):
        await app.send(text("late"))
    await app.send(CLOSE)
    visitor.close(1012, "the app restarts")  # the edge answers at once
    found = await app.drain()
    assert found[0]["text"] == "last words"
    assert found[1] == disconnect(1012, "the app restarts")
    await tunnel.returned()
    await until(lambda: not tunnel.edge.connection.open_streams, "a stream is left")


async def test_a_shutdown_during_the_handshake_refuses() -> None:
    """A63: a WebSocket not yet accepted is refused, so that another process may have it."""
    received: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        received.append(await receive())

    tunnel = Tunnelled(app)
    visitor = tunnel.connect()
    await until(lambda: received)
    tunnel.origin.close_websockets(1012, "the app restarts")
    await visitor.over()
    assert visitor.reset == (ResetCode.REFUSED, "the app restarts")
    await tunnel.returned()
    assert received[1] == disconnect(1012, "the app restarts")


@pytest.mark.parametrize("how", ["cut", "end"])
async def test_a_lost_tunnel_is_1006_for_the_app(how: str) -> None:
    """A63: an app whose tunnel is lost or ended by the edge gets a disconnect with 1006."""
    app = Held()
    tunnel = Tunnelled(app)
    await opened(app, tunnel)
    {"cut": tunnel.cut, "end": tunnel.end}[how]()
    await rest()
    assert [one["code"] for one in await app.drain()] == [1006]


async def test_what_was_said_before_a_shutdown_arrives() -> None:
    """A63: messages and a close that are on their way when the app ends are delivered."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    for message in ("m0", "m1", b"m2"):
        visitor.say(message)
    visitor.close(1000, "bye")
    tunnel.origin.close_websockets(1012, WHY)
    assert await app.drain() == [
        {"type": "websocket.receive", "text": "m0"},
        {"type": "websocket.receive", "text": "m1"},
        {"type": "websocket.receive", "bytes": b"m2"},
        disconnect(1000, "bye"),
    ]
    await tunnel.returned()
    await until(lambda: not tunnel.edge.connection.open_streams, "a stream is left")
    await until(lambda: not tunnel.connector.in_flight, "a handler is left")


async def test_more_than_the_window_arrives_after_a_shutdown() -> None:
    """A63: what waits at the edge for room arrives too, as the app reads."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    size, count = 10_000, INITIAL_STREAM_WINDOW // 10_000 * 3
    for _ in range(count):
        visitor.say(bytes(size))
    visitor.close(1000)
    tunnel.origin.close_websockets(1012, WHY, patience=0.2)
    await asyncio.sleep(0.5)  # longer than the edge has to answer
    found = await app.drain()
    assert [len(one["bytes"]) for one in found[:-1]] == [size] * count
    assert found[-1] == disconnect(1000)


@pytest.mark.parametrize("how", ["silence", "cut"])
async def test_an_edge_that_does_not_answer_a_shutdown(how: str) -> None:
    """A63: without an answer the app is told all the same, with the code of the shutdown."""
    app = Held()
    tunnel = Tunnelled(app)
    await opened(app, tunnel)
    tunnel.origin.close_websockets(1012, WHY, patience=0.01 if how == "silence" else 60)
    if how == "cut":
        tunnel.cut()
    found = await asyncio.wait_for(app.drain(), 5)
    assert [one["code"] for one in found] == [1012]
    await tunnel.returned()


async def test_an_app_that_returns_during_a_shutdown() -> None:
    """A63: what still comes for it is dropped and paid for, and nothing is left."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    tunnel.origin.close_websockets(1012, WHY)
    app.end.set_result(None)
    await tunnel.returned()
    visitor.say(bytes(10))
    visitor.close(1012, WHY)
    await until(lambda: not tunnel.edge.connection.open_streams, "a stream is left")
    await until(lambda: not tunnel.connector.in_flight, "a handler is left")


async def test_a_sender_that_waits_is_told_of_a_shutdown() -> None:
    """A63: an app that waits for a slow visitor gets the error at once, not with the answer."""
    app = Held()
    tunnel = Tunnelled(app)
    await opened(app, tunnel, reads=False)

    async def fill() -> None:
        while True:
            await app.send(text("x" * 60_000))

    filling = asyncio.ensure_future(fill())
    await rest(500)
    assert not filling.done()
    tunnel.origin.close_websockets(1012, WHY)
    with pytest.raises(ClientDisconnectedError):
        await asyncio.wait_for(filling, 5)
    tunnel.cut()
    app.end.set_result(None)
    await tunnel.returned()


async def test_the_end_of_the_edge_comes_after_what_was_said() -> None:
    """A63: messages that the edge had relayed before it stopped are delivered first."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    visitor.say("m0")
    visitor.close(1012, "the edge restarts")
    await rest()  # the edge drains before it ends the session
    tunnel.end()
    await rest()
    assert await app.drain() == [
        {"type": "websocket.receive", "text": "m0"},
        disconnect(1012, "the edge restarts"),
    ]
