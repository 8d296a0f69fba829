from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.asgi.memory import Answer, Recorder, Tunnelled, body, rest, start, until

from asgi_tunnel.asgi.types import Message
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.head import HeadError
from asgi_tunnel.protocol.limits import INITIAL_STREAM_WINDOW, OUTBOX_HIGH

ERROR = (500, b"Internal Server Error")
UNKNOWN: Message = {"type": "http.response.unknown"}


@pytest.mark.parametrize(
    ("messages", "error"),
    [
        ([body(b"early")], RuntimeError),
        ([start(), start()], RuntimeError),
        ([UNKNOWN], RuntimeError),
        ([start(), UNKNOWN], RuntimeError),
        ([{"type": "http.response.start"}], KeyError),
        ([start("200")], ValueError),
        ([start(99)], ValueError),
        ([start(101)], ValueError),
        ([start(600)], ValueError),
        ([start(200, ("name", "value"))], TypeError),  # type: ignore[arg-type]
        ([start(200, (b"name", "value"))], TypeError),  # type: ignore[arg-type]
        ([start(), body("text")], TypeError),
        ([start(), body(), body()], RuntimeError),
        ([start(), body(), start()], RuntimeError),
        ([start(200, (b"content-length", b"x"))], ValueError),
        ([start(200, (b"content-length", b"1"), (b"content-length", b"2"))], ValueError),
        ([{}], KeyError),
    ],
)
async def test_a_wrong_message_raises_in_send(
    messages: list[Message], error: type[Exception]
) -> None:
    """A31: a message out of order or of a wrong form raises in the app, and the tunnel stays."""
    app = Recorder(*messages)
    tunnel = Tunnelled(app)
    tunnel.ask()
    await tunnel.returned()
    assert [type(one) for one in app.errors] == [error]
    assert not tunnel.edge.is_over
    app._messages = (start(), body(b"next"))
    assert (await tunnel.get()).body == b"next"


async def test_an_app_may_begin_anew_after_a_refused_start() -> None:
    """A31: a start that raised leaves nothing behind: the app's error page goes out whole."""
    huge = (b"x", bytes(range(97, 123)) * 5000)
    app = Recorder(
        start(304, (b"content-length", b"5"), huge, trailers=True), start(500), body(b"sorry")
    )
    visitor = await Tunnelled(app).get()
    assert (visitor.status, visitor.body, visitor.is_complete) == (500, b"sorry", True)


async def test_unknown_keys_are_ignored() -> None:
    """A32: keys that ASGI does not name change nothing."""
    visitor = await Tunnelled(Answer(start(mine=1), body(b"hello", mine=object()))).get()
    assert visitor.body == b"hello"


@pytest.mark.parametrize("kind", [bytearray, memoryview])
async def test_a_body_is_copied(kind: Any) -> None:
    """A32: a body may be a bytearray or memoryview, whose buffer the app uses again at once."""
    buffer = bytearray(b"first")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(buffer if kind is bytearray else memoryview(buffer), more=True))
        buffer[:] = b"other"
        await send(body())

    assert (await Tunnelled(app).get()).body == b"first"


@pytest.mark.parametrize("form", [list, tuple, iter])
async def test_headers_may_be_any_iterable(form: Any) -> None:
    """A33: a list, a tuple or a generator of pairs, in mixed case; order and duplicates stay."""
    pairs = [[b"Set-Cookie", b"a=1"], (b"Content-Type", b"text/plain"), [b"Set-Cookie", b"b=2"]]
    message = {"type": "http.response.start", "status": 200, "headers": form(pairs)}

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(message)
        await send(body())

    assert (await Tunnelled(app).get()).fields == [
        (b"set-cookie", b"a=1"),
        (b"content-type", b"text/plain"),
        (b"set-cookie", b"b=2"),
    ]


@pytest.mark.parametrize(
    "pair",
    [
        (b"a", b"b\r\nset-cookie: c"),
        (b"a", b"b\nc"),
        (b"a", b"b\x00c"),
        (b"a", b" \nb"),
        (b"a", b"b\r"),
        (b"a", b"b\x0b "),
        (b"a", b"\x1b[2J"),
        (b"a", b"\x7f"),
        (b"a\r\nb", b"c"),
        (b"a b", b"c"),
        (b" a", b"c"),
        (b"a:", b"c"),
        (b"", b"c"),
        (b":status", b"200"),
    ],
)
async def test_header_injection_raises(pair: tuple[bytes, bytes]) -> None:
    """A34: control characters and pseudo headers raise, and the visitor gets a 500."""
    visitor = await Tunnelled(Answer(start(200, pair), body(b"hello"))).get()
    assert (visitor.status, visitor.body) == ERROR
    assert pair not in visitor.fields


