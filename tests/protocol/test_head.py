from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.head import (
    ASK_DURATION,
    VISITOR,
    Arrival,
    Fields,
    HeadError,
    RequestHead,
    ResponseHead,
    _arrivals,
    add_visitor,
    decode_fields,
    decode_request,
    decode_response,
    encode_fields,
    encode_request,
    encode_response,
    take_lines,
)
from asgi_tunnel.protocol.limits import MAX_FIELDS, MAX_HEAD_SIZE

from .pair import OPEN_PAYLOAD, REQUEST, examples

VECTORS = json.loads((Path(__file__).parent / "vectors" / "heads.json").read_text())
LINE = st.binary(max_size=20).map(lambda line: line.replace(b"\n", b""))
PART = LINE.map(lambda line: line.replace(b" ", b""))
PORT = st.integers(0, 65_535)
FIELDS: st.SearchStrategy[Fields] = st.lists(st.tuples(LINE, LINE), max_size=6)
REQUESTS = st.builds(
    RequestHead,
    method=LINE,
    target=LINE,
    arrival=st.builds(Arrival, PART, PART, PART, PORT, PART, PORT),
    request_id=LINE,
    hostname=LINE,
    fields=FIELDS,
)


def as_fields(pairs: list[list[str]]) -> Fields:
    """Fields of a vector."""
    return [(name.encode("latin-1"), value.encode("latin-1")) for name, value in pairs]


def as_request(values: dict[str, Any]) -> RequestHead:
    """A request head of a vector."""
    parts: list[Any] = [
        part.encode("latin-1") if isinstance(part, str) else part for part in values["arrival"]
    ]
    lines: dict[str, Any] = {
        key: value.encode("latin-1") for key, value in values.items() if isinstance(value, str)
    }
    return RequestHead(**lines, arrival=Arrival(*parts), fields=as_fields(values["fields"]))


@pytest.mark.parametrize("vector", VECTORS["requests"], ids=lambda vector: vector["name"])
def test_request_vectors(vector: dict[str, Any]) -> None:
    """The bytes of an OPEN payload are what they were when the format was frozen."""
    wire = bytes.fromhex(vector["wire"])
    kind, head = StreamKind[vector["kind"]], as_request(vector["head"])
    assert encode_request(kind, head) == wire
    assert decode_request(wire + b"body") == (kind, head, len(wire))


@pytest.mark.parametrize("vector", VECTORS["responses"], ids=lambda vector: vector["name"])
def test_response_vectors(vector: dict[str, Any]) -> None:
    """The bytes of a HEAD payload are what they were when the format was frozen."""
    wire = bytes.fromhex(vector["wire"])
    head = ResponseHead(vector["status"], as_fields(vector["fields"]))
    assert encode_response(head) == wire
    assert decode_response(wire + b"body") == (head, len(wire))


@examples(50)
@given(kind=st.sampled_from(StreamKind), head=REQUESTS, body=st.binary(max_size=9))
def test_request_round_trip(kind: StreamKind, head: RequestHead, body: bytes) -> None:
    """A request head comes back byte for byte, duplicates and order kept, and so does the body."""
    payload = encode_request(kind, head) + body
    found, decoded, start = decode_request(memoryview(payload))
    assert (found, decoded, payload[start:]) == (kind, head, body)


@examples(50)
@given(status=st.integers(100, 599), fields=FIELDS, body=st.binary(max_size=9))
def test_response_round_trip(status: int, fields: Fields, body: bytes) -> None:
    """A response head comes back byte for byte, and so do trailers."""
    payload = encode_response(ResponseHead(status, fields)) + body
    head, start = decode_response(memoryview(payload))
    assert (head, payload[start:]) == (ResponseHead(status, fields), body)
    assert decode_fields(memoryview(encode_fields(fields))) == fields


@pytest.mark.parametrize("place", ["method", "target", "request_id"])
def test_line_feed_in_a_line(place: str) -> None:
    """A line feed in a line of the head is refused before it can become a field."""
    changed: dict[str, Any] = {place: b"a\nhost"}
    with pytest.raises(HeadError, match="line feed"):
        encode_request(StreamKind.HTTP, REQUEST._replace(**changed))


