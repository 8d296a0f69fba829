"""Requests that go from the stream to the connection: everything is as with a call of the app."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.asgi.memory import request_head
from tests.services.scripted import OK, Call, Script, Scripted, answering, scripted

from asgi_tunnel import Services
from asgi_tunnel.errors import StreamResetError
from asgi_tunnel.inspector.recorder import Recorder
from asgi_tunnel.inspector.settings import Inspect
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.head import INSPECT
from asgi_tunnel.request_log import RequestLog
from asgi_tunnel.testing import LocalEdge, Visitor

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"
EVENTS = CHUNKED[:-2] + b"content-type: text/event-stream\r\n\r\n"
WARM = "/warm"

Change = Callable[[Services], Any]


class Counted(Services):
    """Services that count their calls."""

    calls = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Count it, unless it is the lifespan's."""
        self.calls += scope["type"] != "lifespan"
        await super().__call__(scope, receive, send)


def by_calls(app: Services) -> Any:
    """The same app, which is always called."""

    async def call(scope: Any, receive: Any, send: Any) -> None:
        await app(scope, receive, send)

    return call


def warmed(script: Script) -> Script:
    """Answer the first request of a connection, then do as the script says."""

    async def run(call: Call) -> None:
        await call.head()
        await call.say(OK)
        await script(call)

    return run


@asynccontextmanager
async def warm(
    script: Script, change: Change = lambda app: app, **keys: Any
) -> AsyncIterator[tuple[LocalEdge, Scripted, Counted]]:
    """A service behind an edge in memory, with one connection that is ready."""
    async with scripted(warmed(script)) as service:
        app = Counted({"*": {"to": service.url, **keys}})
        async with LocalEdge(change(app), hostname="a.test") as edge:
            path = str(keys.get("path", "")) + WARM
            assert (await edge.get(path)).body == b"ok"
            app.calls = 0
            yield edge, service, app


RESPONSES = {
    "length": OK,
    "no body": b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n",
    "chunked": CHUNKED + b"3\r\nabc\r\n1\r\nd\r\n0\r\n\r\n",
    "to the end": b"HTTP/1.1 200 OK\r\n\r\nabc",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\ncontent-length: 2\r\n\r\nok",
    "204": b"HTTP/1.1 204 No Content\r\ncontent-length: 0\r\n\r\n",
    "304": b'HTTP/1.1 304 Not Modified\r\netag: "a"\r\ncontent-length: 7\r\n\r\n',
    "redirect": b"HTTP/1.1 302 x\r\ncontent-length: 0\r\nlocation: http://127.0.0.1/x\r\n\r\n",
    "fields": b"HTTP/1.1 200 OK\r\nset-cookie: a\r\nset-cookie: b\r\nconnection: x-a\r\nx-a: 1\r\n"
    b"keep-alive: 1\r\ncontent-length: 2\r\n\r\nok",
    "early hints": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 x\r\nlink: </a>\r\n\r\n" + OK,
    "trailers": CHUNKED[:-2] + b"trailer: x-t\r\n\r\n2\r\nab\r\n0\r\nx-t: 1\r\nhost: b\r\n\r\n",
    "trailers unannounced": CHUNKED + b"2\r\nab\r\n0\r\nx-t: 1\r\n\r\n",
    "large": b"HTTP/1.1 200 OK\r\ncontent-length: 300000\r\n\r\n" + b"x" * 300_000,
    "second response": OK + OK,
    "nonsense": b"nonsense\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "length and chunked": CHUNKED[:-2] + b"content-length: 2\r\n\r\nab",
    "101": b"HTTP/1.1 101 x\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nPRI",
    "large head": b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * 200 + b"content-length: 2\r\n\r\nok",
    "bad chunk": CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
    "cut head": b"HTTP/1.1 200",
    "cut body": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
    "cut chunk": CHUNKED + b"3\r\nabc\r\n",
    "nothing": b"",
}


