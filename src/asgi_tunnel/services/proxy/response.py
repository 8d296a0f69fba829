"""Reads HTTP/1.1 responses, strictly: bytes in, heads and pieces of bodies out; no I/O.

A service is trusted with its own responses and with nothing else: what two readers could take for
two different responses is refused, so that a visitor never gets one that was not meant for it
(RFC 9112 sections 6.3 and 11.2).  Shared by exchanges and WebSocket handshakes; it reads one
response, and says afterwards whether the connection can carry another one.
"""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, NamedTuple

from .errors import ResponseError

Fields = list[tuple[bytes, bytes]]

MAX_HEAD: Final = 64 * 1024
"""Bytes of a response's head, below the 96 KiB that a tunnel carries; servers send 0.5 to 8 KiB."""

MAX_FIELD_LINES: Final = 256
"""Fields of a head; apps send some thirty."""

MAX_INTERIM: Final = 16
"""1xx responses before the final one: 100, and 103 a few times."""

MAX_SIZE_LINE: Final = 256
"""Bytes of a chunk's size line, extensions included: nobody uses them but attackers."""

MAX_TRAILERS: Final = 8192
"""Bytes of all trailers."""

SHORT_BODY: Final = 64 * 1024
"""Bytes of a body for which a head may wait: it fits into what loopback takes at a time."""

MAX_LINES: Final = 256
"""Field lines that are remembered of a service: it has some twenty that come again and again."""

MAX_LINE: Final = 256
"""Bytes of a field line that is remembered: longer ones are cookies and policies."""

_VIEW: Final = 4096
"""Bytes from which a view costs less than a copy."""

_STATUS_LINE: Final = re.compile(
    rb"HTTP/1\.([01]) ([1-5][0-9][0-9])(?: [\t\x20-\x7e\x80-\xff]*)?\r\n"
).match
_FIELD: Final = re.compile(
    rb"([!#$%&'*+\-.^_`|~0-9A-Za-z]++):[ \t]*+([^\x00-\x08\x0a-\x1f\x7f]*+)"
).fullmatch
_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})(?:[ \t]*;[\t\x20-\x7e\x80-\xff]*)?\r\n"
).fullmatch
_BARE_LF: Final = re.compile(rb"(?<!\r)\n").search
_DIGITS: Final = re.compile(rb"[0-9]{1,18}").fullmatch
_BODILESS: Final = frozenset({204, 304})


class ResponseHead(NamedTuple):
    """The head of a response."""

    status: int
    fields: Fields  # names lower-case, wire order and duplicates kept
    connection: list[bytes]  # what Connection lists, lower-case


class FieldLines:
    """Reads the lines of fields; those that come again, as most do, are read once.

    Of one service, so that no other one has a part in what is remembered.
    """

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[bytes, tuple[bytes, bytes]] = {}

    def read(self, line: bytes) -> tuple[bytes, bytes]:
        """Return name and value of a line without its end; the name lower-case.

        Raises:
            ResponseError: It is none.
        """
        field = self._known.get(line)
        if field is not None:
            return field
        match = _FIELD(line)
        if match is None:
            raise ResponseError("a header field of the response is malformed")
        field = (match[1].lower(), match[2].rstrip(b" \t"))
        if len(line) <= MAX_LINE and field[0] != b"set-cookie":  # no secrets are kept
            if len(self._known) >= MAX_LINES:
                self._known.clear()  # what comes again is soon there again
            self._known[line] = field
        return field


class _State(Enum):
    HEAD = auto()  # a head is due: of a 1xx response, or of the final one
    LENGTH = auto()  # a body of an announced size
    SIZE = auto()  # a chunk's size line
    CHUNK = auto()  # a chunk's data
    CHUNK_END = auto()  # the CRLF behind it
    TRAILERS = auto()  # trailer lines, up to an empty one
    CLOSE = auto()  # a body that ends with the connection
    DONE = auto()  # all was read
    UPGRADED = auto()  # 101: what follows is no HTTP


# Shorter names of hot members: docs/adr/0006-compiled-wheels.md, "Two idioms".
_HEAD: Final = _State.HEAD
_LENGTH: Final = _State.LENGTH
_SIZE: Final = _State.SIZE
_CHUNK: Final = _State.CHUNK
_CHUNK_END: Final = _State.CHUNK_END
_TRAILERS: Final = _State.TRAILERS
_CLOSE: Final = _State.CLOSE
_DONE: Final = _State.DONE
_UPGRADED: Final = _State.UPGRADED
_FRAMING: Final = frozenset({b"content-length", b"transfer-encoding", b"connection"})


