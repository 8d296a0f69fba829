from __future__ import annotations

import asyncio
from typing import Any

import anyio
import pytest
from tests.asgi.memory import Answer, Recorder, Tunnelled, body, rest, start, until

from asgi_tunnel.asgi.inbox import TURN_MESSAGES, Inbox
from asgi_tunnel.protocol.limits import INITIAL_STREAM_WINDOW

DISCONNECT = {"type": "http.disconnect"}


class Reader:
    """An app that reads when the test says so, and answers at the end."""

    def __init__(self) -> None:
        self.receive: Any = None
        self.done = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Hand ``receive`` to the test."""
        self.receive = receive
        await self.done.wait()
        await send(start())
        await send(body(b"hello"))

    async def called(self) -> Any:
        """Wait for the call; return its ``receive``."""
        await until(lambda: self.receive)
        return self.receive


async def test_no_body_is_one_empty_event() -> None:
    """A22: a request without a body is exactly one event, empty and final."""
    app = Reader()
    tunnel = Tunnelled(app)
    tunnel.ask()
    receive = await app.called()
    assert await receive() == {"type": "http.request", "body": b"", "more_body": False}
    waiting = asyncio.ensure_future(receive())
    await rest()
    assert not waiting.done()
    waiting.cancel()


async def test_a_body_comes_in_order_with_more_body() -> None:
    """A22: pieces of a body arrive in order; only the last one has no more behind it."""
    app = Reader()
    visitor = Tunnelled(app).ask("POST", body=None)
    receive = await app.called()
    visitor.send(b"one")
    assert await receive() == {"type": "http.request", "body": b"one", "more_body": True}
    visitor.send(b"two", end=True)
    assert await receive() == {"type": "http.request", "body": b"two", "more_body": False}


async def test_receive_blocks_after_the_body_until_the_visitor_leaves() -> None:
    """A23: after the last body event ``receive()`` waits, then returns the disconnect."""
    app = Reader()
    visitor = Tunnelled(app).ask("POST", body=b"all")
    receive = await app.called()
    assert (await receive())["more_body"] is False
    waiting = asyncio.ensure_future(receive())
    await rest()
    assert not waiting.done()
    visitor.leave()
    assert await waiting == DISCONNECT


async def test_receive_ends_when_the_answer_is_complete() -> None:
    """A23: a waiting ``receive()`` returns the disconnect as soon as the response is complete."""
    messages: list[Any] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        waiting = asyncio.ensure_future(receive())
        await send(start())
        await send(body(b"hello", more=True))
        await asyncio.sleep(0)
        assert not waiting.done()
        await send(body())
        messages.append(await waiting)

    tunnel = Tunnelled(app)
    assert (await tunnel.get()).body == b"hello"
    await tunnel.returned()
    assert messages == [DISCONNECT]


async def test_what_is_there_is_returned_in_a_cancelled_scope() -> None:
    """A24: an event that has come is returned although the scope around it is cancelled."""
    app = Reader()
    visitor = Tunnelled(app).ask("POST", body=b"all")
    receive = await app.called()
    found = []
    with anyio.CancelScope() as scope:
        scope.cancel()
        found.append(await receive())
    assert found == [{"type": "http.request", "body": b"all", "more_body": False}]
    visitor.leave()
    await rest()
    with anyio.CancelScope() as scope:
        scope.cancel()
        found.append(await receive())
    assert found[1:] == [DISCONNECT]


async def test_starlette_sees_a_visitor_who_left() -> None:
    """A24: ``Request.is_disconnected`` is True at the first question after the disconnect."""
    from starlette.requests import Request

    app = Reader()
    visitor = Tunnelled(app).ask("POST", body=b"all")
    request = Request({"type": "http", "method": "POST"}, await app.called())
    assert await request.body() == b"all"
    assert await request.is_disconnected() is False
    visitor.leave()
    await rest()
    assert await request.is_disconnected() is True


async def test_a_cancelled_receive_loses_nothing() -> None:
    """A25: an event that comes in the turn in which ``receive()`` is cancelled stays."""
    inbox = Inbox()
    waiting = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    inbox.put({"type": "one"}, 3)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert await inbox.get() == ({"type": "one"}, 3)


async def test_every_waiting_receive_wakes() -> None:
    """A26: several waiting calls each get an event, and all of them the disconnect."""
    app = Reader()
    visitor = Tunnelled(app).ask("POST", body=None)
    receive = await app.called()
    waiting = [asyncio.ensure_future(receive()) for _ in range(3)]
    await rest()
    visitor.send(b"one")
    await until(lambda: sum(one.done() for one in waiting) == 1)
    visitor.leave()
    kinds = sorted(message["type"] for message in await asyncio.gather(*waiting))
    assert kinds == ["http.disconnect", "http.disconnect", "http.request"]


async def test_an_app_that_only_receives_does_not_stop_the_loop() -> None:
    """A26: after the disconnect every call returns it, and the loop still has turns for others."""
    app = Reader()
    visitor = Tunnelled(app).ask("POST", body=b"all")
    receive = await app.called()
    visitor.leave()
    await rest()
    is_over = False

    async def busy() -> None:
        while not is_over:
            assert await receive() == DISCONNECT

    task = asyncio.ensure_future(busy())
    await rest(10)
    is_over = True
    await task


async def test_a_received_message_is_the_apps_own() -> None:
    """A26: an app that changes its disconnect message does not change the next one."""
    app = Reader()
    visitor = Tunnelled(app).ask()
    receive = await app.called()
    visitor.leave()
    await rest()
    (await receive())["type"] = "changed"
    assert await receive() == DISCONNECT


EXPECT = (b"expect", b"100-continue")


async def test_100_is_sent_when_the_app_asks_for_the_body() -> None:
    """A27: an expectation is answered at the first ``receive()``, not before, and once."""
    app = Reader()
    visitor = Tunnelled(app).ask("POST", "/", EXPECT, body=None)
    receive = await app.called()
    await rest()
    assert not visitor.interim
    waiting = asyncio.ensure_future(receive())
    await until(lambda: visitor.interim)
    visitor.send(b"body", end=True)
    assert (await waiting)["body"] == b"body"
    assert [head.status for head in visitor.interim] == [100]


@pytest.mark.parametrize("fields", [(), (EXPECT,)])
async def test_no_100_without_need(fields: tuple[tuple[bytes, bytes], ...]) -> None:
    """A27: no 100 when none is expected, nor when the body came by itself."""
    app = Recorder(receives=1)
    tunnel = Tunnelled(app)
    visitor = await tunnel.ask("POST", "/", *fields, body=b"body").over()
    assert visitor.status == 200
    assert not visitor.interim


async def test_no_100_after_the_answer_has_started() -> None:
    """A27: an app that answers first and receives then sends no 100."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start(403))
        waiting = asyncio.ensure_future(receive())
        await asyncio.sleep(0)
        await send(body(b"no"))
        assert await waiting == DISCONNECT

    visitor = await Tunnelled(app).ask("POST", "/", EXPECT, body=None).over()
    assert (visitor.status, visitor.body) == (403, b"no")
    assert not visitor.interim


