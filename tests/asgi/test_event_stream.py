"""What never ends by itself is ended when the app ends."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from tests.asgi.memory import Tunnelled, body, rest, start, until

from asgi_tunnel.asgi import origin as origin_module
from asgi_tunnel.asgi.types import Message

if TYPE_CHECKING:
    import pytest

EVENTS = start(200, (b"content-type", b"text/event-stream; charset=utf-8"))


async def test_a_shutdown_ends_event_streams() -> None:
    """The visitor gets a clean end behind the last event, the app http.disconnect."""
    received: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        await send(EVENTS)
        await send(body(b"data: 1\n\n", more=True))
        received.append(await receive())
        await send(body(b"data: 2\n\n", more=True))  # ignored, as after any disconnect

    tunnel = Tunnelled(app)
    visitor = tunnel.ask()
    await until(lambda: visitor.body)
    tunnel.origin.end_event_streams()
    await visitor.over()
    assert (visitor.body, visitor.reset) == (b"data: 1\n\n", None)
    await tunnel.returned()
    assert received[1] == {"type": "http.disconnect"}
    await until(lambda: not tunnel.edge.connection.open_streams, "a stream is left")


async def test_an_event_stream_that_does_not_listen_is_cancelled(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A call that sends for ever ends soon after its visitor has."""
    monkeypatch.setattr(origin_module, "DISCONNECT_GRACE", 0.01)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(EVENTS)
        while True:
            await send(body(b"data: 1\n\n", more=True))
            await asyncio.sleep(0)

    tunnel = Tunnelled(app)
    visitor = tunnel.ask()
    await until(lambda: visitor.body)
    tunnel.origin.end_event_streams()
    await visitor.over()
    await until(lambda: not tunnel.origin.in_flight, "still running")


async def test_a_shutdown_leaves_downloads_alone() -> None:
    """A response that has an end keeps its time."""
    release = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-type", b"text/plain")))
        await send(body(b"one ", more=True))
        await release.wait()
        await send(body(b"two"))

    tunnel = Tunnelled(app)
    visitor = tunnel.ask()
    await until(lambda: visitor.body)
    tunnel.origin.end_event_streams()
    await rest()
    release.set()
    await visitor.over()
    assert visitor.body == b"one two"