class ResponseReader:
    """Reads the response to one request.

    Args:
        method: Of the request; HEAD has no body.
        upgrade: The request asked for another protocol: 101 is a response to it.
        lines: Of the service; None: nothing is remembered.

    Attributes:
        head: Of the final response; None until it is read.
        interim: 1xx responses that were not taken yet.
        pieces: Of the body, or of what follows a 101, not taken yet.
        size: Bytes of the pieces.
        trailers: Complete when the body is.
        has_begun: A byte of a response has come.
    """

    __slots__ = (
        "_buffer",
        "_interim_count",
        "_is_head_request",
        "_keeps_alive",
        "_left",
        "_lines",
        "_scanned",
        "_state",
        "_trailer_size",
        "_upgrade",
        "has_begun",
        "head",
        "interim",
        "pieces",
        "size",
        "trailers",
    )

    def __init__(
        self, method: str, *, upgrade: bool = False, lines: FieldLines | None = None
    ) -> None:
        self._lines = FieldLines() if lines is None else lines
        self._is_head_request = method == "HEAD"
        self._upgrade = upgrade
        self._state = _HEAD
        self._buffer = b""  # of a head or a line that is not complete
        self._scanned = 0  # bytes of the buffer that hold no end of a head
        self._left = 0  # bytes of the body or the chunk
        self._interim_count = 0
        self._trailer_size = 0
        self._keeps_alive = True
        self.head: ResponseHead | None = None
        self.interim: list[ResponseHead] = []
        self.pieces: list[bytes | memoryview] = []
        self.size = 0
        self.trailers: Fields = []
        self.has_begun = False

    @property
    def is_complete(self) -> bool:
        """The whole response was read."""
        return self._state is _DONE

    @property
    def lacks_little(self) -> bool:
        """The head is read, and of a body of known length a short rest is missing."""
        return self._state is _LENGTH and self._left <= SHORT_BODY

    @property
    def is_upgraded(self) -> bool:
        """The other protocol has begun."""
        return self._state is _UPGRADED

    @property
    def is_reusable(self) -> bool:
        """The connection can carry another request: the response is complete, and nothing more."""
        return self._state is _DONE and self._keeps_alive and not self._buffer

    def take(self) -> bytes:
        """Return what was read of the body and not taken before."""
        pieces = self.pieces
        if not pieces:
            return b""
        first = pieces[0]
        data = first if len(pieces) == 1 and isinstance(first, bytes) else b"".join(pieces)
        pieces.clear()
        self.size = 0
        return data

    def feed(self, data: bytes) -> None:
        """Take bytes.

        Raises:
            ResponseError: They are no response; the connection has to be closed.
        """
        self.has_begun = True
        if self._buffer:
            data = self._buffer + data
            self._buffer = b""
        at = 0
        size = len(data)
        while at < size:
            state = self._state
            if state is _HEAD:
                at = self._read_head(data, at)
            elif state is _LENGTH or state is _CHUNK:
                at = self._read_counted(data, at)
            elif state is _CLOSE or state is _UPGRADED:
                self._add(data, at, size)
                return
            elif state is _DONE:
                # Nobody asked for more: never taken for the response to the next request.
                self._keeps_alive = False
                return
            else:
                at = self._read_line(data, at)
            if self._buffer:
                return

    def feed_eof(self, *, is_broken: bool = False) -> None:
        """Take the end of the connection.

        Args:
            is_broken: It ended with an error, as a reset: that is not the end of a body (RFC 9112
                section 8).

        Raises:
            ResponseError: The response is not complete.
        """
        self._keeps_alive = False
        if self._state is _CLOSE and not is_broken:
            self._state = _DONE
        elif self._state is _HEAD:
            raise ResponseError("the service closed the connection without a response")
        elif self._state is not _DONE and self._state is not _UPGRADED:
            raise ResponseError("the service closed the connection in the middle of its response")

    # -- heads -------------------------------------------------------------------------------

    def _read_head(self, data: bytes, at: int) -> int:
        """Read one head, if all of it is there; return where it ends."""
        end = data.find(b"\r\n\r\n", at + self._scanned)
        size = (len(data) if end < 0 else end + 4) - at
        if size > MAX_HEAD:
            raise ResponseError(f"the head of the response is larger than {MAX_HEAD} bytes")
        if end < 0:
            self._buffer = data[at:] if at else data
            if _BARE_LF(self._buffer, max(0, self._scanned - 1)):
                raise ResponseError("a line of the response's head ends without a carriage return")
            self._scanned = max(0, size - 3)
            if not b"HTTP/1.".startswith(self._buffer[:7]):
                raise ResponseError("the service does not speak HTTP/1.1")
            return at
        end += 4
        self._scanned = 0
        self._take_head(data, at, end)
        return end

    def _take_head(self, data: bytes, at: int, end: int) -> None:
        line = _STATUS_LINE(data, at, end)
        if line is None:
            raise ResponseError("the status line of the response is malformed")
        status = int(line[2])
        at = line.end()
        # Each line has its end, and the last one is followed by an empty one.
        found = data[at : end - 4].split(b"\r\n") if at < end - 2 else []
        if len(found) > MAX_FIELD_LINES:
            raise ResponseError(f"the response has more than {MAX_FIELD_LINES} header fields")
        fields: Fields = []
        lengths: list[bytes] = []
        codings: list[bytes] = []
        connection: list[bytes] = []
        read = self._lines.read
        for one in found:
            field = read(one)
            fields.append(field)
            name, value = field
            if name not in _FRAMING:
                continue
            if name == b"content-length":
                lengths.append(value)
            elif name == b"transfer-encoding":
                codings.append(value.lower())
            else:
                connection += [one.strip() for one in value.lower().split(b",")]
        is_old = line[1] == b"0"
        if status < 200:
            self._take_interim(ResponseHead(status, fields, connection), is_old=is_old)
            return
        if b"close" in connection or (is_old and b"keep-alive" not in connection):
            self._keeps_alive = False
        self._decide_framing(status, lengths, codings, is_old=is_old)
        self.head = ResponseHead(status, fields, connection)  # only now: a bad one is none

    def _take_interim(self, head: ResponseHead, *, is_old: bool) -> None:
        if is_old:
            raise ResponseError("the service sent a 1xx response in HTTP/1.0")
        if head.status == 101:
            if not self._upgrade:
                raise ResponseError("the service changed the protocol, which nobody asked for")
            self.head = head
            self._state = _UPGRADED
            return
        if any(name in (b"content-length", b"transfer-encoding") for name, _ in head.fields):
            raise ResponseError("a 1xx response of the service has a body")
        self._interim_count += 1
        if self._interim_count > MAX_INTERIM:
            raise ResponseError(f"the service sent more than {MAX_INTERIM} 1xx responses")
        self.interim.append(head)

    def _decide_framing(
        self, status: int, lengths: list[bytes], codings: list[bytes], *, is_old: bool
    ) -> None:
        """Decide once where the body ends (RFC 9112 section 6.3, the strict reading)."""
        if len(lengths) > 1 or (lengths and not _DIGITS(lengths[0])):
            raise ResponseError("the response has a content-length that is no single number")
        if codings and (lengths or is_old or codings != [b"chunked"]):
            raise ResponseError("the response says in several ways where its body ends")
        if self._is_head_request or status in _BODILESS:
            self._state = _DONE
        elif codings:
            self._state = _SIZE
        elif lengths:
            self._left = int(lengths[0])
            self._state = _LENGTH if self._left else _DONE
        else:
            self._keeps_alive = False
            self._state = _CLOSE

    # -- bodies ------------------------------------------------------------------------------

    def _read_counted(self, data: bytes, at: int) -> int:
        """Take bytes of a body or a chunk whose size is known."""
        end = min(at + self._left, len(data))
        self._add(data, at, end)
        self._left -= end - at
        if not self._left:
            self._state = _DONE if self._state is _LENGTH else _CHUNK_END
        return end

    def _add(self, data: bytes, at: int, end: int) -> None:
        """Keep a piece of the body; it is copied once at most, here or when it is taken."""
        size = end - at
        self.size += size
        if size == len(data):
            self.pieces.append(data)
        elif size < _VIEW:
            self.pieces.append(data[at:end])
        else:
            self.pieces.append(memoryview(data)[at:end])

    def _read_line(self, data: bytes, at: int) -> int:
        """Take a line of the chunked framing, if all of it is there."""
        state = self._state
        limit = 2 if state is _CHUNK_END else MAX_SIZE_LINE
        if state is _TRAILERS:
            limit = MAX_TRAILERS - self._trailer_size
        end = data.find(b"\n", at, at + limit) + 1
        if not end:
            if len(data) - at >= limit:
                raise ResponseError("the chunked body of the response is malformed")
            self._buffer = data[at:]
            return at
        line = data[at:end]
        if state is _SIZE:
            match = _SIZE_LINE(line)
            if match is None:
                raise ResponseError("a chunk's size in the response is malformed")
            self._left = int(match[1], 16)
            self._state = _CHUNK if self._left else _TRAILERS
        elif state is _CHUNK_END:
            if line != b"\r\n":
                raise ResponseError("a chunk of the response is longer than its size")
            self._state = _SIZE
        elif line == b"\r\n":
            self._state = _DONE
        else:
            if not line.endswith(b"\r\n"):
                raise ResponseError("a trailer of the response is malformed")
            self._trailer_size += len(line)
            self.trailers.append(self._lines.read(line[:-2]))
        return end
