from __future__ import annotations

import asyncio
from typing import Any

import pytest
from tests.asgi.memory import ACCEPT, CLOSE, Recorder, Tunnelled, Visitor, rest, text, until

from asgi_tunnel.asgi.types import Message
from asgi_tunnel.asgi.websocket import MAX_MESSAGE_SIZE
from asgi_tunnel.errors import ClientDisconnectedError
from asgi_tunnel.protocol.limits import INITIAL_STREAM_WINDOW, OUTBOX_HIGH

ERROR = (500, b"Internal Server Error")


def disconnect(code: int, reason: str = "") -> Message:
    """What the app gets at the end."""
    return {"type": "websocket.disconnect", "code": code, "reason": reason}


def data(payload: Any) -> Message:
    """A ``websocket.send`` of bytes."""
    return {"type": "websocket.send", "bytes": payload}


def close(code: Any = 1000, reason: Any = "") -> Message:
    """A ``websocket.close``."""
    return {"type": "websocket.close", "code": code, "reason": reason}


def deny(status: Any = 401, *fields: tuple[bytes, bytes]) -> Message:
    """A ``websocket.http.response.start``."""
    return {"type": "websocket.http.response.start", "status": status, "headers": list(fields)}


def deny_body(payload: Any, *, more: bool = False) -> Message:
    """A ``websocket.http.response.body``."""
    return {"type": "websocket.http.response.body", "body": payload, "more_body": more}


class Held:
    """An app that sends some messages, then hands ``receive`` and ``send`` to the test.

    Args:
        messages: Sent first.
    """

    def __init__(self, *messages: Message) -> None:
        self.messages = messages or (ACCEPT,)
        self.received: list[Message] = []
        self.receive: Any = None
        self.send: Any = None
        self.end: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send, then wait for the test."""
        self.received.append(await receive())
        for message in self.messages:
            await send(dict(message))
        self.receive, self.send = receive, send
        await self.end

    async def ready(self) -> Any:
        """Wait until the messages are sent."""
        await until(lambda: self.receive)
        return self.receive

    async def drain(self) -> list[Message]:
        """Receive up to the disconnect."""
        found = []
        while True:
            found.append(await self.receive())
            if found[-1]["type"] == "websocket.disconnect":
                self.end.set_result(None)
                return found


async def opened(app: Held, tunnel: Tunnelled, **options: Any) -> Visitor:
    """An accepted WebSocket."""
    visitor = await tunnel.connect(**options).started()
    await app.ready()
    assert visitor.status == 101
    return visitor


async def test_connect_comes_first_and_nothing_before_accept() -> None:
    """A51: the app gets ``websocket.connect``; the handshake is done when it has accepted."""
    go = asyncio.Event()
    first: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        first.append(await receive())
        await go.wait()
        await send(ACCEPT)
        await send(text("hello"))

    visitor = Tunnelled(app).connect()
    await until(lambda: first)
    await rest()
    assert first == [{"type": "websocket.connect"}]
    assert not visitor.status
    go.set()
    await visitor.over()
    assert (visitor.status, visitor.messages) == (101, ["hello"])


async def test_accept_carries_subprotocol_and_headers() -> None:
    """A52: the subprotocol and extra headers, lower-case, are in the 101."""
    message = {
        **ACCEPT,
        "subprotocol": "chat",
        "headers": [(b"X-Name", b"a"), [b"Set-Cookie", b"b"]],
    }
    visitor = await Tunnelled(Recorder(message, CLOSE)).connect().over()
    assert visitor.status == 101
    assert visitor.fields == [
        (b"sec-websocket-protocol", b"chat"),
        (b"x-name", b"a"),
        (b"set-cookie", b"b"),
    ]


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([{**ACCEPT, "headers": [(b"Sec-WebSocket-Protocol", b"chat")]}], ValueError),
        ([{**ACCEPT, "headers": [(b"a", b"b\r\nc")]}], ValueError),
        ([{**ACCEPT, "subprotocol": "a\r\nb"}], ValueError),
        ([text("early")], RuntimeError),
        ([ACCEPT, ACCEPT], RuntimeError),
        ([ACCEPT, deny()], RuntimeError),
        ([{"type": "websocket.unknown"}], RuntimeError),
        ([ACCEPT, {"type": "websocket.send"}], ValueError),
        ([ACCEPT, {"type": "websocket.send", "text": "a", "bytes": b"b"}], ValueError),
        ([ACCEPT, data("text")], TypeError),
        ([ACCEPT, data(5)], TypeError),
        ([ACCEPT, CLOSE, CLOSE], RuntimeError),
        ([ACCEPT, CLOSE, text("late")], RuntimeError),
        ([ACCEPT, close(1005)], ValueError),
        ([ACCEPT, close(1006)], ValueError),
        ([ACCEPT, close(2000)], ValueError),
        ([ACCEPT, close(1000, "é" * 62)], ValueError),
        ([deny_body(b"early")], RuntimeError),
        ([deny(), deny(), deny_body(b"")], RuntimeError),
        ([deny(), ACCEPT, deny_body(b"")], RuntimeError),
        ([deny(101)], ValueError),
        ([deny("403")], ValueError),
        ([deny(403, (b"a", b"b\n"))], ValueError),
    ],
)
async def test_a_wrong_message_raises_in_send(
    messages: list[Message], error: type[Exception]
) -> None:
    """A52, A54, A57: a message out of order or of a wrong form raises in the app, no more."""
    app = Recorder(*messages)
    tunnel = Tunnelled(app)
    await tunnel.connect().over()
    await tunnel.returned()
    assert [type(one) for one in app.errors] == [error]
    assert not tunnel.edge.is_over


async def test_close_before_accept_is_a_403() -> None:
    """A53: the visitor gets 403, the app a disconnect with 1006."""
    app = Held(close(4000, "unseen"))
    tunnel = Tunnelled(app)
    visitor = await tunnel.connect().over()
    assert (visitor.status, visitor.body, visitor.is_complete) == (403, b"", True)
    await app.ready()
    assert await app.drain() == [disconnect(1006)]


async def test_a_denial_is_passed_on() -> None:
    """A54: status, headers and body of the app's refusal reach the visitor; then 1006."""
    app = Held(deny(401, (b"X-Why", b"no")), deny_body(b"\xff\xfe", more=True), deny_body(b"!"))
    visitor = await Tunnelled(app).connect().over()
    assert (visitor.status, visitor.body) == (401, b"\xff\xfe!")
    assert visitor.fields == [(b"x-why", b"no")]
    await app.ready()
    assert await app.drain() == [disconnect(1006)]