async def test_obs_text_in_values_passes() -> None:
    """A34: bytes above ASCII and tabs inside a value are no injection."""
    pair = (b"a", b"caf\xe9\tau lait")
    assert (await Tunnelled(Answer(start(200, pair), body())).get()).fields == [pair]


async def test_the_apps_transfer_encoding_is_dropped() -> None:
    """A35: how the body is framed for the visitor is not the app's business."""
    app = Answer(start(200, (b"Transfer-Encoding", b"chunked"), (b"a", b"b")), body(b"hello"))
    visitor = await Tunnelled(app).get()
    assert visitor.fields == [(b"a", b"b")]
    assert visitor.body == b"hello"


async def test_a_body_longer_than_announced_raises() -> None:
    """A36: bytes beyond the content-length raise and never leave."""
    app = Recorder(start(200, (b"content-length", b"3")), body(b"12", more=True), body(b"345"))
    visitor = await Tunnelled(app).get()
    assert [type(one) for one in app.errors] == [RuntimeError]
    assert b"345" not in visitor.body
    assert visitor.reset is not None


async def test_a_body_shorter_than_announced_is_cut() -> None:
    """A36: a response that lacks bytes is reset, so that it cannot look complete."""
    app = Recorder(start(200, (b"content-length", b"3")), body(b"12"))
    visitor = await Tunnelled(app).get()
    assert [type(one) for one in app.errors] == [RuntimeError]
    assert not visitor.is_complete
    assert visitor.reset is not None


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", 200, b"5"), ("GET", 304, b"5"), ("GET", 204, None), ("HEAD", 204, None)],
)
async def test_answers_without_a_body(method: str, status: int, length: bytes | None) -> None:
    """A37: HEAD, 204 and 304 swallow body bytes; the length stays, but for 204."""
    app = Recorder(
        start(status, (b"content-length", b"5"), (b"transfer-encoding", b"chunked")),
        body(b"he", more=True),
        body(b"llo"),
    )
    visitor = await Tunnelled(app).ask(method).over()
    assert not app.errors
    assert (visitor.status, visitor.body, visitor.is_complete) == (status, b"", True)
    assert visitor.field(b"content-length") == ([] if length is None else [length])
    assert not visitor.field(b"transfer-encoding")


async def test_one_length_is_enough() -> None:
    """A36: an app that says its length twice, the same, has it sent once (RFC 9110, 8.6)."""
    twice = ((b"content-length", b"2"), (b"Content-Length", b"2"))
    visitor = await Tunnelled(Recorder(start(200, *twice), body(b"hi"))).ask().over()
    assert (visitor.status, visitor.body) == (200, b"hi")
    assert visitor.field(b"content-length") == [b"2"]


async def test_events_are_flushed_as_sent() -> None:
    """A38: each body event reaches the visitor while the app waits for the next one."""
    tick = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await tick.wait()
        for number in range(3):
            tick.clear()
            await send(body(b"data: %d\n\n" % number, more=True))
            await tick.wait()
        await send(body())

    visitor = Tunnelled(app).ask()
    await visitor.started()
    assert not visitor.pieces
    for number in range(3):
        tick.set()
        await until(lambda count=number: len(visitor.pieces) == count + 1)  # type: ignore[misc]
        assert visitor.pieces[-1] == b"data: %d\n\n" % number
    tick.set()
    await visitor.over()
    assert visitor.is_complete


