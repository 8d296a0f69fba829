"""The lines of the ASGI checklist that only an edge can keep, one real edge and app for all."""

from __future__ import annotations

import json
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pytest

from .harness import Edge, Process, running_app, running_edge
from .visitor import Field, Visitor, visiting

pytestmark = pytest.mark.e2e

APP = """
import asyncio, json

def plain(value):
    return value.decode("latin-1") if isinstance(value, bytes) else str(value)

async def start(send, status=200, *headers):
    await send({"type": "http.response.start", "status": status, "headers": list(headers)})

async def body(send, data=b"", more=False):
    await send({"type": "http.response.body", "body": data, "more_body": more})

async def read(receive):
    found = b""
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            print("disconnect", flush=True)
            return found
        found += message["body"]
        if not message["more_body"]:
            return found

async def echo(receive, send):
    data = await read(receive)
    await start(send)
    await body(send, data)

async def deaf(receive, send):
    await start(send, 403)
    await body(send, b"no")

async def long(receive, send):
    await start(send, 200, (b"content-length", b"3"))
    await body(send, b"123", True)
    await body(send, b"456")

async def short(receive, send):
    await start(send, 200, (b"content-length", b"9"))
    await body(send, b"123", True)
    await asyncio.sleep(0.05)

async def broken(receive, send):
    await start(send)
    await body(send, b"half", True)
    await asyncio.sleep(0.05)
    raise ValueError("broken")

async def chunked(receive, send):
    await start(send, 200, (b"Transfer-Encoding", b"chunked"))
    await body(send, b"hel", True)
    await body(send, b"lo")

async def dated(receive, send):
    await start(send, 200, (b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT"), (b"Server", b"mine"))
    await body(send)

async def background(receive, send):
    await start(send)
    await body(send, b"done")
    await asyncio.sleep(30)

async def hints(receive, send):
    await send({"type": "http.response.early_hint", "links": [b"</a.css>; rel=preload"]})
    await send({"type": "http.response.start", "status": 200, "trailers": True})
    await body(send, b"hello")
    await send({"type": "http.response.trailers", "headers": [(b"server-timing", b"app")]})

async def idle(receive, send):
    await start(send)
    await body(send, b"data", True)
    while (await receive())["type"] != "http.disconnect":
        pass
    print("idle disconnect", flush=True)

def status(number):
    async def answer(receive, send):
        await start(send, number, (b"content-length", b"5"))
        await body(send, b"hello")
    return answer

GO = asyncio.Event()

async def go(receive, send):
    GO.set()
    await start(send)
    await body(send)

DO = {one.__name__: one for one in (
    echo, deaf, long, short, broken, chunked, dated, background, hints, idle, go
)} | {str(number): status(number) for number in (200, 204, 304)}

async def show(scope, send):
    kept = {key: plain(scope[key]) for key in ("method", "path", "raw_path", "query_string",
            "scheme", "http_version", "root_path")}
    kept["headers"] = [[plain(name), plain(value)] for name, value in scope["headers"]]
    kept["client"], kept["server"] = scope["client"], scope["server"]
    await start(send)
    await body(send, json.dumps(kept).encode())

async def socket(scope, receive, send):
    await receive()
    print("connect", flush=True)
    if scope["path"] == "/slow":
        print("the slow one comes", flush=True)
        await GO.wait()
    if scope["path"] == "/deny":
        await send({"type": "websocket.http.response.start", "status": 401, "headers": []})
        for data in (b"slow ", b"body"):
            await asyncio.sleep(0.1)
            await send({"type": "websocket.http.response.body", "body": data,
                        "more_body": data != b"body"})
        return
    names = json.dumps([plain(name) for name, _ in scope["headers"]])
    await send({"type": "websocket.accept"})
    await send({"type": "websocket.send", "text": names})
    while (message := await receive())["type"] != "websocket.disconnect":
        await send({**message, "type": "websocket.send"})
    print("websocket", message["code"], flush=True)

async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        raise ValueError
    if scope["type"] == "websocket":
        await socket(scope, receive, send)
        return
    what = scope["query_string"].decode("latin-1").removeprefix("do=")
    if what in DO:
        await DO[what](receive, send)
    else:
        await show(scope, send)
"""