@pytest.mark.parametrize("values", [(b"x",), (b"",), (b"1", b"2")])
async def test_a_denial_with_a_wrong_length_raises_in_send(values: tuple[bytes, ...]) -> None:
    """The mistake is the app's, so it hears of it; the visitor gets 500, as for HTTP."""
    app = Recorder(deny(401, *((b"content-length", value) for value in values)))
    visitor = await Tunnelled(app).connect().over()
    assert [type(error) for error in app.errors] == [ValueError]
    assert (visitor.status, visitor.body) == ERROR


@pytest.mark.parametrize(("status", "length"), [(401, [b"0"]), (204, [])])
async def test_a_denial_has_one_length_and_none_with_a_204(
    status: int, length: list[bytes]
) -> None:
    """What a response may not have twice, or not at all, goes no further than the app's side."""
    same = ((b"Content-Length", b"0"), (b"content-length", b"0"), (b"x-why", b"no"))
    visitor = await Tunnelled(Recorder(deny(status, *same), deny_body(b""))).connect().over()
    assert visitor.field(b"content-length") == length
    assert visitor.field(b"x-why") == [b"no"]


async def test_a_denial_may_take_its_time() -> None:
    """A54: the edge ends its direction when it sees a denial; the body still goes out."""
    app = Held(deny(403))
    tunnel = Tunnelled(app)
    visitor = await tunnel.connect().started()
    visitor.close(1006)
    await app.ready()
    await rest()
    await app.send(deny_body(b"slow ", more=True))
    await rest()
    await app.send(deny_body(b"body"))
    await visitor.over()
    assert (visitor.body, visitor.is_complete) == (b"slow body", True)
    assert await app.drain() == [disconnect(1006)]
    await tunnel.returned()
    assert not tunnel.connector.in_flight


async def test_a_denial_waits_for_a_slow_visitor() -> None:
    """A54: a large denial is sent under the same windows as any body."""
    sent = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(deny(403))
        for number in range(50):
            await send(deny_body(bytes(16384), more=number < 49))
            sent.append(number)

    tunnel = Tunnelled(app)
    visitor = tunnel.connect(reads=False)
    await rest(200)
    assert len(sent) * 16384 <= INITIAL_STREAM_WINDOW + OUTBOX_HIGH
    visitor.read()
    await visitor.over()
    assert len(visitor.body) == 50 * 16384


async def test_a_denial_without_its_end_is_cut() -> None:
    """A54: a refusal whose body never ends cannot look complete."""
    visitor = await Tunnelled(Recorder(deny(), deny_body(b"half", more=True))).connect().over()
    assert visitor.reset is not None
    assert not visitor.is_complete


