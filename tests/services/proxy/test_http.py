"""A scripted service behind an edge in memory: what a visitor gets, and what the service saw."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from tests.services.scripted import OK, Call, Script, Scripted, answering, scripted

from asgi_tunnel import Services
from asgi_tunnel.errors import StreamResetError
from asgi_tunnel.services.proxy import pool, upload
from asgi_tunnel.testing import LocalEdge
from asgi_tunnel_edge.certificates.internal import InternalCertificate, fingerprint

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


@asynccontextmanager
async def behind(script: Script, **keys: Any) -> AsyncIterator[tuple[LocalEdge, Scripted]]:
    """An edge in memory with one service."""
    async with (
        scripted(script) as service,
        LocalEdge(Services({"*": {"to": service.url, **keys}}), hostname="a.test") as edge,
    ):
        yield edge, service


async def test_the_service_sees_the_visitor() -> None:
    """Method, target and fields as sent; Host the visitor's, and who it is in the usual fields."""
    async with behind(answering(OK)) as (edge, service):
        response = await edge.get("/a%20b/../c?x=%7e", headers=[("x-a", "1"), ("x-a", "2")])
        assert response.body == b"ok"
    lines = service.heads[0].decode().split("\r\n")
    assert lines[0] == "GET /a%20b/../c?x=%7e HTTP/1.1"
    assert lines[1] == "host: a.test"
    assert [one for one in lines if one.startswith("x-a:")] == ["x-a: 1", "x-a: 2"]
    for line in (
        "x-forwarded-for: 192.0.2.1",
        "x-forwarded-proto: https",
        "x-forwarded-host: a.test",
        "x-forwarded-port: 443",
        "x-real-ip: 192.0.2.1",
        "forwarded: for=192.0.2.1;proto=https;host=a.test",
    ):
        assert lines.count(line) == 1


async def test_a_fixed_host_and_its_redirects() -> None:
    """A service that knows only its own name gets that; its redirects lead to the public one."""
    location = b""

    async def script(call: Call) -> None:
        while True:
            await call.head()
            await call.say(
                b"HTTP/1.1 302 x\r\ncontent-length: 0\r\nlocation: %s\r\n\r\n" % location
            )

    async with behind(script, host="localhost:8096") as (edge, service):
        location = service.url.encode() + b"/login?x"
        assert (await edge.get("/")).headers.get("location") == "/login?x"
        location = b"http://other.test/login"
        assert (await edge.get("/")).headers.get("location") == location.decode()
    assert b"host: localhost:8096\r\n" in service.heads[0]
    assert b"x-forwarded-host: a.test\r\n" in service.heads[0]


@pytest.mark.parametrize(
    ("keys", "sent", "prefix"),
    [
        ({}, b"GET /api/x?y HTTP/1.1", None),
        ({"strip": True}, b"GET /x?y HTTP/1.1", b"x-forwarded-prefix: /api\r\n"),
        ({"replace": "/v2"}, b"GET /v2/x?y HTTP/1.1", None),
        ({"replace": "/"}, b"GET /x?y HTTP/1.1", None),
    ],
)
async def test_paths_are_rewritten(keys: dict[str, Any], sent: bytes, prefix: bytes | None) -> None:
    """Stripped, replaced, or as sent; a Location comes back the other way."""
    answer = b"HTTP/1.1 302 x\r\ncontent-length: 0\r\nlocation: %s/in\r\n\r\n" % (
        {"strip": b"", "replace": b"/v2" if keys.get("replace") == "/v2" else b""}.get(
            next(iter(keys), ""), b"/api"
        )
    )
    async with (
        scripted(answering(answer)) as service,
        LocalEdge(Services({"*/api": {"to": service.url, **keys}})) as edge,
    ):
        response = await edge.get("/api/x?y")
        assert response.headers.get("location") == "/api/in"
        assert (await edge.get("/other")).status == 404
        assert (await edge.get("/api/../other")).status == 400
    assert service.heads[0].startswith(sent)
    assert (b"x-forwarded-prefix" in service.heads[0]) is (prefix is not None)
    assert len(service.heads) == 1


