"""HTTP/1.1 as bytes: framing, connection fields, replies; the connection is a recorder."""

from __future__ import annotations

import asyncio
from typing import Any, cast

import pytest
from edge.tests.exchange.fakes import request_of

from asgi_tunnel.protocol.head import Fields, ResponseHead
from asgi_tunnel_edge.exchange.fields import FORBIDDEN_TRAILERS
from asgi_tunnel_edge.http1.writer import HTTP1Writer, Line
from asgi_tunnel_edge.pages import Pages, plain_pages
from asgi_tunnel_edge.replies import Reply

pytestmark = pytest.mark.plain  # a stand-in for the connection


class Socket:
    """A transport that takes everything."""

    def __init__(self) -> None:
        self.written = b""

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def get_write_buffer_size(self) -> int:
        """Nothing waits."""
        return 0

    def set_write_buffer_limits(self, high: int) -> None:
        """Without effect."""


class FakeLine(Line):
    """Notes what the writer asks of its connection."""

    def __init__(self) -> None:
        self.calls: list[str] = []

    def finished(self, *, keep_alive: bool) -> None:
        """Note whether it is kept."""
        self.calls.append("kept" if keep_alive else "closed")

    @property
    def pages(self) -> Pages:
        """Those of an edge without a name."""
        return plain_pages()

    @property
    def can_keep_alive(self) -> bool:
        """As after a whole body."""
        return True

    def cut(self) -> None:
        """Note it."""
        self.calls.append("cut")

    def upgraded(self) -> None:
        """Note it."""
        self.calls.append("upgraded")


class Stage:
    """A writer for one request."""

    def __init__(self, request: Any) -> None:
        self.socket = Socket()
        self.line = FakeLine()
        transport = cast(asyncio.Transport, self.socket)
        self.writer = HTTP1Writer(self.line, transport, lambda: None)
        self.writer.begin(request)

    def respond(
        self, fields: Fields, *pieces: bytes, status: int = 200, ends: bool = True
    ) -> str | None:
        """Write a response in pieces; return what is wrong with it."""
        last = len(pieces) - 1
        why = self.writer.start(ResponseHead(status, fields), pieces[0], end=ends and last == 0)
        for place, piece in enumerate(pieces[1:], 1):
            why = why or self.writer.data(piece, end=ends and place == last)
        if why is None and ends:
            self.writer.finish()
        return why

    @property
    def head(self) -> list[bytes]:
        """The lines of the head, without its date."""
        lines = self.socket.written.split(b"\r\n\r\n")[0].split(b"\r\n")
        return [line for line in lines if not line.startswith(b"date: ")]

    @property
    def body(self) -> bytes:
        """What is behind the head."""
        return self.socket.written.partition(b"\r\n\r\n")[2]


OLD = request_of()._replace(is_http11=False, keep_alive=False)
OLD_KEPT = OLD._replace(keep_alive=True)
LENGTH = (b"content-length", b"5")


@pytest.mark.parametrize(
    ("request_", "fields", "head", "body", "end"),
    [
        (request_of(), [LENGTH], [b"content-length: 5"], b"hello", "kept"),
        (request_of(), [], [b"transfer-encoding: chunked"], b"5\r\nhello\r\n0\r\n\r\n", "kept"),
        (OLD, [], [b"connection: close"], b"hello", "closed"),
        (OLD_KEPT, [LENGTH], [b"content-length: 5", b"connection: keep-alive"], b"hello", "kept"),
        (OLD_KEPT, [], [b"connection: close"], b"hello", "closed"),
        (
            request_of(),
            [LENGTH, (b"connection", b"close"), (b"keep-alive", b"x")],
            [b"content-length: 5", b"connection: close"],
            b"hello",
            "closed",
        ),
        (request_of(b"HEAD"), [LENGTH], [b"content-length: 5"], b"", "kept"),
        (
            request_of(keep_alive=False),
            [LENGTH],
            [b"content-length: 5", b"connection: close"],
            b"hello",
            "closed",
        ),
    ],
)
def test_framing(request_: Any, fields: Fields, head: list[bytes], body: bytes, end: str) -> None:
    """How the end of a response is told, and whether the connection stays."""
    stage = Stage(request_)
    assert stage.respond(fields, b"hello") is None
    assert stage.head == [b"HTTP/1.1 200 OK", *head]
    assert stage.body == body
    assert stage.line.calls == [end]


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ([LENGTH, LENGTH], 200),
        ([(b"content-length", b"+5")], 200),
        ([(b"x-a", b"a\rb")], 200),
        ([(b"X-Upper", b"a")], 200),
        ([(b"content-length", b"0")], 204),
    ],
)
def test_a_bad_head_sends_nothing(fields: Fields, status: int) -> None:
    """What is malformed is refused before a byte of it leaves."""
    stage = Stage(request_of())
    assert stage.respond(fields, b"", status=status) is not None
    assert not stage.writer.has_started
    assert stage.socket.written == b""


def test_a_body_that_breaks_its_announcement() -> None:
    """Too long at once sends nothing; later, or too short, it has started and will be cut."""
    stage = Stage(request_of())
    assert stage.respond([LENGTH], b"hello, you") is not None
    assert not stage.writer.has_started
    for pieces in ((b"hel", b"lo, you"), (b"hel",)):
        stage = Stage(request_of())
        assert stage.respond([LENGTH], *pieces) is not None
        assert stage.writer.has_started