class Fails:
    """An app that sends, then raises or returns.

    Args:
        messages: What it sends.
        error: None to return.
    """

    def __init__(self, *messages: Message, error: BaseException | None = None) -> None:
        self.messages = messages
        self.error = error

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Do so."""
        for message in self.messages:
            await send(message)
        if self.error is not None:
            raise self.error


@pytest.mark.parametrize("error", [None, ValueError("detail"), SystemExit(1)])
async def test_an_end_before_accept_is_a_500(
    caplog: pytest.LogCaptureFixture, error: BaseException | None
) -> None:
    """A55: an app that raises or returns before it has accepted is answered for with 500."""
    tunnel = Tunnelled(Fails(error=error))
    visitor = await tunnel.connect().over()
    await tunnel.returned()
    assert (visitor.status, visitor.body) == ERROR
    assert caplog.records


@pytest.mark.parametrize(
    ("error", "code"), [(ValueError("detail"), 1011), (None, 1000), (KeyboardInterrupt(), 1011)]
)
async def test_an_end_after_accept_closes(
    caplog: pytest.LogCaptureFixture, error: BaseException | None, code: int
) -> None:
    """A55: after accept an error closes with 1011 and a return with 1000, without details."""
    tunnel = Tunnelled(Fails(ACCEPT, error=error))
    visitor = await tunnel.connect().over()
    await tunnel.returned()
    assert visitor.closed == (code, "")
    assert bool(caplog.records) is (error is not None)


@pytest.mark.parametrize(
    ("code", "reason"), [(1000, ""), (1001, "going"), (4321, "é" * 61), (1005, ""), (1006, "")]
)
async def test_the_visitors_code_reaches_the_app(code: int, reason: str) -> None:
    """A56: close code and reason arrive; 1005 without a code, 1006 when the visitor was lost."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    visitor.close(code, reason)
    assert await app.drain() == [disconnect(code, reason)]


async def test_a_visitor_lost_before_accept_is_1006() -> None:
    """A56: a visitor who breaks off during the handshake is a disconnect with 1006."""
    received: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        received.append(await receive())
        received.append(await receive())
        with pytest.raises(OSError, match="after the visitor had disconnected"):
            await send(ACCEPT)

    tunnel = Tunnelled(app)
    visitor = tunnel.connect()
    await until(lambda: received)
    visitor.leave()
    await tunnel.returned()
    assert received[1] == disconnect(1006)


@pytest.mark.parametrize(
    ("message", "closed"),
    [
        (close(), (1000, "")),
        (CLOSE, (1000, "")),
        (close(None, None), (1000, "")),
        (close(3000, "bye"), (3000, "bye")),
        (close(4999, "é" * 61), (4999, "é" * 61)),
    ],
)
async def test_the_apps_code_reaches_the_visitor(message: Message, closed: Any) -> None:
    """A57: close code and reason of the app arrive unchanged; 1000 and "" are the defaults."""
    visitor = await Tunnelled(Recorder(ACCEPT, message)).connect().over()
    assert visitor.closed == closed


async def test_what_comes_after_the_apps_close_is_dropped() -> None:
    """A57: data that the visitor sends before it answers the close is dropped, its window freed."""
    app = Held(ACCEPT, close(4000, "bye"))
    tunnel = Tunnelled(app)
    visitor = await tunnel.connect().over()
    for _ in range(100):
        visitor.say(bytes(5000))
    visitor.close(4000, "bye")
    await app.ready()
    assert await app.drain() == [disconnect(4000, "bye")]
    await tunnel.returned()
    await until(lambda: not tunnel.edge.connection.open_streams, "a stream is left")
    await until(lambda: not tunnel.connector.in_flight, "a handler is left")


async def test_messages_before_a_close_are_delivered() -> None:
    """A58: what came before the close, or the loss, is delivered before the disconnect."""
    for how in ("close", "cut"):
        app = Held()
        tunnel = Tunnelled(app)
        visitor = await opened(app, tunnel)
        visitor.say("one")
        visitor.say(b"two")
        if how == "close":
            visitor.close(1001, "going")
        else:
            await rest()
            tunnel.cut()
        await rest()
        found = await app.drain()
        assert found[:2] == [
            {"type": "websocket.receive", "text": "one"},
            {"type": "websocket.receive", "bytes": b"two"},
        ]
        assert [one["type"] for one in found[2:]] == ["websocket.disconnect"]