async def test_one_connection_carries_many_exchanges() -> None:
    """A service is dialed once for exchanges that follow each other."""
    async with behind(answering(OK)) as (edge, service):
        for _ in range(20):
            assert (await edge.get("/")).status == 200
            assert (await edge.post("/", b"body")).status == 200
        assert service.connections == 1


async def test_a_request_is_one_write() -> None:
    """Head and body leave together: the service gets both with one read."""

    async def script(call: Call) -> None:
        data = await call.reader.read(65536)
        assert data.endswith(b"content-length: 4\r\n\r\nbody")
        await call.say(OK)

    async with behind(script) as (edge, _):
        assert (await edge.post("/", b"body")).body == b"ok"


async def test_a_connection_that_was_closed_is_replaced() -> None:
    """A request without a body is sent again when a used connection turns out closed."""
    async with behind(answering(OK, times=1)) as (edge, service):
        for _ in range(5):
            assert (await edge.get("/")).status == 200
        assert service.connections == 5


async def _close_silently(call: Call) -> None:
    """Answer once, take the second request and close without a byte."""
    await call.head()
    await call.say(OK)
    await call.head()


@pytest.mark.parametrize(
    ("method", "body", "status", "requests"),
    [
        ("GET", b"", 200, 3),
        ("DELETE", b"", 200, 3),
        ("POST", b"", 502, 2),
        ("PATCH", b"x", 502, 2),
        ("PUT", b"x", 502, 2),
    ],
)
async def test_only_what_may_be_repeated_is_repeated(
    method: str, body: bytes, status: int, requests: int
) -> None:
    """A used connection closed before a byte of the response: only idempotent, only bodiless."""
    async with behind(_close_silently) as (edge, service):
        assert (await edge.get("/")).status == 200
        assert (await edge.request(method, "/", body=body)).status == status
        assert len(service.heads) == requests


async def test_a_new_connection_is_never_tried_twice() -> None:
    """A service that takes a request and closes has perhaps done it."""

    async def script(call: Call) -> None:
        await call.head()

    async with behind(script) as (edge, service):
        assert (await edge.get("/")).status == 502
        assert len(service.heads) == 1


async def test_a_cut_after_the_first_byte_is_not_repeated() -> None:
    """Also on a used connection."""

    async def script(call: Call) -> None:
        await call.head()
        await call.say(OK)
        await call.head()
        await call.say(b"HTTP/1.1 200")

    async with behind(script) as (edge, service):
        assert (await edge.get("/")).status == 200
        assert (await edge.get("/")).status == 502
        assert len(service.heads) == 2


@pytest.mark.parametrize(
    "response",
    [
        b"nonsense\r\n\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\ntransfer-encoding: chunked\r\n\r\n0\r\n\r\n",
        b"HTTP/1.1 101 Switching Protocols\r\nupgrade: h2c\r\nconnection: upgrade\r\n\r\nPRI",
        b"HTTP/1.1 200 OK\r\nx: " + b"y" * 70_000 + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nx: a\rHTTP/1.1 200 OK\r\n\r\n",
        b"HTTP/1.1 700 x\r\n\r\n",
    ],
)
async def test_a_bad_head_is_502(response: bytes) -> None:
    """One clean response of our own, and the connection is not used again."""
    async with behind(answering(response)) as (edge, service):
        found = await edge.get("/")
        assert found.status == 502
        assert found.text == "502 Bad Gateway: this service gave no valid response\n"
        assert (await edge.get("/")).status == 502
        assert service.connections == 2


@pytest.mark.parametrize(
    "response",
    [
        CHUNKED + b"3\r\nabcd\r\n0\r\n\r\n",
        CHUNKED + b"3\r\nabc\r\nHTTP/1.1 200 OK\r\n\r\n",
        CHUNKED + b"3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nabc",
    ],
)
@pytest.mark.parametrize("is_slow", [False, True])
async def test_a_bad_body_is_a_502_or_a_cut(response: bytes, is_slow: bool) -> None:
    """After the head the visitor sees that the response is not whole, and no second one."""

    async def script(call: Call) -> None:
        await call.head()
        head, end, body = response.partition(b"\r\n\r\n")
        await call.say(head + end)
        if is_slow:
            await seen.wait()
        await call.say(body)

    seen = asyncio.Event()
    async with behind(script) as (edge, _), edge.stream("GET", "/") as found:
        seen.set()
        if is_slow or found.status == 200:
            with pytest.raises(StreamResetError):
                await found.read()
        else:
            assert found.status == 502