async def visit(response: bytes, method: str, *, is_slow: bool, change: Change) -> Any:
    """Return all that a visitor sees, what the service was sent, and how often the app was called.

    The first word of the service's log, too: what it says of a response that is none.
    """

    async def script(call: Call) -> None:
        await call.head()
        if is_slow:
            for at in range(0, len(response), max(1, len(response) // 7)):
                await call.say(response[at : at + max(1, len(response) // 7)])
                await asyncio.sleep(0)
        else:
            await call.say(response)

    async with warm(script, change) as (edge, service, app):
        try:
            async with edge.stream(method, "/a?b", headers=[("x-a", "1")]) as found:
                body = await found.read()
                seen: Any = (found.status, list(found.headers), body, found.interim, found.trailers)
        except StreamResetError as error:
            seen = error.code
        return seen, service.heads[1], app.calls


@pytest.mark.parametrize("method", ["GET", "HEAD"])
@pytest.mark.parametrize("is_slow", [False, True], ids=["whole", "in pieces"])
@pytest.mark.parametrize("response", RESPONSES.values(), ids=RESPONSES)
async def test_it_is_as_with_a_call(response: bytes, method: str, is_slow: bool) -> None:
    """Every response, good and bad: the visitor sees the same, and so does the service."""
    direct, head, calls = await visit(response, method, is_slow=is_slow, change=lambda app: app)
    called, called_head, _ = await visit(response, method, is_slow=is_slow, change=by_calls)
    if isinstance(direct, tuple) and isinstance(called, tuple):
        assert direct == called
        assert head.split(b"x-request-id")[0] == called_head.split(b"x-request-id")[0]
        assert head.count(b"\r\n") == called_head.count(b"\r\n")
    else:
        # A cut, or a 502 where the end had come before the head was passed on.
        seen = {one[0] if isinstance(one, tuple) else one for one in (direct, called)}
        assert seen <= {502, ResetCode.INTERNAL_ERROR}
    # Only where the connection was closed without a byte is the request sent by a call.
    assert calls == (0 if response else 1)


@pytest.mark.parametrize("response", [OK, b""], ids=["direct", "the connection was closed"])
async def test_who_the_visitor_is_goes_to_no_service(response: bytes) -> None:
    """A service has no scope: it gets no line of it, and the request is as quick as any other."""

    async def script(call: Call) -> None:
        await call.head()
        await call.say(response)

    async with warm(script) as (edge, service, app):
        anna = Visitor(subject="user:anna", groups=("family",))
        assert (await edge.get("/a", visitor=anna)).body == b"ok"
        assert app.calls == (0 if response else 1)
        assert not [head for head in service.heads if b"anna" in head or b"\r\n:" in head]


@pytest.mark.parametrize(
    ("keys", "sent"),
    [
        ({}, b"GET /api/x?y HTTP/1.1"),
        ({"strip": True}, b"GET /x?y HTTP/1.1"),
        ({"replace": "/v2"}, b"GET /v2/x?y HTTP/1.1"),
        ({"replace": "/"}, b"GET /x?y HTTP/1.1"),
    ],
)
async def test_paths_are_rewritten(keys: dict[str, Any], sent: bytes) -> None:
    """As with a call, and a redirect is mapped back."""
    moved = b"HTTP/1.1 302 x\r\ncontent-length: 0\r\nlocation: /z\r\n\r\n"
    seen = []
    for change in (lambda app: app, by_calls):
        async with warm(answering(moved), change, path="/api", **keys) as (edge, service, app):
            found = await edge.get("/api/x?y")
            seen.append((app.calls, found.status, found.headers.get("location")))
        assert service.heads[1].startswith(sent + b"\r\n")
    assert [one[0] for one in seen] == [0, 1]
    assert seen[0][1:] == seen[1][1:]


@pytest.mark.parametrize(
    ("method", "path", "headers", "body", "status"),
    [
        ("POST", "/", [], b"x", 200),
        ("DELETE", "/", [], b"", 200),
        ("GET", "/", [], b"x", 200),
        ("GET", "/", [("content-length", "0")], b"", 200),
        ("GET", "/", [("destination", "http://elsewhere.test/")], b"", 502),
        ("GET", "/..;/x", [], b"", 400),
        ("GET", "/other", [], b"", 404),
        ("GET", "/api", [("host", "a.test"), ("host", "b.test")], b"", 400),
    ],
)
async def test_all_else_is_a_call(
    method: str, path: str, headers: list[tuple[str, str]], body: bytes, status: int
) -> None:
    """Bodies, other methods, and what the table refuses."""
    path = path if path == "/other" else "/api" + path
    async with warm(answering(OK), path="/api") as (edge, _, app):
        assert (await edge.request(method, path, headers=headers, body=body)).status == status
        assert app.calls == 1


async def test_a_connection_that_was_closed_is_replaced(caplog: pytest.LogCaptureFixture) -> None:
    """The request is sent once more by a call; the log has one line of it."""
    caplog.set_level(logging.INFO, "asgi_tunnel.requests")

    async def script(call: Call) -> None:
        await call.head()

    async with warm(script, RequestLog) as (edge, service, app):
        caplog.clear()
        assert (await edge.get("/x")).body == b"ok"
        assert app.calls == 1
        assert service.connections == 2
    assert [one.getMessage()[:10] for one in caplog.records] == ["GET /x 200"]


async def test_the_request_log_has_each(caplog: pytest.LogCaptureFixture) -> None:
    """Served, refused, and cut; without a query."""
    caplog.set_level(logging.INFO, "asgi_tunnel.requests")
    responses = iter([OK, b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc"])

    async def script(call: Call) -> None:
        for response in responses:
            await call.head()
            await call.say(response)
        await late.wait()

    late = asyncio.Event()
    async with warm(script, RequestLog) as (edge, _, app):
        caplog.clear()
        assert (await edge.get("/x?secret")).status == 200
        async with edge.stream("GET", "/y") as found:
            late.set()
            with pytest.raises(StreamResetError):
                await found.read()
        assert app.calls == 0
    lines = [one.getMessage() for one in caplog.records if one.name == "asgi_tunnel.requests"]
    assert lines[0].startswith("GET /x 200 ")
    assert lines[0].endswith(" ms")
    assert lines[1].startswith("GET /y 200 ")
    assert lines[1].endswith(" ms, not complete")


async def test_timeouts_are_the_service_s_own() -> None:
    """504 without a head in time; a cut when the body stops."""

    async def script(call: Call) -> None:
        head = await call.head()
        if b"/body" in head:
            await call.say(CHUNKED + b"1\r\na\r\n")
        await call.reader.read()

    async with warm(script, response_timeout=0.2, idle_timeout=0.1) as (edge, service, app):
        found = await edge.get("/never")
        assert found.status == 504
        assert found.text == "504 Gateway Timeout: this service did not answer in time\n"
        await service.closed.wait()
        assert app.calls == 0
        await edge.get(WARM)
        with pytest.raises(StreamResetError):
            await edge.get("/body")
        assert app.calls == 1


async def test_a_visitor_who_leaves_closes_the_connection() -> None:
    """Before the head, and in the middle of a stream."""

    async def script(call: Call) -> None:
        head = await call.head()
        if b"/events" in head:
            await call.say(EVENTS + b"1\r\na\r\n")
        asked.set()
        await call.reader.read()

    for path in ("/", "/events"):
        asked = asyncio.Event()
        async with warm(script) as (edge, service, app):
            async with edge.stream("GET", path) if path == "/events" else nobody(edge) as found:
                await asked.wait()
                if found is not None:
                    assert await anext(found) == b"a"
            async with asyncio.timeout(10):
                await service.closed.wait()
            assert app.calls == 0


@asynccontextmanager
async def nobody(edge: LocalEdge) -> AsyncIterator[None]:
    """A visitor who does not wait for the response."""
    visitor = asyncio.ensure_future(edge.get("/"))
    try:
        yield
    finally:
        visitor.cancel()


async def test_a_slow_visitor_holds_the_service_back() -> None:
    """What the visitor does not read is not read from the service; then all of it comes."""
    size, piece = 16 << 20, b"x" * 65536
    sent = 0

    async def script(call: Call) -> None:
        nonlocal sent
        await call.head()
        await call.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            await call.say(piece)
            sent += len(piece)

    async with warm(script) as (edge, _, app), edge.stream("GET", "/") as response:
        before = -1
        while before != sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.05)
        assert 0 < sent < size
        assert len(await response.read()) == size
        assert app.calls == 0


@pytest.mark.parametrize("path", ["/events", "/slow"])
async def test_the_end_of_the_app(path: str) -> None:
    """An event stream is ended; what else is in progress is waited for, and then cut."""

    async def script(call: Call) -> None:
        await call.head()
        await call.say((EVENTS if path == "/events" else CHUNKED) + b"1\r\na\r\n")
        await call.reader.read()

    async with warm(script) as (edge, service, app), edge.stream("GET", path) as found:
        origin = edge._origin
        assert origin is not None
        assert origin.in_flight == 1
        if path == "/events":
            assert await anext(found) == b"a"
            origin.end_event_streams()
            assert await found.read() == b""
        else:
            await origin.finish(0.05)
            with pytest.raises(StreamResetError):
                await found.read()
        assert origin.in_flight == 0
        async with asyncio.timeout(10):
            await service.closed.wait()
        assert app.calls == 0


async def test_what_never_began_is_refused_at_the_end() -> None:
    """503, as from an app that is away."""

    async def script(call: Call) -> None:
        await call.head()
        asked.set()
        await call.reader.read()

    asked = asyncio.Event()
    async with warm(script) as (edge, _, _), asyncio.TaskGroup() as visitors:
        visitor = visitors.create_task(edge.get("/"))
        await asked.wait()
        assert edge._origin is not None
        await edge._origin.finish(0)
        found = await visitor
        assert (found.status, found.headers.get("retry-after")) == (503, "5")


async def test_a_table_that_changes_lets_it_finish() -> None:
    """A service that left the table keeps the exchange, and ends after it."""

    async def script(call: Call) -> None:
        await call.head()
        await call.say(CHUNKED + b"1\r\na\r\n")
        await late.wait()
        await call.say(b"1\r\nb\r\n0\r\n\r\n")

    late = asyncio.Event()
    async with warm(script) as (edge, _, app), edge.stream("GET", "/") as found:
        assert await anext(found) == b"a"
        await app.replace({"*": {"status": 404}})
        assert (await edge.get("/")).status == 404
        late.set()
        assert await found.read() == b"b"


async def twice(call: Call) -> None:
    """Reply to two requests."""
    for _ in range(2):
        await call.head()
        await call.say(OK)


async def test_an_inspector_sees_what_would_go_directly() -> None:
    """While something is recorded the app is called; while it is switched off it is not."""
    async with warm(twice) as (edge, _, app):
        recorder = edge._origin.recorder = Recorder(Inspect())
        assert (await edge.get("/a")).body == b"ok"
        assert app.calls == 1
        (one,) = recorder.newest(10)
        assert one.summary("x")["path"] == "/a"
        recorder.level = "off"
        assert (await edge.get("/b")).body == b"ok"
        assert app.calls == 1


async def test_a_request_for_an_inspector_is_never_a_services() -> None:
    """T144: without one it is reset, and the connection that is ready is not used for it."""

    class Link:
        """Notes the reset."""

        reset: Any = None

        def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
            self.reset = code

    async with warm(answering(OK)) as (edge, service, app):
        link: Any = Link()
        head = request_head("GET", "/state", (INSPECT, b'{"by":"anna","may_write":true}'))
        head.fields[0] = (b"host", b"a.test")
        edge._origin.serve(link, StreamOpened(7, StreamKind.HTTP, head, b"", True))
        assert link.reset == ResetCode.REFUSED
        assert app.calls == 0
        assert len(service.heads) == 1  # the one that has warmed it