class Pourer:
    """An app that sends 16 KiB pieces as fast as it may; the last one completes the response."""

    def __init__(self, count: int) -> None:
        self.count = count
        self.sent = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Pour."""
        await send(start())
        for number in range(self.count):
            await send(body(bytes(16384), more=number < self.count - 1))
            self.sent += 1


async def test_send_waits_for_a_slow_visitor() -> None:
    """A39: ``send()`` waits once the window is used up, and goes on when the visitor reads."""
    app = Pourer(100)
    visitor = Tunnelled(app).ask(reads=False)
    await rest(200)
    assert app.sent * 16384 <= INITIAL_STREAM_WINDOW + OUTBOX_HIGH
    assert app.sent
    visitor.read()
    await visitor.over()
    assert len(visitor.body) == 100 * 16384


@pytest.mark.parametrize("how", ["leave", "cut", "end"])
async def test_a_waiting_send_is_released(how: str) -> None:
    """A39: a waiting ``send()`` returns when the visitor leaves, the tunnel breaks or ends."""
    app = Pourer(100)
    tunnel = Tunnelled(app)
    visitor = tunnel.ask(reads=False)
    await rest(200)
    assert app.sent < 100
    {"leave": visitor.leave, "cut": tunnel.cut, "end": tunnel.end}[how]()
    await tunnel.returned()
    assert app.sent == 100


async def test_a_network_that_takes_nothing_holds_send_back() -> None:
    """A39: what an app sends while the network takes nothing is bounded."""
    app = Pourer(100)
    tunnel = Tunnelled(app)
    visitor = tunnel.ask()
    await visitor.started()
    tunnel.wires[1].let(write=False)
    await rest(200)
    sent = app.sent
    await rest(200)
    assert app.sent == sent < 100
    tunnel.wires[1].let(write=True)
    await visitor.over()


async def test_background_work_does_not_hold_the_answer() -> None:
    """A40: the response is complete for the visitor while the app's call goes on."""
    is_over = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"hello"))
        if scope["path"] == "/slow":
            await is_over.wait()

    tunnel = Tunnelled(app)
    assert (await tunnel.get("/slow")).is_complete
    assert tunnel.origin.in_flight == 1
    assert not tunnel.connector.in_flight
    assert (await tunnel.get("/next")).is_complete
    is_over.set()
    await tunnel.returned()


class Failing:
    """An app that sends, then raises.

    Args:
        error: What it raises.
        messages: What it sends before.
    """

    def __init__(self, error: BaseException, *messages: Message) -> None:
        self.error = error
        self.messages = messages

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send and raise; answer the path /next."""
        for message in self.messages if scope["path"] != "/next" else (start(), body(b"next")):
            await send(dict(message))
        if scope["path"] != "/next":
            raise self.error


async def test_an_error_before_the_start_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    """A41: the visitor gets a plain 500 without details, the log gets the traceback."""
    tunnel = Tunnelled(Failing(ValueError("secret detail")))
    visitor = await tunnel.get()
    await tunnel.returned()
    assert (visitor.status, visitor.body) == ERROR
    assert visitor.field(b"content-type") == [b"text/plain; charset=utf-8"]
    assert "secret detail" in caplog.text
    assert caplog.text.count("Traceback") == 1


async def test_a_head_request_gets_no_error_body() -> None:
    """A41: the 500 that answers HEAD has the length, not the body."""
    visitor = await Tunnelled(Failing(ValueError())).ask("HEAD").over()
    assert (visitor.status, visitor.body, visitor.is_complete) == (500, b"", True)


async def test_an_error_after_the_start_cuts_the_answer(caplog: pytest.LogCaptureFixture) -> None:
    """A41: a response that was begun is reset, never completed."""
    tunnel = Tunnelled(Failing(ValueError("late"), start(), body(b"half", more=True)))
    visitor = await tunnel.get()
    await tunnel.returned()
    assert visitor.reset is not None
    assert visitor.reset[0] == ResetCode.INTERNAL_ERROR
    assert not visitor.is_complete
    assert "late" in caplog.text


async def test_an_error_after_the_answer_is_only_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A41: an error of background work changes nothing for the visitor."""
    tunnel = Tunnelled(Failing(ValueError("background"), start(), body(b"hello")))
    visitor = await tunnel.get()
    await tunnel.returned()
    assert (visitor.body, visitor.is_complete, visitor.reset) == (b"hello", True, None)
    assert "background" in caplog.text