TEXT, BINARY, CLOSE, PING, PONG, CONTINUATION = 1, 2, 8, 9, 10, 0


@dataclass
class Stage:
    """An edge and the app behind it."""

    edge: Edge
    app: Process


@pytest.fixture(scope="module")
def stage(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stage]:
    """One edge with one app."""
    folder = tmp_path_factory.mktemp("edge-http")
    (folder / "main.py").write_text(APP)
    with (
        running_edge(folder, limits="max_websocket_message = 100000") as edge,
        running_app(folder, edge.create_token("shop"), "main:app", "--grace", "0") as app,
    ):
        yield Stage(edge, app)


@pytest.fixture
def visitor(stage: Stage) -> Iterator[Visitor]:
    """A visitor of its own connection."""
    with visiting(stage.edge) as one:
        yield one


def scope_of(visitor: Visitor, request: bytes) -> Any:
    """Send a whole request; return what the app got."""
    visitor.sock.sendall(request)
    head = visitor.read_head()
    assert head.status == 200
    return json.loads(visitor.read_body(head))


def status_of(visitor: Visitor, request: bytes) -> int:
    """Send a whole request; return the status of the response."""
    visitor.sock.sendall(request)
    return visitor.read_head().status


def get(line: bytes, *fields: bytes) -> bytes:
    """A request without a body."""
    lines = [line, b"host: shop.example.test", *fields]
    return b"\r\n".join([*lines, b"", b""])


@pytest.mark.parametrize("method", ["CUSTOM", "_DO_DELETE", "PROPFIND", "M-SEARCH"])
def test_unknown_methods_pass(visitor: Visitor, method: str) -> None:
    """A04: a method that no list knows reaches the app."""
    assert scope_of(visitor, get(f"{method} / HTTP/1.1".encode()))["method"] == method


@pytest.mark.parametrize(
    ("target", "path"),
    [
        (b"/a%2Fb", "/a/b"),
        (b"/%00", "/\x00"),
        (b"/%ff", "/\ufffd"),
        (b"//a//b", "//a//b"),
        (b"/a/..;/../b", "/a/..;/../b"),
    ],
)
def test_paths_are_not_normalised(visitor: Visitor, target: bytes, path: str) -> None:
    """A07, A06: the edge changes no byte of a path."""
    scope = scope_of(visitor, get(b"GET %s HTTP/1.1" % target))
    assert (scope["raw_path"], scope["path"]) == (target.decode("latin-1"), path)


@pytest.mark.parametrize(
    ("line", "path"),
    [
        (b"GET http://shop.example.test/x?y HTTP/1.1", "/x"),
        (b"GET http://shop.example.test HTTP/1.1", "/"),
        (b"OPTIONS * HTTP/1.1", "*"),
    ],
)
def test_forms_of_the_target(visitor: Visitor, line: bytes, path: str) -> None:
    """A08: absolute targets lose their authority, and ``*`` stays what it is."""
    assert scope_of(visitor, get(line))["path"] == path


def test_connect_is_refused(visitor: Visitor) -> None:
    """A08: the edge is no forward proxy."""
    assert status_of(visitor, get(b"CONNECT shop.example.test:443 HTTP/1.1")) == 405


def test_headers_arrive_as_sent(visitor: Visitor) -> None:
    """A11: names are lower-cased and outer space is cut; order, duplicates and bytes stay."""
    sent = [b"B: 1", b"A:  2 \t ", b"b: 3", b"X: \x80\xff caf\xe9", b"Empty:"]
    headers = scope_of(visitor, get(b"GET / HTTP/1.1", *sent))["headers"]
    assert headers[1:6] == [
        ["b", "1"],
        ["a", "2"],
        ["b", "3"],
        ["x", "\x80\xff café"],
        ["empty", ""],
    ]


