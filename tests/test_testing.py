from __future__ import annotations

import asyncio
import hashlib
import random
import re
import subprocess
import sys
import tracemalloc
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from fastapi import FastAPI, Request, WebSocket, WebSocketDisconnect
from fastapi.responses import JSONResponse, PlainTextResponse, StreamingResponse

from asgi_tunnel import StreamResetError, visitor
from asgi_tunnel.asgi.lifespan import LifespanError
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.testing import (
    LocalEdge,
    ServeLocally,
    Timing,
    Visitor,
    WebSocketClosedError,
    WebSocketDeniedError,
    local_edge,
)

__all__ = ["local_edge"]

MEGABYTE = 1_000_000
SIZE = 20 * MEGABYTE
QUICK = Timing(heartbeat_interval=0.02, heartbeat_timeout=0.06)
PAGE = Path(__file__).parent.parent / "docs/howto/testing.md"


def content(size: int, seed: int = 1) -> bytes:
    """Bytes without a pattern: one that is lost, doubled or moved changes the digest."""
    return random.Random(seed).randbytes(size)


async def pieces(data: bytes, size: int = 50_000) -> AsyncIterator[bytes]:
    """Cut data into pieces, as a browser sends a file."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


async def until(condition: Callable[[], object]) -> None:
    """Return when ``condition()`` is true."""
    with anyio.fail_after(10):
        while not condition():  # noqa: ASYNC110 - the condition tells nobody
            await anyio.sleep(0.001)


async def rest() -> None:
    """Let everything that can happen now happen."""
    for _ in range(1000):
        await asyncio.sleep(0)


def shop(log: list[str] | None = None) -> FastAPI:
    """An app with a bit of everything; ``log`` gets what happens in it."""
    return make_shop([] if log is None else log)


def make_shop(log: list[str]) -> FastAPI:  # noqa: C901 - nothing but small endpoints
    """Build the app of :func:`shop`."""

    class Logged(StreamingResponse):
        async def __call__(self, *given: Any) -> None:
            try:
                await super().__call__(*given)
            finally:
                log.append("events over")

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[dict[str, str]]:
        log.append("startup")
        yield {"name": f"shop {log.count('startup')}"}
        log.append("shutdown")

    app = FastAPI(lifespan=lifespan)

    @app.get("/hello")
    async def hello(request: Request, name: str = "nobody") -> dict[str, Any]:
        return {
            "hello": name,
            "url": str(request.url),
            "agent": request.headers.get("user-agent"),
            "shop": getattr(request.state, "name", None),
        }

    @app.get("/words/{word}")
    async def words(word: str) -> PlainTextResponse:
        return PlainTextResponse(word)

    @app.get("/cookies")
    async def cookies() -> PlainTextResponse:
        response = PlainTextResponse("")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    @app.get("/download")
    async def download(size: int) -> StreamingResponse:
        return StreamingResponse(pieces(content(size)), media_type="application/octet-stream")

    @app.post("/upload")
    async def upload(request: Request) -> dict[str, Any]:
        digest, size = hashlib.sha256(), 0
        async for piece in request.stream():
            digest.update(piece)
            size += len(piece)
        log.append("uploaded")
        return {"sha256": digest.hexdigest(), "size": size}

    @app.get("/events")
    async def events(last: int = 1_000_000) -> StreamingResponse:
        async def numbers() -> AsyncIterator[str]:
            for number in range(last):
                yield f"id: {number}\ndata: event {number}\n\n"
                await asyncio.sleep(0)

        return Logged(numbers(), media_type="text/event-stream")

    @app.get("/slow")
    async def slow() -> str:
        log.append("slow")
        await asyncio.sleep(0.05)
        return "done"

    @app.get("/broken")
    async def broken() -> str:
        raise ValueError("no luck")

    @app.websocket("/echo")
    async def echo(socket: WebSocket) -> None:
        await socket.accept(subprotocol=next(iter(socket.scope["subprotocols"]), None))
        try:
            while True:
                message = await socket.receive()
                if message["type"] == "websocket.disconnect":
                    raise WebSocketDisconnect(message["code"], message.get("reason"))
                if message.get("text") == "bye":
                    await socket.close(4000, "as you wish")
                    return
                await socket.send({**message, "type": "websocket.send"})
        except WebSocketDisconnect as gone:
            log.append(f"closed {gone.code} {gone.reason}")

    @app.websocket("/private")
    async def private(socket: WebSocket) -> None:
        await socket.send_denial_response(JSONResponse({"why": "members only"}, 402))

    return app


# -- visitors --------------------------------------------------------------------------------------


async def test_a_get_reaches_the_app_with_its_query_and_headers() -> None:
    """GET arrives with query, host, scheme, headers and the lifespan's state."""
    async with LocalEdge(shop(), hostname="shop.test") as edge:
        response = await edge.get("/hello?name=Ada", headers={"User-Agent": "browser"})
    assert response.status == 200
    assert response.headers.get("Content-Type") == "application/json"
    assert response.json() == {
        "hello": "Ada",
        "url": "https://shop.test/hello?name=Ada",
        "agent": "browser",
        "shop": "shop 1",
    }


