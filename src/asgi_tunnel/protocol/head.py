"""Request and response heads as they travel in OPEN and HEAD (docs/protocol.md section 5).

A head is text lines joined by LF: a fixed number of lines, then name and value of each field in
turn.  One ``join`` and one ``split`` do the work in C; LF can stand in no line, which both ends
check, so a value can never be taken for a name.
"""

from __future__ import annotations

from struct import Struct
from typing import Final, NamedTuple

from ..errors import ProtocolError
from .codes import GoawayCode
from .frames import Buffer, StreamKind
from .limits import MAX_FIELDS, MAX_HEAD_SIZE

Fields = list[tuple[bytes, bytes]]
"""Header fields: names lower-case, values without outer white space, wire order kept."""

_REQUEST_LINES: Final = 10
_OPEN: Final = Struct(">BI")  # kind, bytes of the head
_HEAD: Final = Struct(">HI")  # status, bytes of the fields
_KINDS: Final = {int(kind): kind for kind in StreamKind}
_new: Final = tuple.__new__  # skips a named tuple's own constructor, 0.5 us


class RequestHead(NamedTuple):
    """What a visitor asked for, as the edge saw it."""

    method: bytes  # as sent; b"GET" for a WebSocket; empty for bytes
    target: bytes  # origin-form: raw path and query, byte for byte; or b"*"
    scheme: bytes  # b"http", b"https", b"ws" or b"wss"
    http_version: bytes  # b"1.0", b"1.1" or b"2"
    peer_host: bytes  # address of the visitor
    peer_port: int
    host: bytes  # address of the edge's listener
    port: int
    request_id: bytes  # made by the edge, printable ASCII
    hostname: bytes  # the registered name that was matched, lower-case
    fields: Fields


class ResponseHead(NamedTuple):
    """What the app answers."""

    status: int  # 100 to 599; 101 accepts a WebSocket
    fields: Fields


class HeadError(ProtocolError):
    """A head that cannot be read or must not be written."""

    def __init__(self, sentence: str) -> None:
        super().__init__(GoawayCode.FRAME_ERROR, sentence)


def _join_fields(lines: list[bytes], fields: Fields) -> bytes:
    if len(fields) > MAX_FIELDS:
        raise HeadError(f"head of {len(fields)} fields exceeds limit of {MAX_FIELDS} fields")
    expected = len(lines) - 1 + 2 * len(fields)
    for pair in fields:
        lines += pair
    block = b"\n".join(lines)
    if block.count(b"\n") != expected:
        raise HeadError("head field holds a line feed")
    if len(block) > MAX_HEAD_SIZE:
        raise HeadError(f"head of {len(block)} bytes exceeds limit of {MAX_HEAD_SIZE} bytes")
    return block


def _pair(lines: list[bytes], first: int) -> Fields:
    if (len(lines) - first) % 2 or len(lines) - first > 2 * MAX_FIELDS:
        raise HeadError(f"head of {len(lines)} lines has an odd or too large number of them")
    return [(lines[at], lines[at + 1]) for at in range(first, len(lines), 2)]


def encode_request(kind: StreamKind, head: RequestHead) -> bytes:
    """Return the start of an OPEN payload: kind, length of the head, head.

    Raises:
        HeadError: A line holds LF, or the head is larger than ``MAX_HEAD_SIZE`` or
            ``MAX_FIELDS``.
    """
    block = _join_fields(
        [
            head.method,
            head.target,
            head.scheme,
            head.http_version,
            head.peer_host,
            b"%d" % head.peer_port,
            head.host,
            b"%d" % head.port,
            head.request_id,
            head.hostname,
        ],
        head.fields,
    )
    return _OPEN.pack(kind, len(block)) + block


def decode_request(payload: Buffer) -> tuple[StreamKind, RequestHead, int]:
    """Return kind, head and the offset of the first body byte of an OPEN payload.

    Raises:
        HeadError: The payload has the wrong form.
    """
    if len(payload) < _OPEN.size:
        raise HeadError(f"OPEN of {len(payload)} bytes has no head")
    number, size = _OPEN.unpack_from(payload)
    end = _OPEN.size + size
    if end > len(payload) or size > MAX_HEAD_SIZE:
        raise HeadError(f"OPEN of {len(payload)} bytes announces a head of {size} bytes")
    lines = bytes(payload[_OPEN.size : end]).split(b"\n")
    if len(lines) < _REQUEST_LINES:
        raise HeadError(f"request head has {len(lines)} lines, fewer than {_REQUEST_LINES}")
    try:
        kind = _KINDS[number]
        peer_port, port = int(lines[5]), int(lines[7])
    except (KeyError, ValueError):
        raise HeadError("request head has an unknown kind or a port that is no number") from None
    method, target, scheme, version, peer, _, host, _, request_id, hostname = lines[:10]
    fields = _pair(lines, _REQUEST_LINES)
    # (`_new` skips the NamedTuple's own constructor, 0.5 of 2.5 microseconds.)
    head = _new(
        RequestHead,
        (
            method,
            target,
            scheme,
            version,
            peer,
            peer_port,
            host,
            port,
            request_id,
            hostname,
            fields,
        ),
    )
    return kind, head, end


def encode_response(head: ResponseHead) -> bytes:
    """Return the start of a HEAD payload: status, length of the fields, fields.

    Raises:
        HeadError: The status is none, a field holds LF, or the head is larger than
            ``MAX_HEAD_SIZE`` or ``MAX_FIELDS``.
    """
    if not 100 <= head.status <= 599:
        raise HeadError(f"status {head.status} is not between 100 and 599")
    block = encode_fields(head.fields)
    return _HEAD.pack(head.status, len(block)) + block


def decode_response(payload: Buffer) -> tuple[ResponseHead, int]:
    """Return the head and the offset of the first body byte of a HEAD payload.

    Raises:
        HeadError: The payload has the wrong form.
    """
    if len(payload) < _HEAD.size:
        raise HeadError(f"HEAD of {len(payload)} bytes has no status")
    status, size = _HEAD.unpack_from(payload)
    end = _HEAD.size + size
    if end > len(payload) or size > MAX_HEAD_SIZE:
        raise HeadError(f"HEAD of {len(payload)} bytes announces fields of {size} bytes")
    if not 100 <= status <= 599:
        raise HeadError(f"status {status} is not between 100 and 599")
    return _new(ResponseHead, (status, decode_fields(payload[_HEAD.size : end]))), end


def encode_fields(fields: Fields) -> bytes:
    """Return fields as lines: a block of 0 bytes for none.

    Raises:
        HeadError: A field holds LF, or the block is larger than ``MAX_HEAD_SIZE`` or
            ``MAX_FIELDS``.
    """
    if not fields:
        return b""
    return _join_fields([], fields)


def decode_fields(block: Buffer) -> Fields:
    """Return the fields of a block.

    Raises:
        HeadError: The number of lines is odd or too large.
    """
    if not len(block):
        return []
    return _pair(bytes(block).split(b"\n"), 0)