@pytest.mark.parametrize("is_warm", [False, True], ids=["new", "ready"])
async def test_a_reset_is_a_cut(is_warm: bool) -> None:
    """Also where the body has no length: what the visitor has of it does not look complete."""

    async def script(call: Call) -> None:
        if is_warm:
            await call.head()
            await call.say(OK)
        await call.head()
        await call.say(b"HTTP/1.1 200 OK\r\n\r\nhalf of it")
        await seen.wait()
        sock = call.writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))

    seen = asyncio.Event()
    async with behind(script) as (edge, _):
        if is_warm:
            assert (await edge.get("/")).body == b"ok"
        async with edge.stream("GET", "/") as found:
            assert found.status == 200
            seen.set()
            with pytest.raises(StreamResetError):
                await found.read()


async def test_a_second_response_reaches_nobody() -> None:
    """Bytes behind a response are not the response to the next visitor's request."""
    evil = b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil"
    async with behind(answering(OK + evil)) as (edge, service):
        for _ in range(3):
            assert (await edge.get("/")).body == b"ok"
        assert service.connections == 3


async def test_a_response_that_nobody_asked_for_closes_the_connection() -> None:
    """It comes while the connection is idle, and is not kept for the next request."""

    async def script(call: Call) -> None:
        await call.head()
        await call.say(OK)
        await sent.wait()
        await call.say(b"HTTP/1.1 200 OK\r\ncontent-length: 4\r\n\r\nevil")
        await call.head()

    sent = asyncio.Event()
    async with behind(script) as (edge, service):
        assert (await edge.get("/")).body == b"ok"
        sent.set()
        await service.closed.wait()
        sent.clear()
        assert (await edge.get("/")).body == b"ok"
        assert service.connections == 2


async def test_timeouts_are_the_service_s_own() -> None:
    """504 without a head in time; a cut when the body stops."""

    async def script(call: Call) -> None:
        head = await call.head()
        if b"/body" in head:
            await call.say(CHUNKED + b"1\r\na\r\n")
        await call.reader.read()

    async with behind(script, response_timeout=0.3, idle_timeout=0.1) as (edge, service):
        assert (await edge.get("/never")).status == 504
        await service.closed.wait()
        with pytest.raises(StreamResetError):
            await edge.get("/body")


async def test_a_stream_is_passed_on_piece_by_piece() -> None:
    """Server-sent events arrive as they are sent; a visitor who leaves closes the connection."""
    turn = asyncio.Event()

    async def script(call: Call) -> None:
        await call.head()
        await call.say(CHUNKED[:-2] + b"content-type: text/event-stream\r\n\r\n")
        for number in range(3):
            event = b"data: %d\n\n" % number
            await call.say(b"%x\r\n%s\r\n" % (len(event), event))
            await turn.wait()
            turn.clear()
        await call.reader.read()

    async with behind(script) as (edge, service):
        async with edge.stream("GET", "/events") as response:
            for number in range(3):
                assert await anext(response) == b"data: %d\n\n" % number
                turn.set()
        async with asyncio.timeout(10):
            await service.closed.wait()


async def test_a_visitor_who_leaves_before_the_head_closes_the_connection() -> None:
    """A computation that nobody waits for any more can be ended by the service."""

    async def script(call: Call) -> None:
        await call.head()
        asked.set()
        await call.reader.read()

    asked = asyncio.Event()
    async with behind(script) as (edge, service):
        visitor = asyncio.ensure_future(edge.get("/"))
        await asked.wait()
        visitor.cancel()
        async with asyncio.timeout(10):
            await service.closed.wait()