@pytest.mark.parametrize("message", ["", b"", "text", b"\x00\xff", "é" * 50_000, bytes(200_000)])
async def test_messages_keep_kind_and_bounds(message: str | bytes) -> None:
    """A59: text and bytes, empty and large, go both ways as one message of the same kind."""

    async def echo(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        while (got := await receive())["type"] == "websocket.receive":
            assert ("text" in got) is not ("bytes" in got)
            if "text" in got:
                await send({"type": "websocket.send", "text": got["text"], "bytes": None})
            else:
                await send({"type": "websocket.send", "text": None, "bytes": got["bytes"]})

    visitor = await Tunnelled(echo).connect().started()
    visitor.say(message)
    visitor.say("end")
    await until(lambda: len(visitor.messages) == 2)
    assert visitor.messages == [message, "end"]


async def test_a_message_is_copied() -> None:
    """A59: the buffer of a bytearray that was sent is the app's again."""
    buffer = bytearray(b"first")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        await send(data(buffer))
        buffer[:] = b"other"

    visitor = await Tunnelled(app).connect().over()
    assert visitor.messages == [b"first"]


async def test_text_that_is_not_utf_8_closes_with_1007() -> None:
    """A60: should an edge let invalid text through, the driver closes; the app's send raises."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    visitor.say("good")
    tunnel.edge.send_data(visitor.stream_id, b"\xff", text=True)
    await visitor.over()
    assert visitor.closed == (1007, "text message is not UTF-8")
    with pytest.raises(ClientDisconnectedError):
        await app.send(text("late"))
    found = await app.drain()
    assert [one.get("text") for one in found] == ["good", None]
    assert found[1]["code"] == 1007


async def test_a_message_beyond_the_limit_closes_with_1009() -> None:
    """A60: should an edge let a huge message through, the driver closes and keeps nothing of it."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    piece = bytes(1024 * 1024)
    for _ in range(MAX_MESSAGE_SIZE // len(piece) + 1):
        tunnel.edge.send_data(visitor.stream_id, piece, more=True)
    await visitor.over()
    assert visitor.closed is not None
    assert visitor.closed[0] == 1009
    assert (await app.drain())[0]["code"] == 1009


async def test_send_waits_for_a_slow_visitor() -> None:
    """A62: ``send()`` waits for a visitor who does not read; other sockets go on."""
    sent = {"/slow": 0, "/quick": 0}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        for _ in range(100):
            await send(data(bytes(16384)))
            sent[scope["path"]] += 1

    tunnel = Tunnelled(app)
    slow = tunnel.connect("/slow", reads=False)
    quick = tunnel.connect("/quick")
    await quick.over()
    assert len(quick.messages) == 100
    assert sent["/slow"] * 16384 <= INITIAL_STREAM_WINDOW + OUTBOX_HIGH
    slow.read()
    await slow.over()
    assert len(slow.messages) == 100


async def test_a_waiting_send_raises_when_the_visitor_leaves() -> None:
    """A62: a ``send()`` that waits for a slow visitor raises as soon as it is gone."""
    errors: list[BaseException] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(ACCEPT)
        try:
            await send(data(bytes(1_000_000)))
        except OSError as error:
            errors.append(error)

    tunnel = Tunnelled(app)
    visitor = tunnel.connect(reads=False)
    await rest(200)
    assert not errors
    visitor.close(1006)
    await tunnel.returned()
    assert [type(one) for one in errors] == [ClientDisconnectedError]


async def test_a_send_that_had_room_does_not_raise() -> None:
    """A62: an app whose message went out hears of a close, right after it, in ``receive()``."""
    received: list[Message] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await receive()
        await send(ACCEPT)
        await send(data(bytes(1_000_000)))
        received.append(await receive())

    tunnel = Tunnelled(app)
    visitor = tunnel.connect(reads=False)
    await rest(200)
    handler = tunnel.connector.handlers[visitor.stream_id]
    handler.on_writable()
    handler.on_close(1000, "read")  # before the app's turn: both were read at once
    await tunnel.returned()
    assert received == [disconnect(1000, "read")]


async def test_unread_messages_stop_at_the_window() -> None:
    """A62: what a visitor sends to an app that does not receive is bounded by one window."""
    app = Held()
    tunnel = Tunnelled(app)
    visitor = await opened(app, tunnel)
    before = tunnel.wires[0].sent
    while visitor.say(bytes(1000)):
        pass
    for _ in range(1000):
        visitor.say(bytes(1000))
    await rest(200)
    assert tunnel.wires[0].sent - before < INITIAL_STREAM_WINDOW + 4096
    visitor.close(1000)
    assert len(await app.drain()) > 1000
