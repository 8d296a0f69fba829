from __future__ import annotations

import pytest
from tests.conformance.drivers.front import with_host
from tests.conformance.drivers.request_files import with_hosts


@pytest.mark.parametrize(
    ("head", "expected"),
    [
        (b"GET / HTTP/1.1\r\n\r\n", b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"),
        (
            b"GET / HTTP/1.1\r\nhost: 127.0.0.1:80\r\n\r\n",
            b"GET / HTTP/1.1\r\nhost: localhost:80\r\n\r\n",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"),
        (b"\x16\x03\x01\r\n", b"\x16\x03\x01\r\n"),
    ],
    ids=["none", "address", "name", "TLS"],
)
def test_a_first_head_names_its_server(head: bytes, expected: bytes) -> None:
    """An address, or no Host at all, becomes ``localhost``; a name and TLS stay as they are."""
    assert with_host(head) == expected


def test_heads_of_a_file_get_a_host_where_there_is_none() -> None:
    """As many heads as the file has requests get one; bodies and heads that have one do not."""
    chunked = b"POST /a HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
    named = b"GET /b HTTP/1.1\r\nX: 1\r\nHost: b\r\n\r\n"
    bare = b"GET /c HTTP/1.1\r\n\r\n"
    assert with_hosts(chunked + named + bare + bare, 3) == (
        chunked.replace(b"1.1\r\n", b"1.1\r\nHost: localhost\r\n", 1)
        + named
        + b"GET /c HTTP/1.1\r\nHost: localhost\r\n\r\n"
        + bare
    )
