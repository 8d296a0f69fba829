from __future__ import annotations

import pytest

from asgi_tunnel.inspector.http1 import read_head, write_head
from asgi_tunnel.inspector.reply import RefusedError


def test_a_head() -> None:
    """Method, path, query and length are read."""
    head = b"PUT /state?a=b HTTP/1.1\r\nHost: x\r\ncontent-length:  12 \r\nX-A: b"
    assert read_head(head, 100) == ("PUT", "/state", b"a=b", 12)
    assert read_head(b"GET / HTTP/1.1\r\nhost:", 100) == ("GET", "/", b"", 0)


@pytest.mark.parametrize(
    ("head", "status"),
    [
        (b"", 400),
        (b"GET /", 400),
        (b"GET / HTTP/1.0\r\nhost: x", 400),
        (b"get / HTTP/1.1\r\nhost: x", 400),
        (b"GET http://x/ HTTP/1.1\r\nhost: x", 400),
        (b"GET  / HTTP/1.1\r\nhost: x", 400),
        (b"GET /\xc3\xa9 HTTP/1.1\r\nhost: x", 400),
        (b"GET / HTTP/1.1", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nhost: x", 400),
        (b"GET / HTTP/1.1\r\nhost : x", 400),
        (b"GET / HTTP/1.1\r\n host: x", 400),
        (b"GET / HTTP/1.1\r\nhost: x\n", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\nx: a\rb", 400),
        (b"GET / HTTP/1.1\nhost: x", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: -1", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: +1", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 99999999999", 400),
        (b"GET / HTTP/1.1\r\nhost: x\r\ncontent-length: 101", 413),
        (b"GET / HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked", 411),
        (b"GET / HTTP/1.1\r\nhost: x" + 50 * b"\r\nx%d: y", 400),
    ],
)
def test_what_is_none_is_refused(head: bytes, status: int) -> None:
    """One status and one sentence for each."""
    with pytest.raises(RefusedError) as caught:
        read_head(head, 100)
    assert caught.value.status == status


def test_the_head_of_a_response() -> None:
    """The connection ends with it."""
    assert write_head(204, [(b"a", b"b")]) == (
        b"HTTP/1.1 204 No Content\r\na: b\r\nconnection: close\r\n\r\n"
    )