def test_trailers_only_for_those_who_take_them() -> None:
    """They end a chunked response, with or without being sent."""
    for takes in (False, True):
        stage = Stage(request_of()._replace(takes_trailers=takes))
        stage.respond([], b"hello", ends=False)
        assert stage.writer.trailers([(b"x-sum", b"1")]) is None
        sent = b"x-sum: 1\r\n" if takes else b""
        assert stage.body == b"5\r\nhello\r\n0\r\n" + sent + b"\r\n"


@pytest.mark.parametrize("name", sorted(FORBIDDEN_TRAILERS))
def test_trailers_that_would_come_too_late_are_dropped(name: bytes) -> None:
    """Framing, routing, authentication and the like never leave as trailers."""
    stage = Stage(request_of()._replace(takes_trailers=True))
    stage.respond([], b"hello", ends=False)
    assert stage.writer.trailers([(name, b"1"), (b"x-sum", b"1")]) is None
    assert stage.body == b"5\r\nhello\r\n0\r\nx-sum: 1\r\n\r\n"


def test_browsers_are_told_to_keep_to_https_once() -> None:
    """Strict-Transport-Security as set for the hostname, unless the app says its own."""
    stage = Stage(request_of())
    stage.writer.keep_to_https(600)
    assert stage.respond([LENGTH], b"hello") is None
    assert b"strict-transport-security: max-age=600" in stage.head
    stage = Stage(request_of())
    stage.writer.keep_to_https(600)
    own = (b"strict-transport-security", b"max-age=0")
    assert stage.respond([LENGTH, own], b"hello") is None
    assert [line for line in stage.head if line.startswith(b"strict-")] == [b": ".join(own)]
    stage.socket.written = b""
    stage.writer.begin(request_of())
    assert stage.respond([LENGTH], b"hello") is None
    assert not [line for line in stage.head if line.startswith(b"strict-")]


def test_fields_that_connection_names_are_removed() -> None:
    """Whether it is a response, an early hint or an accepted handshake; framing stays."""
    named: Fields = [
        (b"x-secret", b"1"),
        (b"connection", b"X-Secret , content-length"),
        (b"connection", b"x-other"),
        (b"x-other", b"2"),
        (b"x-close", b"3"),
    ]
    stage = Stage(request_of())
    assert stage.respond([LENGTH, *named], b"hello") is None
    assert stage.head == [b"HTTP/1.1 200 OK", b"content-length: 5", b"x-close: 3"]
    assert stage.line.calls == ["kept"]
    stage = Stage(request_of())
    stage.writer.informational(ResponseHead(103, named))
    assert stage.head == [b"HTTP/1.1 103 Early Hints", b"x-close: 3"]
    stage = Stage(request_of(websocket_key=b"dGhlIHNhbXBsZSBub25jZQ=="))
    stage.writer.upgrade(ResponseHead(101, named), cast(Any, None))
    assert b"x-secret" not in stage.socket.written
    assert b"x-other" not in stage.socket.written
    assert stage.head[-1] == b"x-close: 3"


def test_informational_heads() -> None:
    """103 goes to HTTP/1.1 without framing; 100 only where it was expected; none to HTTP/1.0."""
    hints = ResponseHead(103, [(b"link", b"</a>"), (b"content-length", b"5")])
    stage = Stage(request_of())
    stage.writer.informational(hints)
    stage.writer.informational(ResponseHead(100, []))
    assert stage.socket.written == b"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"
    stage = Stage(OLD)
    stage.writer.informational(hints)
    assert stage.socket.written == b""


def test_a_refused_handshake_ends_with_the_connection() -> None:
    """Frames may follow a handshake: no second request can, and no byte beyond the length."""
    stage = Stage(request_of(websocket_key=b"dGhlIHNhbXBsZSBub25jZQ=="))
    assert stage.respond([LENGTH], b"hello, you", status=403) is None
    assert stage.body == b"hello"
    assert stage.line.calls == ["closed"]


@pytest.mark.parametrize(
    ("accept", "start"),
    [(b"", b"503 "), (b"application/json", b'{"status": 503'), (b"text/html", b"<!doctype html>")],
)
def test_replies_in_the_form_that_is_asked_for(accept: bytes, start: bytes) -> None:
    """Text, JSON or a page; with its Retry-After, and closing unless the exchange allows more."""
    stage = Stage(request_of(fields=[(b"accept", accept)]))
    stage.writer.reply(Reply(503, "it is away", 5), request_id=b"r1", keep_alive=True)
    assert b"retry-after: 5" in stage.head
    assert b"x-request-id: r1" in stage.head
    assert stage.body.startswith(start)
    assert stage.line.calls == ["kept"]
    stage = Stage(None)
    stage.writer.reply(Reply(400, "it is odd"), keep_alive=True)
    assert b"connection: close" in stage.head
    assert stage.line.calls == ["closed"]


@pytest.mark.parametrize("method", [b"GET", b"HEAD", b"POST", b"OPTIONS"])
@pytest.mark.parametrize("status", [400, 403, 404, 429, 500, 502, 503, 504])
def test_errors_of_the_edge_that_pages_of_other_origins_may_see(method: bytes, status: int) -> None:
    """Its 5xx, without credentials; no preflight is allowed in the app's place."""
    stage = Stage(request_of(method))
    stage.writer.reply(Reply(status, "it is away", 5), request_id=b"r1", keep_alive=True)
    fields = [line for line in stage.head if line.startswith(b"access-control-")]
    expected = [
        b"access-control-allow-origin: *",
        b"access-control-expose-headers: retry-after, x-asgi-tunnel-reason, x-request-id",
    ]
    assert fields == (expected if status >= 500 else [])