async def test_headers_keep_their_order_and_duplicates() -> None:
    """Two Set-Cookie fields stay two."""
    async with LocalEdge(shop()) as edge:
        response = await edge.get("/cookies")
    assert [one.split(";")[0] for one in response.headers.get_all("set-cookie")] == ["a=1", "b=2"]
    assert response.headers.get("x-none") is None


async def test_a_path_with_other_letters_is_encoded() -> None:
    """Blanks and letters beyond ASCII may stand in a path."""
    async with LocalEdge(shop()) as edge:
        assert (await edge.get("/words/grün grün")).text == "grün grün"


@pytest.mark.parametrize("size", [0, 10, 300_000])
async def test_a_body_may_be_bytes_or_an_iterator(size: int) -> None:
    """Bodies of any size arrive whole, announced by length or not."""
    data = content(size)
    expected = {"sha256": hashlib.sha256(data).hexdigest(), "size": size}
    async with LocalEdge(shop()) as edge:
        assert (await edge.post("/upload", data)).json() == expected
        assert (await edge.request("POST", "/upload", body=pieces(data))).json() == expected


async def test_what_the_app_raises_is_a_500(caplog: pytest.LogCaptureFixture) -> None:
    """An error of the app is logged and answered, as in production."""
    async with LocalEdge(shop()) as edge:
        assert (await edge.get("/broken")).status == 500
    assert "no luck" in caplog.text


async def test_an_error_of_the_bodys_iterator_reaches_the_caller() -> None:
    """A body that cannot be read on ends the request with its error."""

    async def broken() -> AsyncIterator[bytes]:
        yield b"one"
        raise ValueError("the disk is gone")

    async with LocalEdge(shop()) as edge:
        with pytest.raises(ValueError, match="the disk is gone"):
            await edge.post("/upload", broken())
        assert (await edge.get("/hello")).status == 200


async def test_trailers_and_early_hints_are_kept() -> None:
    """What comes before the head and after the body is there, too."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.early_hint", "links": [b"</a.css>"]})
        await send({"type": "http.response.start", "status": 200, "headers": [], "trailers": True})
        await send({"type": "http.response.body", "body": b"x"})
        await send({"type": "http.response.trailers", "headers": [(b"sum", b"1")]})

    async with (
        LocalEdge(app, lifespan="off") as edge,
        edge.stream("GET", "/") as response,
    ):
        assert await response.read() == b"x"
        assert response.interim == [(103, [("link", "</a.css>")])]
        assert response.trailers == [("sum", "1")]


async def test_an_event_stream_is_read_as_it_comes_and_left() -> None:
    """Events are there one by one; the app is told when the visitor leaves."""
    log: list[str] = []
    async with LocalEdge(shop(log)) as edge:
        async with edge.stream("GET", "/events") as response:
            assert response.headers.get("content-type") == "text/event-stream; charset=utf-8"
            first = await anext(response)
            assert first.startswith(b"id: 0\n")
            await response.aclose()
            await until(lambda: "events over" in log)
        assert (await edge.get("/hello")).status == 200


async def test_a_visitor_who_does_not_read_holds_the_app_back() -> None:
    """The app stops in send() while nobody reads, and goes on when somebody does."""
    sent = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal sent
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(400):
            await send({"type": "http.response.body", "body": b"x" * 50_000, "more_body": True})
            sent = number + 1
        await send({"type": "http.response.body"})

    async with (
        LocalEdge(app, lifespan="off") as edge,
        edge.stream("GET", "/") as response,
    ):
        await until(lambda: sent)
        await rest()
        held = sent
        await rest()
        assert sent == held < 10
        assert len(await response.read()) == SIZE
        assert sent == 400


async def test_an_app_that_does_not_read_holds_the_upload_back() -> None:
    """The body's iterator is asked only as fast as the app receives."""
    asked = 0
    reads = asyncio.Event()

    async def body() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(400):
            asked += 1
            yield b"x" * 50_000

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reads.wait()
        size, more = 0, True
        while more:
            message = await receive()
            size += len(message["body"])
            more = message["more_body"]
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % size})

    async with LocalEdge(app, lifespan="off") as edge, anyio.create_task_group() as tasks:

        async def upload() -> None:
            assert (await edge.post("/", body())).text == str(SIZE)

        tasks.start_soon(upload)
        await until(lambda: asked)
        await rest()
        assert asked < 10
        reads.set()


