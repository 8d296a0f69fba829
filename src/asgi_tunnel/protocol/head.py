"""Request and response heads as they travel in OPEN and HEAD (docs/protocol.md section 5).

A head is text lines joined by LF: a fixed number of lines, then name and value of each field in
turn.  One ``join`` and one ``split`` do the work in C; LF can stand in no line, which both ends
check, so a value can never be taken for a name.
"""

from __future__ import annotations

from struct import Struct
from sys import intern
from typing import Final, NamedTuple

from ..errors import ProtocolError
from .codes import GoawayCode
from .frames import Buffer, StreamKind
from .limits import MAX_FIELDS, MAX_HEAD_SIZE

Fields = list[tuple[bytes, bytes]]
"""Header fields: names lower-case, values without outer white space, wire order kept."""

_REQUEST_LINES: Final = 5
_ARRIVAL_PARTS: Final = 6
_MAX_ARRIVALS: Final = 4096  # of as many visitors' connections
_OPEN: Final = Struct(">BI")  # kind, bytes of the head
_OPEN_SIZE: Final = 5
_HEAD: Final = Struct(">HI")  # status, bytes of the fields
_HEAD_SIZE: Final = 6
_pack_open: Final = _OPEN.pack
_pack_head: Final = _HEAD.pack
_unpack_open: Final = _OPEN.unpack_from
_unpack_head: Final = _HEAD.unpack_from
_MAX_PORT: Final = 65_535
_SECURE: Final = frozenset({b"https", b"wss"})
_KINDS: Final = {int(kind): kind for kind in StreamKind}
_new: Final = tuple.__new__  # docs/adr/0006-compiled-wheels.md, "Two idioms"
_arrivals: dict[bytes, Arrival] = {}  # by their lines


DURATION: Final = b":duration"
"""Name of a line that is no field: asks, in a request head, how long the app takes; and says it, in
the response head, in microseconds.  No visitor and no app can send it: it is no token."""

ASK_DURATION: Final = (DURATION, b"")
"""The line of a request head that asks (docs/protocol.md section 5.1)."""

VISITOR: Final = b":visitor"
"""Name of the line of a request head that says who the visitor is (docs/protocol.md section 5.2);
no field either, and the last one."""

INSPECT: Final = b":inspect"
"""Name of the line of a request head that is for the inspector of the app's side, and not for its
app; the value says who asks (docs/protocol.md section 5.3). Only to a peer that knows it."""

PEER: Final = b":peer"
"""Name of the line of a head that is between two nodes of an edge or cluster, and reaches no app
(docs/protocol.md section 12); the last one."""

LINE_MARK: Final = b":"
"""What the names of lines begin with that are no fields: they stand behind all fields."""


class Arrival:
    """How requests reach the edge: the same for all of one connection.

    One line of a head, so that it is written once for a connection, and read once.

    Args:
        scheme: ``http``, ``https``, ``ws`` or ``wss``.
        http_version: ``1.0``, ``1.1`` or ``2``.
        peer_host: Address of the visitor.
        peer_port: Of the visitor.
        host: Address of the edge's listener.
        port: Of the edge's listener.

    Attributes:
        line: The line.
        client: The visitor's address, as ASGI has it.
        server: The listener's address, as ASGI has it.

    Raises:
        HeadError: A part holds a space, or a port is none.
    """

    __slots__ = (
        "client",
        "http_version",
        "is_secure",
        "line",
        "peer_host",
        "scheme",
        "server",
    )

    def __init__(
        self,
        scheme: bytes,
        http_version: bytes,
        peer_host: bytes,
        peer_port: int,
        host: bytes,
        port: int,
    ) -> None:
        parts = (scheme, http_version, peer_host, peer_port, host, port)
        self.line = b"%s %s %s %d %s %d" % parts
        if self.line.count(b" ") != _ARRIVAL_PARTS - 1:
            raise HeadError("a part of a request's arrival holds a space")
        if not 0 <= peer_port <= _MAX_PORT or not 0 <= port <= _MAX_PORT:
            raise HeadError(f"port {peer_port} or {port} is not between 0 and {_MAX_PORT}")
        self.peer_host = peer_host
        # One object for all who keep it: there are a handful of each.
        self.scheme = intern(scheme.decode("latin-1"))
        self.http_version = intern(http_version.decode("latin-1"))
        self.is_secure = scheme in _SECURE
        self.client = (peer_host.decode("latin-1"), peer_port)
        self.server = (host.decode("latin-1"), port)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Arrival) and self.line == other.line

    def __hash__(self) -> int:
        return hash(self.line)

    def __repr__(self) -> str:
        return f"Arrival({self.line!r})"


class RequestHead(NamedTuple):
    """What a visitor asked for, as the edge saw it."""

    method: bytes  # as sent; b"GET" for a WebSocket; empty for bytes
    target: bytes  # origin-form: raw path and query, byte for byte; or b"*"
    arrival: Arrival
    request_id: bytes  # made by the edge, printable ASCII
    hostname: bytes  # the registered name that was matched, lower-case
    fields: Fields


class ResponseHead(NamedTuple):
    """The head of a response."""

    status: int  # 100 to 599; 101 accepts a WebSocket
    fields: Fields


class HeadError(ProtocolError):
    """A head that cannot be read or must not be written."""

    def __init__(self, sentence: str) -> None:
        super().__init__(GoawayCode.FRAME_ERROR, sentence)


