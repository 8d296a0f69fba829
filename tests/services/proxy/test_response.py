from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.services.proxy.errors import ResponseError
from asgi_tunnel.services.proxy.response import (
    MAX_FIELD_LINES,
    MAX_HEAD,
    MAX_INTERIM,
    MAX_LINE,
    MAX_LINES,
    MAX_TRAILERS,
    FieldLines,
    ResponseReader,
)

CHUNKED = b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n"


def read(*parts: bytes, method: str = "GET", upgrade: bool = False) -> ResponseReader:
    """A reader that got parts."""
    reader = ResponseReader(method, upgrade=upgrade)
    for part in parts:
        reader.feed(part)
    return reader


def feed(reader: ResponseReader, parts: list[bytes]) -> None:
    """Feed parts one after the other."""
    for part in parts:
        reader.feed(part)


GOOD = [
    (b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", b"abc", True),
    (b"HTTP/1.1 200\r\ncontent-length: 0\r\n\r\n", b"", True),
    (b"HTTP/1.1 204 No Content\r\n\r\n", b"", True),
    (b"HTTP/1.1 304 Not Modified\r\ncontent-length: 9\r\n\r\n", b"", True),
    (CHUNKED + b"3\r\nabc\r\n2;x=y\r\nde\r\n0\r\n\r\n", b"abcde", True),
    (CHUNKED + b"A\r\n0123456789\r\n000\r\nx: y\r\n\r\n", b"0123456789", True),
    (b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: 1\r\n\r\na", b"a", False),
    (b"HTTP/1.0 200 OK\r\ncontent-length: 1\r\n\r\na", b"a", False),
    (b"HTTP/1.0 200 OK\r\nconnection: Keep-Alive\r\ncontent-length: 1\r\n\r\na", b"a", True),
    (b"HTTP/1.1 103 Early Hints\r\nlink: <x>\r\n\r\nHTTP/1.1 204 \r\n\r\n", b"", True),
]


@pytest.mark.parametrize(("data", "body", "reusable"), GOOD)
def test_a_response_is_read(data: bytes, body: bytes, reusable: bool) -> None:
    """Whole, and byte by byte, with the same result."""
    for parts in ([data], [data[at : at + 1] for at in range(len(data))]):
        reader = read(*parts)
        assert reader.is_complete
        assert b"".join(reader.pieces) == body
        assert reader.is_reusable is reusable


@given(st.data(), st.sampled_from([one[0] for one in GOOD]))
def test_cuts_change_nothing(data: st.DataObject, response: bytes) -> None:
    """However a response is cut into reads, it is the same one."""
    cuts = sorted(data.draw(st.sets(st.integers(1, len(response) - 1), max_size=6)))
    edges = [0, *cuts, len(response)]
    reader = read(*(response[a:b] for a, b in itertools.pairwise(edges)))
    whole = read(response)
    assert (reader.head, reader.trailers) == (whole.head, whole.trailers)
    assert b"".join(reader.pieces) == b"".join(whole.pieces)
    assert reader.is_complete


BAD = {
    "no HTTP": b"SSH-2.0-OpenSSH_9.6\r\n",
    "HTTP/2 preface": b"\x00\x00\x12\x04\x00\x00\x00",
    "TLS alert": b"\x15\x03\x01\x00\x02\x02\x46",
    "HTTP/1.2": b"HTTP/1.2 200 OK\r\n\r\n",
    "no status": b"HTTP/1.1 OK\r\n\r\n",
    "status 99": b"HTTP/1.1 099 x\r\n\r\n",
    "status 600": b"HTTP/1.1 600 x\r\n\r\n",
    "four digits": b"HTTP/1.1 2000 x\r\n\r\n",
    "control in reason": b"HTTP/1.1 200 a\x00b\r\n\r\n",
    "bare LF": b"HTTP/1.1 200 OK\ncontent-length: 0\n\n",
    "bare LF, partial": b"HTTP/1.1 200 OK\nx",
    "space before colon": b"HTTP/1.1 200 OK\r\nx : y\r\n\r\n",
    "folded": b"HTTP/1.1 200 OK\r\nx: y\r\n z\r\n\r\n",
    "no colon": b"HTTP/1.1 200 OK\r\nxy\r\n\r\n",
    "CR in value": b"HTTP/1.1 200 OK\r\nx: a\rb\r\n\r\n",
    "NUL in value": b"HTTP/1.1 200 OK\r\nx: a\0b\r\n\r\n",
    "two lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 2\r\n\r\nab",
    "equal lengths": b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\ncontent-length: 1\r\n\r\na",
    "length list": b"HTTP/1.1 200 OK\r\ncontent-length: 1, 1\r\n\r\na",
    "length +1": b"HTTP/1.1 200 OK\r\ncontent-length: +1\r\n\r\na",
    "length -1": b"HTTP/1.1 200 OK\r\ncontent-length: -1\r\n\r\na",
    "length and chunked": CHUNKED[:-2] + b"content-length: 1\r\n\r\n",
    "chunked twice": CHUNKED[:-2] + b"transfer-encoding: chunked\r\n\r\n",
    "gzip, chunked": b"HTTP/1.1 200 OK\r\ntransfer-encoding: gzip, chunked\r\n\r\n",
    "identity": b"HTTP/1.1 200 OK\r\ntransfer-encoding: identity\r\n\r\n",
    "chunked in 1.0": b"HTTP/1.0 200 OK\r\ntransfer-encoding: chunked\r\n\r\n",
    "101 unasked": b"HTTP/1.1 101 Switching Protocols\r\nupgrade: websocket\r\n\r\n",
    "1xx with a body": b"HTTP/1.1 100 Continue\r\ncontent-length: 5\r\n\r\nhello",
    "1xx in 1.0": b"HTTP/1.0 100 Continue\r\n\r\n",
    "1xx for ever": b"HTTP/1.1 103 x\r\n\r\n" * (MAX_INTERIM + 1),
    "huge head": b"HTTP/1.1 200 OK\r\nx: " + b"a" * MAX_HEAD,
    "many fields": b"HTTP/1.1 200 OK\r\n" + b"x: y\r\n" * (MAX_FIELD_LINES + 1) + b"\r\n",
    "chunk size": CHUNKED + b"xyz\r\n",
    "chunk size negative": CHUNKED + b"-1\r\n",
    "chunk size 0x": CHUNKED + b"0x3\r\nabc\r\n",
    "chunk size huge": CHUNKED + b"F" * 20 + b"\r\n",
    "chunk bare LF": CHUNKED + b"3\nabc\n",
    "chunk too long": CHUNKED + b"3\r\nabcd\r\n",
    "chunk extension long": CHUNKED + b"3;" + b"x" * 300,
    "trailers huge": CHUNKED + b"0\r\nx: " + b"y" * MAX_TRAILERS,
    "trailer malformed": CHUNKED + b"0\r\nx y\r\n\r\n",
}


@pytest.mark.parametrize("name", BAD)
def test_a_bad_response_is_refused(name: str) -> None:
    """Whole and byte by byte: one sentence, and never a complete response."""
    for size in (len(BAD[name]), 1):
        data = BAD[name]
        reader = ResponseReader("GET")
        parts = [data[at : at + size] for at in range(0, len(data), size)]
        with pytest.raises(ResponseError):
            feed(reader, parts)
        assert not reader.is_complete


@pytest.mark.parametrize(
    "data",
    [
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\na",
        CHUNKED,
        CHUNKED + b"3\r\nab",
        CHUNKED + b"3\r\nabc\r\n",
        CHUNKED + b"0\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
    ],
)
def test_an_early_end_is_an_error(data: bytes) -> None:
    """A response that was cut is not taken for a whole one."""
    reader = read(data)
    with pytest.raises(ResponseError):
        reader.feed_eof()


def test_a_body_may_end_with_the_connection() -> None:
    """Without a length, the close is the end; the connection carries nothing more."""
    reader = read(b"HTTP/1.1 200 OK\r\n\r\nab", b"c")
    states = [reader.is_complete]
    reader.feed_eof()
    assert [*states, reader.is_complete] == [False, True]
    assert b"".join(reader.pieces) == b"abc"
    assert not reader.is_reusable


def test_a_body_does_not_end_with_a_connection_that_breaks() -> None:
    """A reset is not the end that the service meant; of a whole response it says nothing."""
    reader = read(b"HTTP/1.1 200 OK\r\n\r\nab")
    with pytest.raises(ResponseError):
        reader.feed_eof(is_broken=True)
    assert not reader.is_complete
    whole = read(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nab")
    whole.feed_eof(is_broken=True)
    assert whole.is_complete


def test_a_second_response_is_never_used() -> None:
    """What follows a response was sent for nobody: the connection is not used again."""
    reader = read(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\naHTTP/1.1 200 OK\r\n\r\nevil")
    assert b"".join(reader.pieces) == b"a"
    assert not reader.is_reusable
    late = read(b"HTTP/1.1 204 x\r\n\r\n", b"HTTP/1.1 200 OK\r\n\r\n")
    assert not late.is_reusable


def test_a_head_response_has_no_body() -> None:
    """Its length is that of the GET; bytes behind it are nobody's."""
    reader = read(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\n", method="HEAD")
    assert reader.is_reusable
    assert not read(b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello", method="HEAD").is_reusable


def test_an_upgrade_that_was_asked_for() -> None:
    """What follows the 101 is handed out as it is."""
    reader = read(b"HTTP/1.1 101 x\r\nupgrade: websocket\r\n\r\n\x81\x00", b"\x82", upgrade=True)
    assert reader.is_upgraded
    assert b"".join(reader.pieces) == b"\x81\x00\x82"
    assert not reader.is_reusable


def test_what_is_remembered_changes_nothing() -> None:
    """Lines that come again are the same fields; they are bounded, and no secret is among them."""
    lines = FieldLines()
    for number in range(2 * MAX_LINES):
        head = (
            b"HTTP/1.1 200 OK\r\nServer:  x \r\nx-n: %d\r\nset-cookie: a=%d\r\n"
            b"x-long: %s\r\ncontent-length: 0\r\n\r\n" % (number, number, b"y" * MAX_LINE)
        )
        reader = ResponseReader("GET", lines=lines)
        reader.feed(head)
        assert reader.head == read(head).head
    assert len(lines._known) <= MAX_LINES
    assert max(map(len, lines._known)) <= MAX_LINE
    assert not any(name == b"set-cookie" for name, _ in lines._known.values())


def test_a_short_body_is_known_to_be_near() -> None:
    """Of a body of known length, once its head is read; not of one that is long or endless."""
    start = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n"
    assert read(start % 5, b"he").lacks_little
    assert not read(start % 5, b"hello").lacks_little
    assert not read(start % 5_000_000).lacks_little
    assert not read((start % 5)[:-2]).lacks_little
    assert not read(CHUNKED, b"5\r\n").lacks_little
    assert not read(b"HTTP/1.1 200 OK\r\n\r\n").lacks_little


def test_pieces_are_taken_whole() -> None:
    """Chunks large and small, in one read or in many, are one piece of bytes when taken."""
    chunks = [bytes([number]) * size for number, size in enumerate((1, 10_000, 4095, 70_000))]
    data = CHUNKED + b"".join(b"%x\r\n%s\r\n" % (len(one), one) for one in chunks)
    reader = read(data)
    assert reader.size == sum(map(len, chunks))
    taken = reader.take()
    assert type(taken) is bytes
    assert taken == b"".join(chunks)
    assert (reader.take(), reader.size) == (b"", 0)