# -- WebSockets ------------------------------------------------------------------------------------


async def test_a_websocket_carries_messages_of_both_kinds() -> None:
    """Text and bytes come back as what they were, also when they are larger than a window."""
    log: list[str] = []
    big = content(6 * MEGABYTE)
    async with LocalEdge(shop(log)) as edge:
        async with edge.websocket("/echo", subprotocols=["chat", "other"]) as socket:
            assert socket.subprotocol == "chat"
            await socket.send_text("grün")
            await socket.send_bytes(big)
            assert await socket.receive() == "grün"
            assert await socket.receive() == big
            await socket.close(3000, "enough")
        await until(lambda: log[-1:] == ["closed 3000 enough"])
        assert (socket.close_code, socket.close_reason) == (3000, "enough")
        with pytest.raises(WebSocketClosedError):
            await socket.send_text("too late")


async def test_the_apps_close_comes_after_its_messages() -> None:
    """What was sent before a close is received; then code and reason are there."""
    async with LocalEdge(shop()) as edge, edge.websocket("/echo") as socket:
        for message in ("one", "two", "bye"):
            await socket.send_text(message)
        assert [message async for message in socket] == ["one", "two"]
        with pytest.raises(WebSocketClosedError) as closed:
            await socket.receive()
        assert (closed.value.code, closed.value.reason) == (4000, "as you wish")
        assert socket.close_code == 4000


async def test_a_refused_websocket_is_an_error_with_the_answer() -> None:
    """A denial response is raised with status, headers and body."""
    async with LocalEdge(shop()) as edge:
        with pytest.raises(WebSocketDeniedError) as refused:
            async with edge.websocket("/private"):
                pass
    assert refused.value.status == 402
    assert refused.value.headers.get("content-type") == "application/json"
    assert refused.value.body == b'{"why":"members only"}'


async def test_an_error_of_the_test_ends_the_websocket_without_a_close() -> None:
    """A visitor who vanishes is a 1006 for the app."""
    log: list[str] = []
    async with LocalEdge(shop(log)) as edge:
        with pytest.raises(ValueError, match="oops"):
            async with edge.websocket("/echo"):
                raise ValueError("oops")
        await until(lambda: log[-1].startswith("closed 1006"))


# -- faults ----------------------------------------------------------------------------------------


async def test_a_cut_download_goes_on_byte_for_byte() -> None:
    """20 MB are the same after the connection was cut in the middle."""
    data = bytearray()
    async with LocalEdge(shop()) as edge, edge.stream("GET", f"/download?size={SIZE}") as response:
        async for piece in response:
            if len(data) < SIZE // 2 <= len(data) + len(piece):
                edge.link.cut()
                await rest()
                edge.link.restore()
            data += piece
        assert edge.link.connections == 2
    assert hashlib.sha256(data).digest() == hashlib.sha256(content(SIZE)).digest()