def test_http_2_is_not_spoken(visitor: Visitor) -> None:
    """A12: no pseudo header can come from the edge: it refuses the preface of HTTP/2."""
    assert status_of(visitor, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n") == 505


def test_hop_by_hop_fields_stay_at_the_edge(visitor: Visitor) -> None:
    """A13: what is about one connection does not reach the app; the content-length does."""
    fields = [b"Connection: keep-alive, X-Hop", b"X-Hop: 1", b"Keep-Alive: 5", b"Te: gzip"]
    fields += [b"Proxy-Authorization: a", b"Proxy-Connection: b", b"Upgrade: h2c", b"Trailer: c"]
    head = get(b"POST / HTTP/1.1", *fields, b"Content-Length: 2")
    headers = dict(scope_of(visitor, head + b"ab")["headers"])
    assert headers.keys().isdisjoint(
        {"connection", "x-hop", "keep-alive", "te", "upgrade", "trailer", "transfer-encoding"}
        | {"proxy-authorization", "proxy-connection"}
    )
    assert headers["content-length"] == "2"


def test_te_trailers_may_pass(visitor: Visitor) -> None:
    """A13: ``TE: trailers`` is the one value that an app may act on."""
    head = get(b"GET / HTTP/1.1", b"TE: gzip, trailers", b"Connection: TE")
    assert dict(scope_of(visitor, head)["headers"])["te"] == "trailers"


@pytest.mark.parametrize("byte", [b"\x0b", b"\x0c", b"\x1c", b"\x1d", b"\x1e", b"\x00", b"\r"])
def test_control_characters_in_values_are_refused(visitor: Visitor, byte: bytes) -> None:
    """A14: characters that some readers take for line ends are no part of a value."""
    assert status_of(visitor, get(b"GET / HTTP/1.1", b"X: a%sY: b" % byte)) == 400


def test_other_line_ends_do_not_split(visitor: Visitor) -> None:
    """A14: bytes that are line ends in Unicode text stay inside their value."""
    headers = scope_of(visitor, get(b"GET / HTTP/1.1", b"X: a\x85Y: b"))["headers"]
    assert ["x", "a\x85Y: b"] in headers


def test_the_visitor_is_who_it_is(stage: Stage, visitor: Visitor) -> None:
    """A21, A15, A16, A05: spoofed forwarding fields are removed; the edge's own tell the truth."""
    spoofed = [b"X-Forwarded-For: 6.6.6.6", b"X-Forwarded-Proto: https", b"X-Real-IP: 6.6.6.6"]
    spoofed += [b"X-Forwarded-Host: evil.test", b"Forwarded: for=6.6.6.6", b"X_Forwarded_For: 6"]
    scope = scope_of(visitor, get(b"GET / HTTP/1.1", *spoofed))
    own = [pair for pair in scope["headers"] if "forward" in pair[0] or pair[0] == "x-real-ip"]
    assert own == [
        ["x-forwarded-for", "127.0.0.1"],
        ["x-forwarded-proto", "http"],
        ["x-forwarded-host", "shop.example.test"],
        ["x-real-ip", "127.0.0.1"],
    ]
    assert scope["client"] == ["127.0.0.1", visitor.sock.getsockname()[1]]
    assert scope["server"] == ["127.0.0.1", stage.edge.port]
    assert scope["scheme"] == "http"


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_http_version_is_the_visitors(visitor: Visitor, version: str) -> None:
    """A03: the visitor's own version is in the scope."""
    visitor.ask("/", version=version)
    head = visitor.read_head()
    text = visitor.read_rest()[0] if version == "1.0" else visitor.read_body(head)
    assert json.loads(text)["http_version"] == version


EXPECT = ("Expect", "100-continue")


def test_100_comes_when_the_app_reads(visitor: Visitor) -> None:
    """A27: the visitor hears 100 from an app that reads, then the response."""
    visitor.ask("/?do=echo", EXPECT, ("Content-Length", "4"), method="POST")
    assert visitor.read_head().status == 100
    visitor.sock.sendall(b"body")
    assert visitor.read_body(visitor.read_head()) == b"body"


def test_no_100_from_an_app_that_does_not_read(visitor: Visitor) -> None:
    """A27, A30: an app that answers at once needs no body; the connection closes after."""
    visitor.ask("/?do=deaf", EXPECT, ("Content-Length", "1000000"), method="POST")
    head = visitor.read_head()
    assert head.status == 403
    assert visitor.read_body(head) == b"no"
    assert visitor.read_rest() == (b"", False)


def test_another_expectation_is_417(visitor: Visitor) -> None:
    """A27: what the edge cannot promise it refuses."""
    assert status_of(visitor, get(b"GET / HTTP/1.1", b"Expect: tea")) == 417


def test_a_truncated_body_is_a_disconnect(stage: Stage) -> None:
    """A29: a visitor who breaks off in the body is a disconnect for the app."""
    with visiting(stage.edge) as visitor:
        visitor.ask("/?do=echo", ("Content-Length", "9"), method="POST", body=b"half")
    stage.app.wait_for("disconnect")


def test_an_idle_answer_ends_with_its_visitor(stage: Stage) -> None:
    """A23, A46: an app that waits for the disconnect gets it when the visitor leaves."""
    with visiting(stage.edge) as visitor:
        visitor.ask("/?do=idle")
        assert visitor.read_head().status == 200
        assert visitor.read_chunk() == b"data"
    stage.app.wait_for("idle disconnect")


@pytest.mark.parametrize(("version", "framing"), [("1.1", "chunked"), ("1.0", None)])
def test_bodies_without_length(visitor: Visitor, version: str, framing: str | None) -> None:
    """A35: the edge frames the body: chunked, or up to the close for HTTP/1.0."""
    visitor.ask("/?do=chunked", version=version)
    head = visitor.read_head()
    assert head.get("transfer-encoding") == framing
    body = visitor.read_body(head) if framing else visitor.read_rest()[0]
    assert body == b"hello"


def test_a_body_longer_than_announced_never_leaves(visitor: Visitor) -> None:
    """A36: bytes beyond the content-length are not sent: the first ones are, or a 502."""
    visitor.ask("/?do=long")
    head = visitor.read_head()
    body = visitor.read_body(head)
    assert (head.status, body) == (200, b"123") or (head.status == 502 and b"456" not in body)


@pytest.mark.parametrize("what", ["short", "broken"])
def test_an_answer_cut_short_cannot_look_complete(visitor: Visitor, what: str) -> None:
    """A36, A41: too few bytes, or an error in the middle, end the connection with a reset."""
    visitor.ask(f"/?do={what}")
    rest, is_reset = visitor.read_rest()
    assert is_reset
    assert not rest.endswith(b"0\r\n\r\n")


@pytest.mark.parametrize(
    ("method", "status", "length"),
    [("HEAD", 200, "5"), ("GET", 304, "5"), ("GET", 204, None), ("HEAD", 204, None)],
)
def test_answers_without_a_body_keep_the_connection(
    visitor: Visitor, method: str, status: int, length: str | None
) -> None:
    """A37: HEAD, 204 and 304 have no body byte and no chunk; the next request is answered."""
    for _ in range(2):
        visitor.ask(f"/?do={status}", method=method)
        head = visitor.read_head()
        assert (head.status, head.get("content-length")) == (status, length)
        assert head.get("transfer-encoding") is None
    visitor.ask("/?do=200")
    assert visitor.read_body(visitor.read_head()) == b"hello"


def test_background_work_does_not_hold_the_connection(visitor: Visitor) -> None:
    """A40: the next request on the connection does not wait for the app's call to return."""
    for _ in range(3):
        visitor.ask("/?do=background")
        assert visitor.read_body(visitor.read_head()) == b"done"


def test_trailers_and_hints_reach_who_asked(visitor: Visitor) -> None:
    """A44: 103 and trailers go all the way; trailers only to a visitor who takes them."""
    for fields, expected in [
        ((("TE", "trailers"),), b"0\r\nserver-timing: app\r\n\r\n"),
        ((), b"0\r\n\r\n"),
    ]:
        visitor.ask("/?do=hints", *fields)
        hint = visitor.read_head()
        assert (hint.status, hint.get("link")) == (103, "</a.css>; rel=preload")
        assert visitor.read_head().status == 200
        assert visitor.read_chunk() == b"hello"
        assert visitor.read_until(b"\r\n\r\n") == expected


def fields_of(head: Any, name: str) -> list[str]:
    """All values of a field."""
    return [value for one, value in head.fields if one == name]


def test_date_is_there_once(visitor: Visitor) -> None:
    """A45: the edge sets a date where the app did not, and names no server software."""
    visitor.ask("/?do=200")
    head = visitor.read_head()
    assert visitor.read_body(head) == b"hello"
    assert len(fields_of(head, "date")) == 1
    assert fields_of(head, "date")[0].endswith("GMT")
    assert not fields_of(head, "server")
    visitor.ask("/?do=dated")
    head = visitor.read_head()
    assert fields_of(head, "date") == ["Thu, 01 Jan 1970 00:00:00 GMT"]
    assert fields_of(head, "server") == ["mine"]


# -- WebSocket -------------------------------------------------------------------------------


def test_101_comes_after_accept(stage: Stage, visitor: Visitor) -> None:
    """A51: nothing is answered until the app has accepted."""
    visitor.ask(
        "/slow",
        ("Connection", "Upgrade"),
        ("Upgrade", "websocket"),
        ("Sec-WebSocket-Version", "13"),
        ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
    )
    stage.app.wait_for("the slow one comes")
    visitor.sock.setblocking(False)
    with pytest.raises(BlockingIOError):
        visitor.sock.recv(1)
    visitor.sock.settimeout(20)
    with visiting(stage.edge) as other:
        assert status_of(other, get(b"GET /?do=go HTTP/1.1")) == 200
    head = visitor.read_head()
    assert head.status == 101
    assert head.get("sec-websocket-accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="


def test_a_denial_arrives_whole(visitor: Visitor) -> None:
    """A54: the body of a refusal reaches the visitor however slowly the app sends it."""
    assert visitor.upgrade("/deny").status == 401
    assert visitor.read_rest() == (b"slow body", False)


def opened(visitor: Visitor, *fields: Field) -> list[str]:
    """Open a WebSocket; return the names of the fields that the app got."""
    assert visitor.upgrade("/", *fields).status == 101
    names: list[str] = json.loads(visitor.read_frame()[1])
    return names


def test_pings_are_answered_by_the_edge(visitor: Visitor) -> None:
    """A60: a ping is answered, also inside a fragmented message, and the app never sees it."""
    opened(visitor)
    visitor.send_frame(TEXT, b"hel", final=False)
    visitor.send_frame(PING, b"are you there")
    visitor.send_frame(CONTINUATION, b"lo")
    assert visitor.read_frame() == (0x80 | PONG, b"are you there")
    assert visitor.read_frame() == (0x80 | TEXT, b"hello")


@pytest.mark.parametrize(
    ("opcode", "payload", "code"),
    [(TEXT, b"\xff", 1007), (BINARY, bytes(100_001), 1009), (3, b"", 1002)],
)
def test_bad_frames_close_with_their_code(
    visitor: Visitor, opcode: int, payload: bytes, code: int
) -> None:
    """A60: invalid text is 1007, a message above the limit 1009, a broken frame 1002."""
    opened(visitor)
    visitor.send_frame(opcode, payload)
    first, answer = visitor.read_frame()
    assert (first, struct.unpack(">H", answer[:2])[0]) == (0x80 | CLOSE, code)


def test_compression_is_not_negotiated(visitor: Visitor) -> None:
    """A61: the edge agrees to no extension, so what the limit counts is what arrives."""
    head = visitor.upgrade("/", ("Sec-WebSocket-Extensions", "permessage-deflate"))
    assert head.status == 101
    assert head.get("sec-websocket-extensions") is None
    visitor.read_frame()
    visitor.sock.sendall(bytes((0xC1, 0x80, 0, 0, 0, 0)))  # RSV1: a compressed message
    first, answer = visitor.read_frame()
    assert (first, answer[:2]) == (0x80 | CLOSE, struct.pack(">H", 1002))


KEY = b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ=="
V13 = b"Sec-WebSocket-Version: 13"


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([b"Connection: keep-alive, UPGRADE", b"Upgrade: WebSocket", V13, KEY], 101),
        ([b"Connection: Upgrade", b"Upgrade: websocket", V13], 400),
        ([b"Connection: Upgrade", b"Upgrade: websocket", V13, b"Sec-WebSocket-Key: short"], 400),
        ([b"Connection: Upgrade", b"Upgrade: websocket", V13, KEY, KEY], 400),
        ([b"Connection: Upgrade", b"Upgrade: websocket", KEY], 426),
        ([b"Connection: Upgrade", b"Upgrade: websocket", KEY, b"Sec-WebSocket-Version: 8"], 426),
        ([b"Upgrade: websocket", V13, KEY], 200),
    ],
)
def test_handshakes_are_checked(visitor: Visitor, fields: list[bytes], status: int) -> None:
    """A64: a handshake has one right key and version; tokens are read without regard to case."""
    visitor.sock.sendall(get(b"GET / HTTP/1.1", *fields))
    head = visitor.read_head()
    assert head.status == status
    assert head.get("sec-websocket-version") == ("13" if status == 426 else None)


