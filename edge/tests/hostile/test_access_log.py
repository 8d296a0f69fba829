"""T38: what the edge answers by itself has its line in the access log, one line and escaped."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest
from tests.e2e.harness import wait_until

from .conftest import World, running_world
from .wire import handshake, name_of, request


@pytest.fixture(scope="module")
def brief(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge where an exchange may take a second."""
    with running_world(tmp_path_factory.mktemp("brief"), limits="max_time = 1.0") as one:
        yield one


def _line(world: World, seen: int) -> tuple[str, str, int, str]:
    """The first line behind ``seen`` bytes: hostname, the request, status and outcome."""
    pattern = re.compile(
        r'^\S+Z [0-9a-f]{32} 127\.0\.0\.1 (\S+) "([^"\n]*)" (\d{3}) \d+ [0-9.]+ms ?([^\n]*)\n',
        re.MULTILINE,
    )
    found: list[tuple[str, str, int, str]] = []

    def look() -> bool:
        for match in pattern.finditer(world.edge.running.output, seen):
            host, asked, status, outcome = match.groups()
            if asked.startswith("GET /neighbour/"):
                continue  # of what came before: it is written within a look of the clock
            found.append((host, asked, int(status), outcome))
        return bool(found)

    wait_until(look, what="a line of the access log")
    return found[0]


REFUSED: list[tuple[str, bytes, str, str, int]] = [
    # name, what is sent, hostname and request in the log, status
    (
        "an unknown name",
        request(b"GET", b"/a?b", host=b"other.test"),
        "other.test",
        "GET /a?b",
        404,
    ),
    ("an address", request(b"GET", b"/a", host=b"192.0.2.1"), "-", "GET /a", 404),
    (
        "a quote and a backslash",
        request(b"GET", b'/"\\', host=b"other.test"),
        "other.test",
        r"GET /\x22\\",
        404,
    ),
    ("a request line that is none", b"secret=1\x1b[2J\r\n\r\n", "-", "- -", 400),
    ("a bad field", request(b"GET", b"/", b"A : b"), "-", "- -", 400),
    ("too many fields", request(b"GET", b"/", *[b"A: b"] * 200), "-", "- -", 431),
    ("another method", request(b"TRACE", b"/"), "-", "- -", 405),
    (
        "a body too large",
        request(b"POST", b"/big", b"Content-Length: 9999999"),
        "shop.example.test",
        "POST /big",
        413,
    ),
    (
        "a bad chunk",
        request(b"POST", b"/chunk", b"Transfer-Encoding: chunked", body=b"zz\r\n"),
        "shop.example.test",
        "POST /chunk",
        400,
    ),
    (
        "an old WebSocket",
        request(
            b"GET",
            b"/ws",
            b"Connection: Upgrade",
            b"Upgrade: websocket",
            b"Sec-WebSocket-Version: 8",
            b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        ),
        "shop.example.test",
        "GET /ws",
        426,
    ),
    ("a head that never ends", b"GET /never", "-", "- -", 408),
    (
        "a body that never comes",
        request(b"POST", b"/slow", b"Content-Length: 9"),
        "shop.example.test",
        "POST /slow",
        408,
    ),
    (
        "a tunnel with a wrong token",
        handshake(
            b"/.well-known/asgi-tunnel",
            b"Sec-WebSocket-Protocol: asgi-tunnel.v1",
            b"Authorization: Bearer secret",
        ),
        "shop.example.test",
        "GET /.well-known/asgi-tunnel",
        401,
    ),
]


@pytest.mark.parametrize(("name", "data", "host", "asked", "status"), REFUSED, ids=name_of)
def test_answer_of_the_edge_is_logged(
    hasty: World, name: str, data: bytes, host: str, asked: str, status: int
) -> None:
    """A status that a visitor saw is in the log, with a reason and with nothing unescaped."""
    seen = len(hasty.edge.running.output)
    with hasty.wire() as wire:
        wire.send(data)
        assert wire.rest().startswith(b"HTTP/1.1 %d " % status)
    line = _line(hasty, seen)
    assert line[:3] == (host, asked, status)
    assert line[3]
    assert "secret" not in hasty.edge.running.output[seen:]
    assert "\x1b" not in hasty.edge.running.output


BEGUN = request(b"POST", b"/begin", b"Content-Length: 9")


@pytest.mark.parametrize(
    ("name", "data", "status"),
    [
        ("no answer", request(b"GET", b"/sleep/3"), 504),
        ("no body", request(b"POST", b"/case", b"Content-Length: 9000", body=b"x" * 3000), 408),
        ("half an answer", BEGUN, 200),
    ],
    ids=name_of,
)
def test_end_by_max_time_is_logged_as_what_it_was(
    brief: World, name: str, data: bytes, status: int
) -> None:
    """The log has the status that the visitor got, not 499: it has not left."""
    seen = len(brief.edge.running.output)
    with brief.wire() as wire:
        wire.send(data)
        received = wire.rest()
    assert received.startswith(b"HTTP/1.1 %d " % status)
    assert _line(brief, seen)[2:] == (status, "the exchange took longer than it may")