def test_space_in_an_arrival() -> None:
    """A space in a part of the arrival is refused before it can become another part."""
    with pytest.raises(HeadError, match="space"):
        Arrival(b"http", b"1.1", b"192.0.2.7 1", 50_000, b"192.0.2.1", 443)


def test_line_feed_in_an_arrival() -> None:
    """A line feed in the arrival is refused before it can become a line."""
    arrival = Arrival(b"http", b"1.1", b"192.0.2.7\nx", 50_000, b"192.0.2.1", 443)
    with pytest.raises(HeadError, match="line feed"):
        encode_request(StreamKind.HTTP, REQUEST._replace(arrival=arrival))


def test_arrivals_are_read_once() -> None:
    """Requests of one connection share what was made of their arrival, up to a bound."""
    payload = encode_request(StreamKind.HTTP, REQUEST)
    _, first, _ = decode_request(payload)
    _, second, _ = decode_request(payload)
    assert first.arrival is second.arrival
    for port in range(10_000):
        arrival = Arrival(b"http", b"1.1", b"192.0.2.7", port, b"192.0.2.1", 443)
        payload = encode_request(StreamKind.HTTP, REQUEST._replace(arrival=arrival))
        assert decode_request(payload)[1].arrival == arrival
    assert len(_arrivals) <= 4096


@pytest.mark.parametrize("field", [(b"a\nb", b""), (b"a", b"b\nset-cookie\nc")])
def test_line_feed_in_a_field(field: tuple[bytes, bytes]) -> None:
    """A line feed in a name or value is refused, in a head and in trailers."""
    with pytest.raises(HeadError, match="line feed"):
        encode_response(ResponseHead(200, [field]))
    with pytest.raises(HeadError, match="line feed"):
        encode_fields([(b"x", b"y"), field])


def test_head_size() -> None:
    """A head of exactly the limit passes, one byte more is refused by the sender."""
    fits = [(b"a", bytes(MAX_HEAD_SIZE - 2))]
    assert decode_fields(encode_fields(fits)) == fits
    with pytest.raises(HeadError, match="head of 98305 bytes exceeds limit of 98304 bytes"):
        encode_fields([(b"a", bytes(MAX_HEAD_SIZE - 1))])


def test_number_of_fields() -> None:
    """What the peer would refuse, the sender refuses first: one field more than the limit."""
    fits = [(b"a", b"")] * MAX_FIELDS
    assert decode_fields(encode_fields(fits)) == fits
    _, head, _ = decode_request(encode_request(StreamKind.HTTP, REQUEST._replace(fields=fits)))
    assert head.fields == fits
    many = [*fits, (b"a", b"")]
    with pytest.raises(HeadError, match="1025 fields"):
        encode_fields(many)
    with pytest.raises(HeadError, match="1025 fields"):
        encode_request(StreamKind.HTTP, REQUEST._replace(fields=many))
    with pytest.raises(HeadError, match="odd or too large"):
        decode_fields(b"\n".join([b""] * 2 * len(many)))


@pytest.mark.parametrize("status", [-1, 0, 99, 600, 65_536])
def test_status_sent(status: int) -> None:
    """A status that the peer would refuse is refused by the sender: it ends no session."""
    with pytest.raises(HeadError, match="not between 100 and 599"):
        encode_response(ResponseHead(status, []))


def response(status: int, block: bytes, *, size: int | None = None) -> bytes:
    """A HEAD payload, perhaps with a wrong length."""
    announced = len(block) if size is None else size
    return status.to_bytes(2, "big") + announced.to_bytes(4, "big") + block


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"", "HEAD of 0 bytes"),
        (b"\x00\xc8\x00\x00\x00", "HEAD of 5 bytes"),
        (response(200, b"a\nb", size=4), "announces fields of 4 bytes"),
        (response(200, bytes(MAX_HEAD_SIZE + 1)), "announces fields of 98305 bytes"),
        (response(99, b""), "status 99 is not"),
        (response(600, b""), "status 600 is not"),
        (response(200, b"a"), "odd"),
        (response(200, b"a\nb\nc"), "odd"),
    ],
)
def test_malformed_response(payload: bytes, sentence: str) -> None:
    """A HEAD of the wrong form is a FRAME_ERROR that says what came."""
    with pytest.raises(HeadError, match=sentence) as error:
        decode_response(payload)
    assert error.value.code == GoawayCode.FRAME_ERROR