async def test_an_upload_is_held_back_by_the_service() -> None:
    """What a service does not read, the visitor does not send; then all of it arrives."""
    size, piece = 48 << 20, b"x" * 65536
    sent = 0

    async def body() -> AsyncIterator[bytes]:
        nonlocal sent
        while sent < size:
            yield piece
            sent += len(piece)

    async def script(call: Call) -> None:
        await call.head()
        held.set()
        await go.wait()
        received = 0
        while True:
            length = int(await call.reader.readline(), 16)
            await call.reader.readexactly(length + 2)
            received += length
            if not length:
                break
        await call.say(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\n%8d" % received)

    held, go = asyncio.Event(), asyncio.Event()
    async with behind(script) as (edge, service):
        upload = asyncio.ensure_future(edge.request("POST", "/", body=body()))
        await held.wait()
        before = -1
        while before != sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.05)
        assert sent < size
        go.set()
        response = await upload
        assert int(response.body) == size
    assert b"transfer-encoding: chunked\r\n" in service.heads[0]


async def test_an_early_refusal_of_an_upload_is_passed_on() -> None:
    """413 before the body is complete ends the upload."""

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield b"x" * 1000
            await asyncio.sleep(0)

    async def script(call: Call) -> None:
        await call.head()
        await call.say(b"HTTP/1.1 413 x\r\ncontent-length: 0\r\nconnection: close\r\n\r\n")

    async with (
        behind(script) as (edge, _),
        edge.stream("POST", "/", body=endless()) as response,
    ):
        assert response.status == 413


async def test_expect_waits_for_the_service() -> None:
    """The body is sent when the service asks for it, and not when it refuses."""

    async def script(call: Call) -> None:
        while True:
            head = await call.head()
            assert b"expect: 100-continue\r\n" in head
            if b"/no" in head:
                await call.say(b"HTTP/1.1 403 x\r\ncontent-length: 0\r\n\r\n")
                assert await call.reader.read() == b""
                return
            if b"/yes" in head:
                await call.say(b"HTTP/1.1 100 Continue\r\n\r\n")
            assert await call.reader.readexactly(4) == b"body"
            await call.say(OK)

    async with behind(script) as (edge, _):
        expect = {"expect": "100-continue"}
        assert (await edge.post("/yes", b"body", headers=expect)).body == b"ok"
        assert (await edge.post("/no", b"body", headers=expect)).status == 403