async def test_a_cut_upload_goes_on_byte_for_byte() -> None:
    """20 MB arrive the same although the connection was cut in the middle."""
    data = content(SIZE)
    async with LocalEdge(shop()) as edge:

        async def body() -> AsyncIterator[bytes]:
            sent = 0
            async for piece in pieces(data):
                sent += len(piece)
                if sent == SIZE // 2:
                    edge.link.cut()
                    await rest()
                    edge.link.restore()
                yield piece

        response = await edge.post("/upload", body())
        assert edge.link.connections == 2
    assert response.json() == {"sha256": hashlib.sha256(data).hexdigest(), "size": SIZE}


async def cut_at_random(edge: LocalEdge, cuts: int, chance: random.Random) -> None:
    """Cut the line so often, with room for a few turns of the loop between."""
    for _ in range(cuts):
        for _ in range(chance.randrange(60)):
            await asyncio.sleep(0)
        edge.link.cut()
        for _ in range(chance.randrange(3)):
            await asyncio.sleep(0)
        edge.link.restore()


@pytest.mark.parametrize("seed", [1, 2, 3])
async def test_fifty_random_cuts_lose_and_double_nothing(seed: int) -> None:
    """A download, an upload, events and a WebSocket survive 50 cuts anywhere in their bytes."""
    data = content(SIZE // 4)
    digest = hashlib.sha256(data).hexdigest()
    log: list[str] = []
    async with LocalEdge(shop(log), seed=seed) as edge:

        async def download() -> None:
            response = await edge.get(f"/download?size={len(data)}")
            assert hashlib.sha256(response.body).hexdigest() == digest

        async def upload() -> None:
            response = await edge.post("/upload", pieces(data))
            assert response.json() == {"sha256": digest, "size": len(data)}

        async def events() -> None:
            response = await edge.get("/events?last=1000")
            assert re.findall(r"event (\d+)", response.text) == [str(one) for one in range(1000)]

        async def echo() -> None:
            async with edge.websocket("/echo") as socket:
                for number in range(300):
                    await socket.send_text(str(number))
                    assert await socket.receive() == str(number)

        async with anyio.create_task_group() as tasks:
            for work in (download, upload, events, echo):
                tasks.start_soon(work)
            await cut_at_random(edge, 50, random.Random(seed))
        assert log.count("uploaded") == 1
        assert edge.link.connections > 40


async def test_the_same_seed_cuts_at_the_same_place() -> None:
    """What arrives of the bytes under way depends on the seed alone."""

    async def arrived(seed: int) -> int:
        async with (
            LocalEdge(shop(), seed=seed) as edge,
            edge.stream("GET", "/download?size=1000000") as response,
        ):
            edge.link.delay(3600)
            size = len(await anext(response))
            edge.link.cut()
            with anyio.move_on_after(0.01):
                async for piece in response:
                    size += len(piece)
            return size

    assert await arrived(5) == await arrived(5)


async def test_a_half_open_line_is_noticed_by_heartbeats() -> None:
    """When nothing passes and nobody is told, both sides notice, and resume after it."""
    async with (
        LocalEdge(shop(), timing=QUICK) as edge,
        edge.stream("GET", "/download?size=3000000") as response,
    ):
        body = await anext(response)
        connections = edge.link.connections  # a slow machine may have lost one before
        edge.link.half_open()
        await until(lambda: not edge.is_connected)
        edge.link.restore()
        body += await response.read()
        assert edge.link.connections > connections
        assert body == content(3_000_000)


async def test_a_short_stall_that_nobody_noticed_goes_on_over_the_same_connection() -> None:
    """What was under way in a stall arrives after it."""
    async with LocalEdge(shop()) as edge, anyio.create_task_group() as tasks:

        async def ask() -> None:
            assert (await edge.get("/hello")).status == 200

        edge.link.half_open()
        tasks.start_soon(ask)
        await rest()
        edge.link.restore()
        await edge.get("/hello")
        assert edge.link.connections == 1


async def test_a_request_waits_while_the_line_is_down() -> None:
    """Requests made while the connection is lost are answered after it."""
    async with LocalEdge(shop()) as edge, anyio.create_task_group() as tasks:
        done: list[int] = []

        async def ask() -> None:
            done.append((await edge.get("/hello")).status)

        edge.link.cut()
        for _ in range(5):
            tasks.start_soon(ask)
        await rest()
        assert done == []
        edge.link.restore()
        await until(lambda: done == [200] * 5)


async def test_a_request_does_not_wait_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    """An app that stays away is a TimeoutError."""
    monkeypatch.setattr("asgi_tunnel.testing.edge.HOLD_TIMEOUT", 0.01)
    async with LocalEdge(shop()) as edge:
        edge.link.cut()
        with pytest.raises(TimeoutError):
            await edge.get("/hello")


async def test_delay_and_limit_slow_the_line() -> None:
    """A round trip takes twice the delay, and bytes take as long as the rate says."""
    now = asyncio.get_running_loop().time
    async with LocalEdge(shop()) as edge:
        edge.link.delay(0.05)
        before = now()
        await edge.get("/hello")
        assert now() - before >= 0.1
        edge.link.delay(0)
        edge.link.limit(500_000)
        before = now()
        await edge.get("/download?size=100000")
        assert now() - before >= 0.2
        edge.link.limit(None)
        assert len((await edge.get("/download?size=3000000")).body) == 3_000_000


async def test_a_limited_line_keeps_its_heartbeats() -> None:
    """A slow line is not taken for a dead one."""
    timing = Timing(heartbeat_interval=0.1, heartbeat_timeout=1.0)
    async with LocalEdge(shop(), timing=timing) as edge:
        edge.link.limit(130_000)  # 1.5 s
        assert len((await edge.get("/download?size=200000")).body) == 200_000
        assert edge.link.connections == 1


async def test_a_restart_runs_the_lifespan_and_loses_no_request() -> None:
    """What is in progress finishes, what comes meanwhile waits, and the app has started twice."""
    log: list[str] = []
    async with LocalEdge(shop(log)) as edge:
        answers: list[Any] = []

        async def ask(path: str) -> None:
            answers.append((await edge.get(path)).json())

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(ask, "/slow")
            await until(lambda: "slow" in log)
            tasks.start_soon(edge.restart_app)
            for _ in range(20):
                await asyncio.sleep(0)
                tasks.start_soon(ask, "/hello")
        assert len(answers) == 21
        assert "done" in answers
        assert answers[-1]["shop"] == "shop 2"
    assert [one for one in log if one != "slow"] == ["startup", "shutdown", "startup", "shutdown"]


async def test_a_restart_ends_websockets_and_event_streams() -> None:
    """What has no end of its own does not keep a restart waiting."""
    async with (
        LocalEdge(shop(), grace=5) as edge,
        edge.websocket("/echo") as socket,
        edge.stream("GET", "/events") as response,
    ):
        with anyio.fail_after(3):
            await edge.restart_app()
            await response.read()
        with pytest.raises(WebSocketClosedError) as closed:
            await socket.receive()
        assert closed.value.code == 1012
        assert (await edge.get("/hello")).json()["shop"] == "shop 2"


async def test_a_session_that_begins_while_the_app_ends_serves_nothing() -> None:
    """A request that meets the end of the app is served by the next one."""
    starts = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal starts
        if scope["type"] == "lifespan":
            await receive()
            starts += 1
            await send({"type": "lifespan.startup.complete"})
            await receive()
            if starts == 1:
                await until(lambda: edge.is_connected)
                tasks.start_soon(ask)
                await until(lambda: not edge.is_connected)
            await send({"type": "lifespan.shutdown.complete"})
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"%d" % starts})

    async def ask() -> None:
        assert (await edge.post("/")).text == "2"

    async with LocalEdge(app) as edge, anyio.create_task_group() as tasks:
        edge.link.delay(0.005)
        edge.expire()  # HELLO is under way
        await edge.restart_app()