def request(block: bytes, *, kind: int = 1, size: int | None = None) -> bytes:
    """An OPEN payload, perhaps with a wrong length."""
    announced = len(block) if size is None else size
    return bytes((kind,)) + announced.to_bytes(4, "big") + block


BLOCK = OPEN_PAYLOAD[5:]


@pytest.mark.parametrize(
    ("payload", "sentence"),
    [
        (b"", "OPEN of 0 bytes"),
        (b"\x01\x00\x00\x00", "OPEN of 4 bytes"),
        (request(BLOCK, size=len(BLOCK) + 1), "announces a head of"),
        (request(bytes(MAX_HEAD_SIZE + 1)), "announces a head of 98305 bytes"),
        (request(b"\n" * 3), "4 lines, fewer than 5"),
        (request(b"\n" * 4), "1 parts in its third line, not 6"),
        (request(BLOCK.replace(b" 443", b" 443 1")), "7 parts in its third line, not 6"),
        (request(BLOCK, kind=0), "unknown kind"),
        (request(BLOCK, kind=4), "unknown kind"),
        (request(BLOCK.replace(b"443", b"x")), "port that is no number"),
        (request(BLOCK.replace(b"443", b"")), "port that is no number"),
        (request(BLOCK.replace(b"443", b"0443")), "not in its shortest form"),
        (request(BLOCK.replace(b"443", b"+443")), "not in its shortest form"),
        (request(BLOCK.replace(b"443", b"65536")), "not between 0 and 65535"),
        (request(BLOCK.replace(b"443", b"-1")), "not between 0 and 65535"),
        (request(BLOCK + b"\nodd"), "odd"),
    ],
)
def test_malformed_request(payload: bytes, sentence: str) -> None:
    """An OPEN of the wrong form is a FRAME_ERROR that says what came."""
    with pytest.raises(HeadError, match=sentence) as error:
        decode_request(payload)
    assert error.value.code == GoawayCode.FRAME_ERROR


ANNA = b'{"subject":"user:anna"}'


@pytest.mark.parametrize(
    ("lines", "asks", "visitor"),
    [
        ([], False, b""),
        ([ASK_DURATION], True, b""),
        ([(VISITOR, ANNA)], False, ANNA),
        ([ASK_DURATION, (VISITOR, ANNA)], True, ANNA),
        ([(VISITOR, ANNA), ASK_DURATION], True, ANNA),
        ([(b":later", b"x"), (VISITOR, ANNA), (b":", b"")], False, ANNA),
    ],
)
def test_lines_are_taken_from_the_end(lines: Fields, asks: bool, visitor: bytes) -> None:
    """Both are read in any order, what is unknown is dropped, and the fields are left."""
    fields = [(b"host", b"a"), (b"", b"no name"), *lines]
    assert take_lines(fields) == (asks, visitor, None)
    assert fields == [(b"host", b"a"), (b"", b"no name")]


def test_two_visitors() -> None:
    """A head that says twice who it is says nothing that can be relied on."""
    with pytest.raises(HeadError, match="says twice who the visitor is"):
        take_lines([(VISITOR, ANNA), (VISITOR, b'{"subject":"user:ben"}')])


def test_a_visitor_is_added_to_one_head() -> None:
    """The head itself stays as it is: another session may not understand the line."""
    before = list(REQUEST.fields)
    head = add_visitor(REQUEST, ANNA)
    assert head.fields == [*before, (VISITOR, ANNA)]
    assert head._replace(fields=before) == REQUEST
    assert REQUEST.fields == before
    with pytest.raises(HeadError, match="line feed"):
        encode_request(StreamKind.HTTP, add_visitor(REQUEST, b'{"subject":\n"user:anna"}'))
