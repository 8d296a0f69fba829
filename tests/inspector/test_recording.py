from __future__ import annotations

import asyncio
import logging
from typing import Any

import pytest
from tests.asgi.memory import ACCEPT, CLOSE, body, start, text, until
from tests.inspector.world import Inspected

from asgi_tunnel.inspector.redaction import Scrubber
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.protocol.head import VISITOR


async def hello(scope: Any, receive: Any, send: Any) -> None:
    """Reply with hello."""
    await send(start(200, (b"content-type", b"text/plain"), (b"x-kind", b"greeting")))
    await send(body(b"hello"))


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Reply with the request's body, piece by piece."""
    await send(start(201, (b"content-type", b"text/plain"), trailers=True))
    more = True
    while more:
        message = await receive()
        more = message["more_body"]
        await send(body(message["body"], more=more))
    await send({"type": "http.response.trailers", "headers": [(b"x-sum", b"1")]})


async def test_level_metadata_keeps_no_content() -> None:
    """Numbers, path and names of the query; no fields, bodies or values."""
    tunnel = Inspected(hello, Inspect())
    await tunnel.ask("POST", "/a?b=SECRET&c", (b"x-a", b"SECRET"), body=b"SECRET").over()
    found = await tunnel.newest()
    assert "SECRET" not in str(found)
    assert (found["path"], found["level"]) == ("/a?b=…&…", "metadata")
    assert (found["received"], found["sent"], found["status"]) == (6, 5, 200)
    assert found["request"] == {"fields": [], "body": None}
    assert found["response"] == {"fields": [], "body": None}
    assert found["first_byte"] <= found["seconds"]


async def test_level_full_keeps_heads_and_bodies() -> None:
    """Fields, both bodies and trailers, as they passed."""
    tunnel = Inspected(echo)
    visitor = tunnel.ask("POST", "/a?b=1", (b"content-type", b"text/plain"), body=None)
    visitor.send(b"one ")
    visitor.send(b"two", end=True)
    await visitor.over()
    found = await tunnel.newest()
    assert found["request"]["body"]["text"] == found["response"]["body"]["text"] == "one two"
    assert found["trailers"] == [["x-sum", "1"]]
    assert ["content-type", "text/plain"] in found["request"]["fields"]
    assert (found["scheme"], found["http_version"], found["method"]) == ("https", "1.1", "POST")