async def test_an_unread_body_stops_at_the_window() -> None:
    """A28: what an app does not receive is bounded by one window; reading brings the rest."""
    app = Reader()
    tunnel = Tunnelled(app)
    visitor = tunnel.ask("POST", body=None)
    receive = await app.called()
    total = 2_000_000
    visitor.send(bytes(total), end=True)
    await rest(200)
    arrived = tunnel.wires[0].sent
    assert arrived < INITIAL_STREAM_WINDOW + 4096
    size = 0
    while True:
        message = await receive()
        size += len(message["body"])
        if not message["more_body"]:
            break
    assert size == total


async def test_a_truncated_body_is_a_disconnect() -> None:
    """A29: a visitor who breaks off in the middle is a disconnect, never the end of the body."""
    app = Reader()
    visitor = Tunnelled(app).ask("POST", body=None)
    receive = await app.called()
    visitor.send(b"half")
    assert (await receive())["more_body"] is True
    waiting = asyncio.ensure_future(receive())
    await rest()
    visitor.leave()
    assert await waiting == DISCONNECT


async def test_a_lost_tunnel_is_a_disconnect() -> None:
    """A29: an exchange whose session is lost ends like one whose visitor left."""
    app = Reader()
    tunnel = Tunnelled(app)
    tunnel.ask("POST", body=None)
    receive = await app.called()
    tunnel.cut()
    assert await receive() == DISCONNECT


async def test_an_answer_needs_no_reading() -> None:
    """A30: an app answers a large body without a look at it, and its window comes back."""
    tunnel = Tunnelled(Answer())
    for _ in range(3):
        visitor = tunnel.ask("POST", body=None)
        visitor.send(bytes(500_000), end=True)
        assert (await visitor.over()).body == b"hello"
    await until(lambda: not tunnel.connector.in_flight, "a handler is left")
    await until(lambda: not tunnel.edge.connection.open_streams, "a stream is left")


async def test_many_messages_leave_others_their_turn() -> None:
    """A call that reads a window full of messages in a circle lets the loop come round."""
    inbox = Inbox()
    for _ in range(3 * TURN_MESSAGES):
        inbox.put({"type": "websocket.receive", "text": ""})
    turns = 0

    async def count() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.ensure_future(count())
    for _ in range(3 * TURN_MESSAGES):
        await inbox.get()
    task.cancel()
    assert turns == 2


async def test_a_cancelled_turn_loses_no_message() -> None:
    """Where the turn of others comes, nothing has been taken yet."""
    inbox = Inbox()
    for number in range(TURN_MESSAGES + 1):
        inbox.put({"type": "websocket.receive", "text": str(number)})
    for _ in range(TURN_MESSAGES):
        await inbox.get()
    task = asyncio.ensure_future(inbox.get())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (await inbox.get())[0]["text"] == str(TURN_MESSAGES)
