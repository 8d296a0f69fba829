"""The readers of what visitors send: any cut gives the same, and only their own errors come out."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st
from tests.protocol.pair import examples

from asgi_tunnel_edge.errors import RequestError, WebSocketError
from asgi_tunnel_edge.exchange.websocket_frames import (
    Control,
    FrameReader,
    Piece,
    encode_close,
    read_close,
)
from asgi_tunnel_edge.http1.body import Body, ChunkedBody, LengthBody
from asgi_tunnel_edge.http1.head import (
    MAX_LAST_FIELDS,
    LastFields,
    check_request_line,
    read_head,
)
from asgi_tunnel_edge.request import Request
from asgi_tunnel_edge.settings.config import Limits

LIMITS = Limits()
MAX_MESSAGE = 70_000


def _words(*words: bytes) -> st.SearchStrategy[bytes]:
    """Bytes made of what matters to a reader, with anything in between."""
    return st.lists(st.sampled_from(words) | st.binary(max_size=3), max_size=30).map(b"".join)


def _cut(data: bytes, at: list[int]) -> list[bytes]:
    places = sorted({min(one, len(data)) for one in at})
    return [data[a:b] for a, b in zip([0, *places], [*places, len(data)], strict=True) if a < b]


CUTS = st.lists(st.integers(0, 300), max_size=12)
HEADS = _words(
    b"GET ",
    b"POST ",
    b"/a",
    b"http://a.test/",
    b" HTTP/1.1\r\n",
    b"Host: a.test\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Upgrade: websocket\r\n",
    b"Expect: 100-continue\r\n",
    b": ",
    b"\r\n",
    b"\n",
    b" ",
)


def _status_or_request(whole: bytes, last: LastFields | None = None) -> int | Request:
    try:
        return read_head(whole, len(whole), LIMITS, last)
    except RequestError as error:
        return error.status


@examples(60)
@given(HEADS)
@example(b"GET / HTTP/1.1\r\nHost: a.test")
def test_any_head_is_read_or_refused(data: bytes) -> None:
    """Nothing but RequestError comes out; what is read has one authority and one framing."""
    whole = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    request = _status_or_request(whole)
    if isinstance(request, int):
        assert 400 <= request < 600
        return
    names = [name for name, _ in request.fields]
    assert names.count(b"host") == 1
    assert names.count(b"content-length") <= 1
    assert b"transfer-encoding" not in names
    assert request.target[:1] == b"/" or request.target == b"*"
    for name, value in request.fields:
        assert name == name.lower()
        assert b"\r" not in value
        assert b"\n" not in value
        assert b"\0" not in value
    check_request_line(whole, LIMITS)


LINES = st.sampled_from(
    (
        b"GET / HTTP/1.1\r\n",
        b"POST /a HTTP/1.1\r\n",
        b"GET http://a.test/ HTTP/1.0\r\n",
        b"CONNECT / HTTP/1.1\r\n",
        b"no request line\r\n",
    )
)
BLOCKS = _words(
    b"Host: a.test\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close, x-a\r\n",
    b"X-A: 1\r\n",
    b"TE: trailers\r\n",
    b"Upgrade: websocket\r\n",
    b" folded\r\n",
    b"X-Long: " + bytes(MAX_LAST_FIELDS).replace(b"\0", b"a") + b"\r\n",
).map(lambda block: block.replace(b"\r\n\r\n", b"\r\n"))


@examples(60)
@given(st.lists(BLOCKS, min_size=1, max_size=3), st.lists(st.tuples(LINES, st.integers(0, 2))))
def test_remembered_fields_change_nothing(
    blocks: list[bytes], requests: list[tuple[bytes, int]]
) -> None:
    """Each request of a connection is read as if it were the first, whatever came before it."""
    last = LastFields()
    for line, which in requests:
        whole = line + blocks[which % len(blocks)] + b"\r\n"
        assert _status_or_request(whole, last) == _status_or_request(whole)
    assert len(last.block) <= MAX_LAST_FIELDS


@examples(60)
@given(HEADS)
def test_line_is_refused_early_only_where_the_head_is(data: bytes) -> None:
    """What is refused at the end of its first line would have been refused at its end."""
    whole = data.partition(b"\r\n\r\n")[0] + b"\r\n\r\n"
    early = 0
    try:
        check_request_line(whole, LIMITS)
    except RequestError as error:
        early = error.status
    assert early in (0, _status_or_request(whole))


def _read_body(body: Body, pieces: list[bytes]) -> tuple[bytes, bytes, bool | int]:
    """Body, what is behind it, and whether it is complete, or the status that refuses it."""
    found: list[bytes] = []
    rest = b""
    try:
        for piece in pieces:
            if body.is_complete:
                rest += piece
                continue
            end = body.feed(piece, 0, found)
            rest += piece[end:]
    except RequestError as error:
        return b"", b"", error.status
    return b"".join(found), rest, body.is_complete


CHUNKS = _words(
    b"5\r\nhello\r\n",
    b"0\r\n",
    b"\r\n",
    b"\n",
    b"\r",
    b"3;a=b\r\nabc\r\n",
    b"ff\r\n",
    b"a: b\r\n",
    b"0\r\n\r\n",
    b"x" * 300,
    b"GET / HTTP/1.1\r\n",
)


@examples(60)
@given(CHUNKS, CUTS)
@example(b"5;" + b"a" * 254 + b"\r\nhello\r\n0\r\n\r\n", [1])
@example(b"5;" + b"a" * 255 + b"\r\nhello\r\n0\r\n\r\n", [258])
@example(b"5;" + b"a" * 400, [])
@example(b"0\r\na:" + b"b" * 9000, [10])
def test_chunked_body_cut_anywhere(data: bytes, at: list[int]) -> None:
    """However it is cut: the same body, the same rest, or the same refusal."""
    whole = _read_body(ChunkedBody(), [data])
    assert _read_body(ChunkedBody(), _cut(data, at)) == whole
    assert _read_body(ChunkedBody(), [data[n : n + 1] for n in range(len(data))]) == whole


@examples(60)
@given(CHUNKS, st.integers(1, 20))
def test_chunked_body_is_never_larger_than_allowed(data: bytes, limit: int) -> None:
    """With a bound, no more than that comes out."""
    body, _, _ = _read_body(ChunkedBody(limit), [data])
    assert len(body) <= limit


@examples(60)
@given(st.binary(max_size=50), st.integers(0, 60), CUTS)
def test_length_body_cut_anywhere(data: bytes, length: int, at: list[int]) -> None:
    """The announced bytes are the body, the others are the rest."""
    body, rest, is_complete = _read_body(LengthBody(length), _cut(data, at))
    assert (body, rest) == (data[:length], data[length:])
    assert is_complete == (len(data) >= length)


Found = list[tuple[bytes, bool] | Control | int]


def _read_frames(pieces: list[bytes]) -> Found:
    """Messages joined, control frames, and the close code of an error at the end."""
    reader = FrameReader(MAX_MESSAGE)
    found: Found = []
    message = b""
    try:
        for piece in pieces:
            for item in reader.feed(piece):
                if isinstance(item, Piece):
                    message += item.data
                    if item.is_last:
                        found.append((message, item.is_text))
                        message = b""
                else:
                    found.append(item)
    except WebSocketError as error:
        found.append(error.code)
    return found


def _masked(first: int, payload: bytes, key: bytes) -> bytes:
    size = len(payload)
    head = bytes((first, 0x80 | size)) if size < 126 else bytes((first, 254)) + size.to_bytes(2)
    mixed = bytes(byte ^ key[n % 4] for n, byte in enumerate(payload))
    return head + key + mixed


FRAMES = st.lists(
    st.builds(
        _masked,
        st.sampled_from([0x00, 0x01, 0x02, 0x80, 0x81, 0x82, 0x88, 0x89, 0x8A]),
        st.sampled_from([b"", b"abc", "\N{EURO SIGN}".encode(), b"\xe2\x82", b"\xac", b"x" * 130])
        | st.binary(max_size=6),
        st.binary(min_size=4, max_size=4),
    )
    | st.binary(max_size=3),
    max_size=8,
).map(b"".join)


@examples(60)
@given(FRAMES, CUTS)
@example(b"\x81\xfe\x00\x05", [2])
@example(b"\x82\xff" + b"\xff" * 8, [3])
def test_frames_cut_anywhere(data: bytes, at: list[int]) -> None:
    """However they are cut: the same messages, control frames and close code."""
    whole = _read_frames([data])
    assert _read_frames(_cut(data, at)) == whole
    assert _read_frames([data[n : n + 1] for n in range(len(data))]) == whole


@examples(60)
@given(st.binary(max_size=125))
def test_close_payload_is_read_or_refused(payload: bytes) -> None:
    """A code and a reason, or a close code; what is read can be sent again."""
    code, reason, refused = 0, "", 0
    try:
        code, reason = read_close(payload)
    except WebSocketError as error:
        refused = error.code
    if refused:
        assert refused in (1002, 1007)
    else:
        assert encode_close(code, reason)[2:] == payload


@examples(60)
@given(st.integers(1000, 4999), st.text(max_size=200))
def test_close_frames_are_control_frames(code: int, reason: str) -> None:
    """Whatever the reason: at most 125 bytes, and UTF-8."""
    data = encode_close(code, reason)
    assert data[1] <= 125
    assert len(data) == 2 + data[1]
    data[4:].decode()