async def test_a_return_without_an_answer_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    """A42: an app that returns without a start is answered for, and the log says so."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        """Do nothing."""

    visitor = await Tunnelled(app).get()
    assert (visitor.status, visitor.body) == ERROR
    assert "without sending http.response.start" in caplog.text


@pytest.mark.parametrize("extra", [{}, {"trailers": True}])
async def test_a_return_without_the_end_cuts_the_answer(
    caplog: pytest.LogCaptureFixture, extra: dict[str, Any]
) -> None:
    """A42: a response without its last body event, or its trailers, is reset."""
    more = not extra
    visitor = await Tunnelled(Answer(start(**extra), body(b"half", more=more))).get()
    assert visitor.reset is not None
    assert "before its response was complete" in caplog.text


async def test_a_return_value_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    """A42: an app that returns something is told, and its response is sent."""

    async def app(scope: Any, receive: Any, send: Any) -> Any:
        await send(start())
        await send(body(b"hello"))
        return 7

    visitor = await Tunnelled(app).get()
    assert visitor.body == b"hello"
    assert "returned int instead of None" in caplog.text


@pytest.mark.parametrize("error", [SystemExit(3), KeyboardInterrupt(), asyncio.CancelledError()])
async def test_one_exchange_cannot_end_the_tunnel(
    caplog: pytest.LogCaptureFixture, error: BaseException
) -> None:
    """A43: SystemExit, KeyboardInterrupt and CancelledError end their exchange alone."""
    tunnel = Tunnelled(Failing(error))
    visitor = await tunnel.get()
    assert (visitor.status, visitor.body) == ERROR
    assert (await tunnel.get("/next")).body == b"next"
    assert f"the app raised {type(error).__name__}" in caplog.text


async def test_trailers_are_sent_when_announced() -> None:
    """A44: ``http.response.trailers`` ends a response whose start announced trailers."""
    trailers: Message = {
        "type": "http.response.trailers",
        "headers": [(b"Server-Timing", b"app;dur=3")],
    }
    app = Recorder(start(trailers=True), body(b"hello"), trailers)
    visitor = await Tunnelled(app).get()
    assert not app.errors
    assert visitor.body == b"hello"
    assert visitor.trailers == [(b"server-timing", b"app;dur=3")]


async def test_trailers_of_several_messages_are_sent_together() -> None:
    """A44: those of messages with ``more_trailers`` come before the last one's, in their order."""
    kind = "http.response.trailers"
    app = Recorder(
        start(trailers=True),
        body(b"hello"),
        {"type": kind, "headers": [(b"x-item", b"one")], "more_trailers": True},
        {"type": kind, "more_trailers": True},
        {"type": kind, "headers": [(b"x-item", b"two")]},
    )
    visitor = await Tunnelled(app).get()
    assert not app.errors
    assert visitor.trailers == [(b"x-item", b"one"), (b"x-item", b"two")]


async def test_trailers_of_several_messages_are_bounded() -> None:
    """A44: trailers without an end raise at the message that is more than one head holds."""
    many = [(b"x-item", b"one")] * 600
    message: Message = {"type": "http.response.trailers", "headers": many, "more_trailers": True}
    app = Recorder(start(trailers=True), body(b"hello"), message, message)
    tunnel = Tunnelled(app)
    await tunnel.get()
    await tunnel.returned()
    assert [type(one) for one in app.errors] == [HeadError]


async def test_trailers_need_an_announcement() -> None:
    """A44: trailers that the start did not announce raise."""
    app = Recorder(start(), body(b"hello"), {"type": "http.response.trailers", "headers": []})
    tunnel = Tunnelled(app)
    assert (await tunnel.get()).body == b"hello"
    await tunnel.returned()
    assert [type(one) for one in app.errors] == [RuntimeError]


async def test_early_hints_come_before_the_answer() -> None:
    """A44: ``http.response.early_hint`` is an interim 103 with its links."""
    hint: Message = {"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]}
    visitor = await Tunnelled(Answer(hint, hint, start(), body(b"hello"))).get()
    assert visitor.interim == [(103, [(b"link", b"</a.css>; rel=preload")])] * 2
    assert (visitor.status, visitor.body) == (200, b"hello")


async def test_only_what_works_is_offered() -> None:
    """A44: extensions that no part implements are not offered; Starlette would use pathsend."""
    app = Recorder()
    await Tunnelled(app).get()
    offered = app.scope["extensions"].keys()
    assert offered == {"http.response.trailers", "http.response.early_hint", "asgi_tunnel"}


async def test_one_failing_exchange_leaves_the_others(caplog: pytest.LogCaptureFixture) -> None:
    """A74: exchanges are not nested in a group: the failure of one cancels no other."""
    go = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await go.wait()
        if scope["path"] == "/bad":
            raise ExceptionGroup("bad", [ValueError()])
        await send(body(scope["path"].encode()))

    caplog.set_level(logging.CRITICAL)
    tunnel = Tunnelled(app)
    visitors = [tunnel.ask("GET", one) for one in ("/1", "/bad", "/2", "/bad", "/3")]
    await until(lambda: tunnel.origin.in_flight == 5)
    go.set()
    for visitor in visitors:
        await visitor.over()
    assert [one.body for one in visitors] == [b"/1", b"", b"/2", b"", b"/3"]