def add_visitor(head: RequestHead, line: bytes) -> RequestHead:
    """Return a head that says who the visitor is.

    Args:
        head: Stays as it is: another session may not understand the line.
        line: JSON, without LF.

    Source: docs/protocol.md section 5.2.
    """
    method, target, arrival, request_id, hostname, fields = head
    fields = [*fields, (VISITOR, line)]
    return _new(RequestHead, (method, target, arrival, request_id, hostname, fields))


def add_peer(head: RequestHead, digest: bytes) -> RequestHead:
    """Return a head for another node, which serves it from its own sessions only.

    Args:
        head: Stays as it is.
        digest: Of the app's policy that this node holds; ``-``: it has none.

    Source: docs/protocol.md section 12.
    """
    method, target, arrival, request_id, hostname, fields = head
    fields = [*fields, (PEER, digest)]
    return _new(RequestHead, (method, target, arrival, request_id, hostname, fields))


def fit_lines(fields: Fields, *, duration: bool, visitor: bool) -> Fields:
    """Return a request's fields without the lines that a session does not understand.

    Args:
        fields: Stay as they are.
        duration: It says how long its app took.
        visitor: It understands who a visitor is.
    """
    if not fields or not fields[-1][0].startswith(LINE_MARK):
        return fields
    return [
        pair
        for pair in fields
        if (duration or pair[0] != DURATION) and (visitor or pair[0] != VISITOR)
    ]


class Lines(NamedTuple):
    """What stands behind the fields of a request head."""

    asks_duration: bool  # the edge asks how long the app takes
    visitor: bytes  # who the visitor is; empty: nobody has asked
    inspect: bytes | None  # for the inspector: who asks; None: for the app


def take_lines(fields: Fields) -> Lines:
    """Take the lines that are no fields out of a request's; one of an unknown name is dropped.

    Called where the last name begins with :data:`LINE_MARK`.

    Raises:
        HeadError: There are two visitors.
    """
    asks, visitor, inspect = False, b"", None
    while fields and fields[-1][0].startswith(LINE_MARK):
        name, value = fields.pop()
        if name == DURATION:
            asks = True
        elif name == VISITOR:
            if visitor:
                raise HeadError("request head says twice who the visitor is")
            visitor = value
        elif name == INSPECT:
            inspect = value
    return _new(Lines, (asks, visitor, inspect))


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
    # All at once: an attribute of a named tuple costs more than an item of a plain one.
    method, target, arrival, request_id, hostname, fields = head
    block = _join_fields([method, target, arrival.line, request_id, hostname], fields)
    return _pack_open(kind, len(block)) + block


def decode_request(payload: Buffer) -> tuple[StreamKind, RequestHead, int]:
    """Return kind, head and the offset of the first body byte of an OPEN payload.

    Raises:
        HeadError: The payload has the wrong form.
    """
    if len(payload) < _OPEN_SIZE:
        raise HeadError(f"OPEN of {len(payload)} bytes has no head")
    number, size = _unpack_open(payload)
    end = _OPEN_SIZE + size
    if end > len(payload) or size > MAX_HEAD_SIZE:
        raise HeadError(f"OPEN of {len(payload)} bytes announces a head of {size} bytes")
    lines = bytes(payload[_OPEN_SIZE:end]).split(b"\n")
    if len(lines) < _REQUEST_LINES:
        raise HeadError(f"request head has {len(lines)} lines, fewer than {_REQUEST_LINES}")
    kind = _KINDS.get(number)
    if kind is None:
        raise HeadError(f"OPEN has an unknown kind of stream: {number}")
    method, target, line, request_id, hostname = lines[:_REQUEST_LINES]
    arrival = _arrivals.get(line)
    if arrival is None:
        arrival = _read_arrival(line)
    fields = _pair(lines, _REQUEST_LINES)
    return kind, _new(RequestHead, (method, target, arrival, request_id, hostname, fields)), end


def _read_arrival(line: bytes) -> Arrival:
    parts = line.split(b" ")
    if len(parts) != _ARRIVAL_PARTS:
        raise HeadError(f"request head has {len(parts)} parts in its third line, not 6")
    scheme, version, peer_host, peer_port, host, port = parts
    try:
        arrival = Arrival(scheme, version, peer_host, int(peer_port), host, int(port))
    except ValueError:
        raise HeadError("request head has a port that is no number") from None
    if arrival.line != line:
        raise HeadError("request head has a port that is not in its shortest form")
    if len(_arrivals) >= _MAX_ARRIVALS:
        _arrivals.clear()
    _arrivals[line] = arrival
    return arrival


def encode_response(head: ResponseHead) -> bytes:
    """Return the start of a HEAD payload: status, length of the fields, fields.

    Raises:
        HeadError: The status is none, a field holds LF, or the head is larger than
            ``MAX_HEAD_SIZE`` or ``MAX_FIELDS``.
    """
    if not 100 <= head.status <= 599:
        raise HeadError(f"status {head.status} is not between 100 and 599")
    block = encode_fields(head.fields)
    return _pack_head(head.status, len(block)) + block


def decode_response(payload: Buffer) -> tuple[ResponseHead, int]:
    """Return the head and the offset of the first body byte of a HEAD payload.

    Raises:
        HeadError: The payload has the wrong form.
    """
    if len(payload) < _HEAD_SIZE:
        raise HeadError(f"HEAD of {len(payload)} bytes has no status")
    status, size = _unpack_head(payload)
    end = _HEAD_SIZE + size
    if end > len(payload) or size > MAX_HEAD_SIZE:
        raise HeadError(f"HEAD of {len(payload)} bytes announces fields of {size} bytes")
    if not 100 <= status <= 599:
        raise HeadError(f"status {status} is not between 100 and 599")
    return _new(ResponseHead, (status, decode_fields(payload[_HEAD_SIZE:end]))), end


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