async def test_a_request_that_meets_a_lost_welcome_is_served_once() -> None:
    """The app never had the session that the edge gave the request to: the next one serves it."""
    served = 0

    async def app(scope: Any, receive: Any, send: Any) -> None:
        nonlocal served
        served += 1
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body"})

    async with (
        LocalEdge(app, lifespan="off") as edge,
        anyio.create_task_group() as tasks,
    ):

        async def ask() -> None:
            assert (await edge.post("/")).status == 200

        edge.link.delay(0.02)
        edge.expire()
        await until(lambda: edge.is_connected)  # HELLO has come, WELCOME is on its way
        tasks.start_soon(ask)
        await until(lambda: edge._at_edge is not None and edge._at_edge.in_flight)
        edge.link.cut()
        edge.link.restore()
    assert served == 1


async def test_restarts_under_load_and_cuts_lose_no_request() -> None:
    """Restarts and cuts while visitors come: each gets a response."""
    async with LocalEdge(shop()) as edge:
        answered = 0
        is_over = False

        async def visitor() -> None:
            nonlocal answered
            while not is_over:
                assert (await edge.get("/hello")).status == 200
                answered += 1

        async with anyio.create_task_group() as tasks:
            for _ in range(10):
                tasks.start_soon(visitor)
            for _ in range(5):
                await cut_at_random(edge, 3, random.Random(1))
                await edge.restart_app()
                edge.link.delay(0.002)
            is_over = True
        assert answered > 20