# -- section 8: what the parsers of others let through ---------------------------------------


@pytest.mark.parametrize(
    "request_bytes",
    [
        get(b"POST / HTTP/1.1", b"Content-Length: 1", b"Transfer-Encoding: chunked"),
        get(b"POST / HTTP/1.0", b"Transfer-Encoding: chunked"),
        get(b"GET / HTTP/1.1", b"A: b", b" folded"),
        b"GET / HTTP/1.1\nHost: shop.example.test\n\n",
        get(b"GET / HTTP/1.1", b"Host: shop.example.test"),
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET / HTTP/1.1\r\nHost: a b\r\n\r\n",
        get(b"GET / HTTP/1.1", b"A: \x01"),
        get(b"POST / HTTP/1.1", b"Content-Length: 1, 1"),
        get(b"POST / HTTP/1.1", b"Content-Length: 1", b"Content-Length: 1"),
        get(b"POST / HTTP/1.1", b"Content-Length: +1"),
        get(b"GET / HTTP/1.1", b"A : b"),
    ],
)
def test_ambiguous_requests_are_refused(visitor: Visitor, request_bytes: bytes) -> None:
    """A13: what two readers could understand differently is a 400, and the connection ends."""
    visitor.sock.sendall(request_bytes)
    head = visitor.read_head()
    assert (head.status, head.get("connection")) == (400, "close")


@pytest.mark.parametrize("version", [b"1.2", b"2.0", b"0.9", b"11"])
def test_other_versions_are_refused(visitor: Visitor, version: bytes) -> None:
    """A03: only HTTP/1.0 and HTTP/1.1 are relayed."""
    assert status_of(visitor, get(b"GET / HTTP/" + version)) in (400, 505)


def test_a_half_closed_visitor_gets_its_answer(visitor: Visitor) -> None:
    """A23: a visitor that ends its own direction after the request is not taken for gone."""
    import socket

    visitor.ask("/?do=200")
    visitor.sock.shutdown(socket.SHUT_WR)
    assert visitor.read_body(visitor.read_head()) == b"hello"