@pytest.mark.plain
async def test_a_service_that_does_not_know_expect_gets_the_body(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It is not waited for longer than a moment."""
    monkeypatch.setattr(upload, "EXPECT_TIMEOUT", 0.02)
    async with behind(answering(OK)) as (edge, _):
        response = await edge.post("/", b"body", headers={"expect": "100-continue"})
        assert response.body == b"ok"


async def test_early_hints_and_trailers_are_passed_on() -> None:
    """103 before the response, announced trailers behind it; those that are framing are dropped."""
    response = (
        b"HTTP/1.1 103 Early Hints\r\nlink: </a.css>; rel=preload\r\n\r\n"
        b"HTTP/1.1 200 OK\r\ntrailer: x-sum\r\ntransfer-encoding: chunked\r\n\r\n"
        b"1\r\na\r\n0\r\nx-sum: 7\r\ncontent-length: 9\r\n\r\n"
    )
    async with behind(answering(response)) as (edge, service):
        async with edge.stream("GET", "/", headers={"te": "trailers"}) as found:
            assert await found.read() == b"a"
        assert found.interim == [(103, [("link", "</a.css>; rel=preload")])]
        assert found.trailers == [("x-sum", "7")]
    assert b"te: trailers\r\n" in service.heads[0]


async def test_fields_about_a_connection_stay_there() -> None:
    """Of a response: what Connection names, and the usual ones."""
    response = (
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: keep-alive, x-hop\r\nx-hop: 1\r\n"
        b"keep-alive: timeout=5\r\nset-cookie: a=1\r\nset-cookie: b=2\r\n\r\nok"
    )
    async with behind(answering(response)) as (edge, _):
        found = await edge.get("/")
        assert [name for name, _ in found.headers] == ["content-length", "set-cookie", "set-cookie"]


async def test_a_service_that_is_away_is_503_until_it_is_back() -> None:
    """With Retry-After, at once; the next request after its start is served."""
    async with scripted(answering(OK)) as service:
        port = service.port
    async with LocalEdge(Services({"*": f"http://127.0.0.1:{port}"})) as edge:
        response = await edge.get("/")
        assert (response.status, response.headers.get("retry-after")) == (503, "5")
        async with scripted(answering(OK), port=port):
            assert (await edge.get("/")).status == 200
        assert (await edge.get("/")).status == 503


async def test_https_is_verified(certificate: InternalCertificate) -> None:
    """By the system's CAs, a file, the hash of the one certificate, or not at all."""
    pin = fingerprint(certificate.certificate.read_bytes())
    async with scripted(answering(OK), tls=certificate) as service:
        url = service.url.replace("http", "https")
        for keys, status in (
            ({}, 503),
            ({"verify": str(certificate.certificate)}, 200),
            ({"verify": str(certificate.certificate), "server_name": "other.test"}, 503),
            ({"verify": str(certificate.certificate), "server_name": "nas.test"}, 200),
            ({"verify": pin}, 200),
            ({"verify": "sha256:" + "0" * 64}, 503),
            ({"verify": "/nowhere.pem"}, 503),
            ({"verify": False}, 200),
        ):
            async with LocalEdge(Services({"*": {"to": url, **keys}})) as edge:
                assert (await edge.get("/")).status == status, keys


async def test_connections_are_bounded() -> None:
    """One more than allowed gets 503 at once."""

    async def script(call: Call) -> None:
        await call.head()
        asked.set()
        await go.wait()
        await call.say(OK)

    asked, go = asyncio.Event(), asyncio.Event()
    async with behind(script, max_connections=1) as (edge, _):
        first = asyncio.ensure_future(edge.get("/"))
        await asked.wait()
        response = await edge.get("/")
        assert (response.status, response.headers.get("retry-after")) == (503, "5")
        go.set()
        assert (await first).status == 200


@pytest.mark.plain
async def test_idle_connections_are_closed(monkeypatch: pytest.MonkeyPatch) -> None:
    """After a while; and all of them when the app ends."""
    monkeypatch.setattr(pool, "IDLE_TIMEOUT", 0.05)
    async with behind(answering(OK)) as (edge, service):
        await edge.get("/")
        async with asyncio.timeout(10):
            await service.closed.wait()


@pytest.mark.plain
async def test_a_post_takes_no_connection_that_may_be_closing(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It could not be sent again, so it gets a new one unless the last use was a moment ago."""
    monkeypatch.setattr(pool, "FRESH", -1.0)
    async with behind(answering(OK)) as (edge, service):
        assert (await edge.get("/")).status == 200
        assert (await edge.post("/", b"x")).status == 200
        assert (await edge.get("/")).status == 200
        assert service.connections == 2


@pytest.mark.parametrize("body", [b"", b"abc", b"abcdeGET /evil HTTP/1.1\r\n\r\n"])
@pytest.mark.parametrize("is_late", [False, True])
async def test_a_body_of_another_length_is_no_second_request(body: bytes, is_late: bool) -> None:
    """Middleware that changes a body does not smuggle a request into the connection."""
    found: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.start":
            found.append(message["status"])

    async def receive() -> Any:
        return messages.pop(0)

    messages = [{"type": "http.request", "body": body, "more_body": False}]
    if is_late:
        messages.insert(0, {"type": "http.request", "body": b"", "more_body": True})
    async with scripted(answering(OK)) as service:
        services = Services({"*": service.url})
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/",
            "raw_path": b"/",
            "query_string": b"",
            "root_path": "",
            "headers": [(b"host", b"a.test"), (b"content-length", b"5")],
        }
        await services(scope, receive, send)
        assert found == [502]
        assert [head[:6] for head in service.heads] in ([], [b"POST /"])


async def test_a_slow_visitor_holds_the_service_back() -> None:
    """What the visitor does not read is not read from the service: memory stays small."""
    size, piece = 64 << 20, b"x" * 65536
    sent = 0

    async def script(call: Call) -> None:
        nonlocal sent
        await call.head()
        await call.say(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % size)
        while sent < size:
            await call.say(piece)
            sent += len(piece)

    async with behind(script) as (edge, _), edge.stream("GET", "/") as response:
        before = -1
        while before != sent:  # until it stands still
            before = sent
            await asyncio.sleep(0.05)
        assert 0 < sent < size
        assert len(await response.read()) == size