async def test_expiry_ends_every_stream_honestly() -> None:
    """After the resume window nothing can look complete, the app is told, and new requests pass."""
    log: list[str] = []
    async with LocalEdge(shop(log)) as edge:
        async with (
            edge.websocket("/echo") as socket,
            edge.stream("GET", "/events") as response,
            anyio.create_task_group() as tasks,
        ):
            await anext(response)

            async def lost() -> None:
                with pytest.raises(StreamResetError) as error:
                    await edge.get("/slow")
                assert error.value.code == ResetCode.SESSION_LOST

            tasks.start_soon(lost)
            await until(lambda: "slow" in log)
            edge.expire()
            with pytest.raises(StreamResetError) as error:
                await response.read()
            assert error.value.code == ResetCode.SESSION_LOST
            with pytest.raises(WebSocketClosedError) as closed:
                await socket.receive()
            assert (closed.value.code, closed.value.reason) == (
                1014,
                "the tunnel to the app was lost",
            )
            await until(lambda: "events over" in log)
        assert (await edge.get("/hello")).status == 200


async def test_the_resume_window_ends_by_itself() -> None:
    """A line that is down for longer than the resume window ends what was in progress."""
    timing = Timing(resume_window=0.05)
    async with LocalEdge(shop(), timing=timing) as edge:
        async with edge.stream("GET", "/events") as response:
            await anext(response)
            edge.link.cut()
            with pytest.raises(StreamResetError):
                await response.read()
        edge.link.restore()
        assert (await edge.get("/hello")).status == 200


async def test_memory_is_bounded_in_a_long_transfer_over_a_line_that_breaks() -> None:
    """100 MB and ten cuts pass through a few megabytes."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(100):
            await send({"type": "http.response.body", "body": bytes(MEGABYTE), "more_body": True})
        await send({"type": "http.response.body"})

    size = 0
    async with LocalEdge(app, lifespan="off") as edge, edge.stream("GET", "/") as response:
        tracemalloc.start()
        try:
            async for piece in response:
                if size // (10 * MEGABYTE) < (size + len(piece)) // (10 * MEGABYTE):
                    edge.link.cut()
                    edge.link.restore()
                size += len(piece)
            _, peak = tracemalloc.get_traced_memory()
        finally:
            tracemalloc.stop()
    assert size == 100 * MEGABYTE
    assert peak < 40 * MEGABYTE


async def test_nothing_is_left_behind() -> None:
    """After the end there is no task and no timer of the edge's (white box: asyncio's timers)."""
    before = asyncio.all_tasks()
    async with (
        LocalEdge(shop()) as edge,
        edge.websocket("/echo"),
        edge.stream("GET", "/events") as response,
    ):
        await anext(response)
        edge.link.half_open()
    await until(lambda: asyncio.all_tasks() == before)
    loop: Any = asyncio.get_running_loop()
    timers = [one._callback for one in loop._scheduled if not one.cancelled()]
    assert not [one for one in timers if "asgi_tunnel" in one.__module__]


# -- the app ---------------------------------------------------------------------------------------


async def test_a_startup_that_fails_is_raised() -> None:
    """An app that cannot start is an error of the block's beginning."""

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        if not app.title:
            yield
        raise ValueError("no database")

    app = FastAPI(lifespan=lifespan)
    with pytest.raises(LifespanError, match="no database"):
        async with LocalEdge(app):
            pass