async def test_a_body_is_kept_up_to_the_limit() -> None:
    """Of a long body the beginning is kept, and its size is all of it."""

    async def long(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-type", b"text/plain")))
        for _ in range(10):
            await send(body(1000 * b"x", more=True))
        await send(body())

    tunnel = Inspected(long, Inspect(level="full", max_body=1500))
    await tunnel.get()
    kept = (await tunnel.newest())["response"]["body"]
    assert (kept["size"], kept["kept"], len(kept["text"])) == (10_000, 1500, 1500)


async def test_who_the_visitor_is() -> None:
    """The name that the edge says; the subject where it says none."""
    tunnel = Inspected(hello)
    line = b'{"subject":"user:anna","name":"Anna"}'
    await tunnel.ask("GET", "/", (VISITOR, line)).over()
    assert (await tunnel.newest())["visitor"] == "Anna"
    await tunnel.ask("GET", "/", (VISITOR, b'{"subject":"user:b"}')).over()
    found = await tunnel.newest()
    assert found["visitor"] == "user:b"
    assert "user:b" not in str(found["request"])


async def test_an_exchange_in_progress_is_open() -> None:
    """It is there from its begin, without an end and without its bodies, which may hold secrets."""
    go_on = asyncio.Event()

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-type", b"text/plain")))
        await send(body(b"first ", more=True))
        await go_on.wait()
        await send(body(b"last"))

    tunnel = Inspected(slow)
    visitor = await tunnel.ask().started()
    found = await tunnel.newest()
    assert (found["state"], found["status"], found["seconds"]) == ("open", 200, None)
    assert (found["sent"], found["response"]["body"]["text"]) == (6, "")
    go_on.set()
    await visitor.over()
    found = await tunnel.newest()
    assert (found["state"], found["response"]["body"]["text"]) == ("done", "first last")


async def test_a_visitor_who_leaves_cuts() -> None:
    """The exchange is cut, without an error of the app's, although its send raised."""

    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await send(start())
        await send(body(b"first", more=True))
        while (await receive())["type"] != "http.disconnect":
            pass
        await send(body(b"last"))

    tunnel = Inspected(slow, spec_version="2.4")
    visitor = await tunnel.ask().started()
    visitor.leave()
    await tunnel.returned()
    found = await tunnel.newest()
    assert (found["state"], found["error"], found["traceback"]) == ("cut", None, None)
    assert found["seconds"] > 0


@pytest.mark.parametrize(("begins", "state", "status"), [(False, "done", 500), (True, "cut", 200)])
async def test_an_app_that_raises(begins: bool, state: str, status: int) -> None:
    """The error's line and the traceback are kept, and the response that the visitor got."""

    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        if begins:
            await send(start())
            await send(body(b"some", more=True))
        raise ValueError("no such photo")

    tunnel = Inspected(wrong)
    await tunnel.get()
    found = await tunnel.newest()
    assert (found["state"], found["status"]) == (state, status)
    assert found["error"] == "ValueError: no such photo"
    assert "in wrong" in found["traceback"]
    assert found["traceback"].endswith("ValueError: no such photo\n")


async def test_an_app_that_raises_at_level_metadata() -> None:
    """The error's type alone: its text may hold what a visitor has sent."""

    async def wrong(scope: Any, receive: Any, send: Any) -> None:
        raise KeyError(scope["query_string"])

    tunnel = Inspected(wrong, Inspect())
    await tunnel.get("/?a=SECRET")
    found = await tunnel.newest()
    assert (found["error"], found["traceback"]) == ("KeyError", None)
    assert "SECRET" not in str(found)


async def test_an_app_that_returns_too_early() -> None:
    """What it left out is said."""

    async def silent(scope: Any, receive: Any, send: Any) -> None:
        if scope["path"] == "/body":
            await send(start())

    tunnel = Inspected(silent)
    await tunnel.get("/")
    found = await tunnel.newest()
    assert (found["status"], found["error"]) == (500, "the app returned without a response")
    await tunnel.get("/body")
    found = await tunnel.newest()
    assert found["state"] == "cut"
    assert found["error"] == "the app returned before its response was complete"


async def test_a_traceback_is_bounded() -> None:
    """A recursion without an end, with a message of a megabyte, has its end kept."""

    async def deep(scope: Any, receive: Any, send: Any) -> None:
        def step(number: int) -> None:
            if not number:
                raise ValueError("x" * 1_000_000)
            step(number - 1)

        step(500)

    tunnel = Inspected(deep)
    await tunnel.get()
    found = await tunnel.newest()
    assert len(found["error"]) <= 500
    assert len(found["traceback"]) <= 32 * 1024


async def test_an_event_stream() -> None:
    """Each event is a message with its time; the body itself is not kept twice."""

    async def stream(scope: Any, receive: Any, send: Any) -> None:
        await send(start(200, (b"content-type", b"text/event-stream; charset=utf-8")))
        for piece in (b"data: a\n\nda", b'ta: {"token": "SECRET"}\n', b"\ndata: c"):
            await send(body(piece, more=True))
        await send(body(b"\n\n"))

    tunnel = Inspected(stream)
    await tunnel.get()
    found = await tunnel.newest()
    events = found["exchange_messages"]
    assert [one["text"] for one in events] == [
        "data: a",
        'data: {"token": "[redacted]"}',
        "data: c",
    ]
    assert all(one["from"] == "app" and one["type"] == "event" for one in events)
    assert [one["at"] for one in events] == sorted(one["at"] for one in events)
    assert (found["messages"], found["response"]["body"]["text"]) == (3, "")
    assert found["response"]["body"]["size"] == found["sent"]


async def chat(scope: Any, receive: Any, send: Any) -> None:
    """Echo messages until the visitor leaves, or says bye."""
    await receive()
    if scope["path"] == "/closed":
        await send(CLOSE)
        return
    await send(ACCEPT)
    while (message := await receive())["type"] == "websocket.receive":
        if message.get("text") == "raise":
            raise ValueError("no")
        if message.get("text") == "bye":
            await send(CLOSE)
            return
        await send({**message, "type": "websocket.send"})


async def test_a_websocket() -> None:
    """Each message in both directions, with its time, its kind and its size."""
    tunnel = Inspected(chat)
    visitor = await tunnel.connect("/chat?token=SECRET").started()
    visitor.say('{"password": "SECRET", "a": 1}')
    visitor.say(b"\xff\x00")
    await until(lambda: len(visitor.messages) == 2, "no echo")
    found = await tunnel.newest()
    assert (found["kind"], found["state"], found["status"]) == ("websocket", "open", 101)
    visitor.say("bye")
    await visitor.over()
    found = await tunnel.newest()
    assert [(one["from"], one["type"], one["size"]) for one in found["exchange_messages"]] == [
        ("visitor", "text", 30),
        ("visitor", "bytes", 2),
        ("app", "text", 30),
        ("app", "bytes", 2),
        ("visitor", "text", 3),
    ]
    assert "SECRET" not in str(found)
    assert (found["state"], found["messages"], found["sent"], found["received"]) == (
        "done",
        5,
        32,
        35,
    )


@pytest.mark.parametrize(
    ("ends", "state", "error"),
    [("close", "done", None), ("leave", "cut", None), ("raise", "done", "ValueError: no")],
)
async def test_how_a_websocket_ends(ends: str, state: str, error: str | None) -> None:
    """Closed by either side it is done; when the visitor is lost it is cut."""
    tunnel = Inspected(chat)
    visitor = await tunnel.connect().started()
    if ends == "close":
        visitor.close(1000)
    elif ends == "leave":
        visitor.leave()
    else:
        visitor.say("raise")
    await tunnel.returned()
    found = await tunnel.newest()
    assert (found["state"], found["error"]) == (state, error)


async def test_a_websocket_that_is_refused() -> None:
    """Its status is that of the refusal."""
    tunnel = Inspected(chat)
    await tunnel.connect("/closed").over()
    found = await tunnel.newest()
    assert (found["status"], found["state"], found["kind"]) == (403, "done", "websocket")


async def test_messages_are_bounded() -> None:
    """Of a WebSocket that never ends the newest messages are kept."""
    tunnel = Inspected(chat, Inspect(level="full", max_body=1000))
    visitor = await tunnel.connect().started()
    for number in range(3000):
        visitor.say(f"{number:04}")
        if not number % 100:
            await until(lambda: len(visitor.messages) > number - 100, "no echo")  # noqa: B023
    visitor.say(5000 * "x")
    await until(lambda: len(visitor.messages) == 3001, "no echo")
    found = await tunnel.newest()
    kept = found["exchange_messages"]
    assert found["messages"] == 6002
    assert (kept[-1]["size"], kept[-1]["kept"], len(kept[-1]["text"])) == (5000, 1000, 1000)
    assert kept[-3]["text"] == "2998"
    assert len(kept) <= 1000
    assert (await tunnel.look("/state"))["bytes"] < 30_000


async def test_a_service_is_recorded() -> None:
    """What a local server replies is recorded like an app's response: no request goes by."""
    from asgi_tunnel.services.app import Services

    tunnel = Inspected(Services({"*": {"status": 410}}))
    assert (await tunnel.get("/gone")).status == 410
    assert (await tunnel.newest())["status"] == 410


async def test_off_records_nothing() -> None:
    """Exchanges pass, nothing is kept, and it may be switched on again."""
    tunnel = Inspected(hello)
    tunnel.recorder.level = "off"
    await tunnel.get()
    tunnel.recorder.level = "full"
    await tunnel.get("/two")
    found = (await tunnel.look("/exchanges"))["exchanges"]
    assert [one["path"] for one in found] == ["/two"]


async def test_what_is_end_to_end_is_not_for_the_edge() -> None:
    """It is kept with a flag, and over the tunnel neither listed nor found by its id."""
    tunnel = Inspected(hello)
    tunnel.connector.on_stream = tunnel.origin.serve_end_to_end
    await tunnel.get("/private")
    asked = await tunnel.question("GET", "/state").over()
    assert asked.reset is not None  # the inspector is not there for what comes that way
    tunnel.connector.on_stream = tunnel.origin.serve
    (one,) = tunnel.recorder.newest(10)
    summary = tunnel.recorder.summary(one)
    assert (summary["path"], summary["end_to_end"]) == ("/private", True)
    assert (await tunnel.look("/exchanges"))["exchanges"] == []
    assert (await tunnel.put("GET", f"/exchanges/{summary['id']}")).status == 404


async def test_a_secret_is_in_no_record_and_no_log(caplog: pytest.LogCaptureFixture) -> None:
    """T143: wherever a request or a response has a secret, no record and no line of the log has."""
    marker = "MARKER-0c2f"
    caplog.set_level(logging.DEBUG)

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({**ACCEPT, "headers": [(b"set-cookie", f"a={marker}".encode())]})
            await receive()
            await send(text(f'[{{"api_key": "{marker}"}}]'))
            await send({"type": "websocket.send", "bytes": f"token={marker}".encode()})
            await send(text(f"https://u:{marker}@example.test/?code={marker}"))
            raise RuntimeError(f"state={marker}")
        message = await receive()
        await send(
            start(
                200,
                (b"content-type", b"application/json"),
                (b"set-cookie", f"session={marker}; HttpOnly".encode()),
                (b"location", f"https://x.test/cb?code={marker}&state={marker}".encode()),
                (b"x-auth-token", marker.encode()),
                (b"link", f"<https://u:{marker}@x.test/>; rel=next".encode()),
                trailers=True,
            )
        )
        await send(body(b'{"a": [{"access_token": "' + marker[:5].encode(), more=True))
        await send(body(marker[5:].encode() + b'"}], "echo": "' + marker.encode() + b'"}'))
        await send({"type": "http.response.trailers", "headers": [(b"x-secret", marker.encode())]})
        raise ValueError(f"cannot log in with {message['body']!r}")

    tunnel = Inspected(app)
    fields = [
        (b"authorization", f"Bearer {marker}".encode()),
        (b"proxy-authorization", f"Basic {marker}".encode()),
        (b"cookie", f"a=1; session={marker}".encode()),
        (b"x-api-key", marker.encode()),
        (b"asgi-tunnel-token-secret", marker.encode()),
        (b"referer", f"https://x.test/?token={marker}".encode()),
        (b"origin", f"https://u:{marker}@x.test".encode()),
    ]
    target = f"/a?password={marker}&next=%2Fb%3Ftoken%3D{marker}&access_token={marker}"
    bodies = {
        b"application/json": f'{{"user": {{"password": "{marker}"}}, "code": "{marker}"}}',
        b"application/x-www-form-urlencoded": f"user=anna&user%5Bpassword%5D={marker}",
        b"multipart/form-data; boundary=b": (
            f'--b\r\nContent-Disposition: form-data; name="api_key"\r\n\r\n{marker}\r\n--b--\r\n'
        ),
    }
    for kind, sent in bodies.items():
        content_type = (b"content-type", kind)
        await tunnel.ask("POST", target, content_type, *fields, body=sent.encode()).over()
    visitor = await tunnel.connect(target, *fields).started()
    visitor.say(f'{{"token": "{marker}"}}')
    await tunnel.returned()
    records = [
        tunnel.recorder.detail(tunnel.recorder.id_of(one.seq))
        for one in tunnel.recorder.newest(100)
    ]
    assert len(records) == 4
    assert all(one is not None and one["traceback"] for one in records)
    assert marker not in repr(records)
    for one in tunnel.recorder.newest(100):
        assert marker not in repr(_held_by(one))
    ours = [one for one in caplog.records if one.name.startswith("asgi_tunnel.inspector")]
    assert marker not in repr([one.getMessage() for one in ours])


def _held_by(one: object, depth: int = 0) -> object:
    """What an object and those it has hold in their slots, a white-box look for what is left."""
    names = [name for kind in type(one).__mro__ for name in getattr(kind, "__slots__", ())]
    if depth > 3 or not names or type(one).__name__ in ("Ring", "Journal"):
        return one
    return {name: _held_by(getattr(one, name, None), depth + 1) for name in names}


@pytest.mark.parametrize("part", ["fields", "text", "target"])
async def test_a_defect_of_the_recorder_ends_no_exchange(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, part: str
) -> None:
    """The visitor gets the response, the numbers are kept, and the log has a line."""

    def broken(*_: object) -> None:
        raise LookupError("SECRET")

    monkeypatch.setattr(Scrubber, part, broken)
    tunnel = Inspected(echo)
    content_type = (b"content-type", b"text/plain")
    visitor = await tunnel.ask("POST", "/a?b=SECRET", content_type, body=b"SECRET").over()
    assert (visitor.status, visitor.body) == (201, b"SECRET")
    (one,) = (await tunnel.look("/exchanges"))["exchanges"]
    assert (one["status"], one["state"], one["received"]) == (201, "done", 6)
    assert "without its content: LookupError" in caplog.text
    assert "SECRET" not in caplog.text


async def test_a_secret_of_a_field_is_one_in_the_path() -> None:
    """What a cookie shows as a secret is taken out of the path, too."""
    tunnel = Inspected(hello)
    await tunnel.ask("GET", "/of/MARKER-0001", (b"cookie", b"a=MARKER-0001")).over()
    assert (await tunnel.newest())["path"] == "/of/[redacted]"


async def test_long_names_cost_what_they_hold() -> None:
    """Methods, hostnames and visitors' names are bounded, or counted."""
    tunnel = Inspected(hello, Inspect())
    line = b'{"subject":"%b"}' % (5000 * b"n")
    hostname = b".".join([60 * b"h"] * 4)
    await tunnel.ask(30_000 * "M", "/", (VISITOR, line), hostname=hostname).over()
    (one,) = tunnel.recorder.newest(10)
    summary = tunnel.recorder.summary(one)
    assert (len(summary["visitor"]), len(summary["method"])) == (100, 100)
    assert tunnel.recorder.ring.held > 800 + 200 + len(hostname)