async def test_state_is_given_with_and_without_a_lifespan() -> None:
    """A test may fill the lifespan state."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": scope["state"]["name"].encode()})

    async with LocalEdge(app, lifespan="off", state={"name": "fake"}) as edge:
        assert (await edge.get("/")).text == "fake"
    async with LocalEdge(shop(), state={"name": "replaced"}) as edge:
        assert (await edge.get("/hello")).json()["shop"] == "shop 1"


# -- pytest ----------------------------------------------------------------------------------------


async def test_a_visitor_whom_a_door_has_let_in() -> None:
    """Each way to ask takes one, as often as it is asked; without one nobody is known."""
    anna, ben = Visitor(subject="user:anna", groups=("family",)), Visitor(subject="user:ben")

    async def app(scope: Any, receive: Any, send: Any) -> None:
        found = visitor(scope)
        said = "nobody" if found is None else found.subject
        if scope["type"] == "websocket":
            await send({"type": "websocket.accept"})
            await send({"type": "websocket.send", "text": said})
            await send({"type": "websocket.close"})
            return
        own = scope["extensions"]["asgi_tunnel"]
        assert (own["hostname"], own["edge"]) == ("app.test", "wss://edge.test")
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": said.encode()})

    async with LocalEdge(app, lifespan="off") as edge:
        assert (await edge.get("/")).text == "nobody"
        assert (await edge.get("/", visitor=anna)).text == "user:anna"
        assert (await edge.post("/", b"x", visitor=ben)).text == "user:ben"
        assert (await edge.request("DELETE", "/", visitor=ben)).text == "user:ben"
        async with edge.stream("GET", "/", visitor=anna) as response:
            assert await response.read() == b"user:anna"
        for one, said in ((anna, "user:anna"), (None, "nobody")):
            async with edge.websocket("/", visitor=one) as socket:
                assert await socket.receive() == said
        await edge.restart_app()
        assert (await edge.get("/", visitor=anna)).text == "user:anna"


async def test_a_header_that_no_visitor_can_send() -> None:
    """An edge refuses a name with a colon, so a test cannot claim by it who it is either."""
    async with LocalEdge(shop()) as edge:
        for name in (":visitor", ":Visitor", ":x"):
            with pytest.raises(ValueError, match="begins with a colon"):
                await edge.get("/hello", headers={name: "{}"})
            with pytest.raises(ValueError, match="begins with a colon"):
                async with edge.websocket("/echo", headers=[(name, "{}")]):
                    pass
        assert (await edge.get("/hello")).status == 200


async def test_the_fixture_serves_several_apps(
    local_edge: ServeLocally,
) -> None:
    """Each call of the fixture is an edge of its own, open until the test is over."""
    one, two = await local_edge(shop()), await local_edge(shop(), hostname="two.test")
    assert (await one.get("/hello")).json()["url"] == "https://app.test/hello"
    assert (await two.get("/hello")).json()["url"] == "https://two.test/hello"


def test_the_example_of_the_page_passes(tmp_path: Path) -> None:
    """The blocks of docs/howto/testing.md are a conftest.py and tests that pass."""
    conftest, tests = re.findall(
        r"^```python\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL
    )
    (tmp_path / "conftest.py").write_text(conftest)
    (tmp_path / "test_app.py").write_text(tests)
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-W", "error", tmp_path],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout
    assert "4 passed" in done.stdout


def test_the_module_loads_without_pytest() -> None:
    """Only who asks for the fixture needs pytest."""
    program = (
        "import sys, asgi_tunnel.testing as testing; "
        "all(getattr(testing, name) for name in dir(testing)); "
        "assert 'pytest' not in sys.modules; testing.local_edge; assert 'pytest' in sys.modules"
    )
    subprocess.run([sys.executable, "-c", program], check=True)
