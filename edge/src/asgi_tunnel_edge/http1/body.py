"""Cuts a request body out of what a visitor sends, by the framing its head decided."""

from __future__ import annotations

import re
from enum import Enum, auto
from typing import Final, Protocol

from ..errors import RequestError

_SIZE_LINE: Final = re.compile(
    rb"([0-9A-Fa-f]{1,15})((?:[ \t]*;[ \t]*[!#$%&'*+\-.^_`|~0-9A-Za-z]+"
    rb"(?:=(?:[!#$%&'*+\-.^_`|~0-9A-Za-z]+|\"[\t \x21\x23-\x5b\x5d-\x7e\x80-\xff]*\"))?)*)"
).fullmatch
_CRLFS: Final = 4  # bytes: behind a chunk's size, and behind its data
_TRAILER: Final = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+:[^\x00-\x08\x0a-\x1f\x7f]*").fullmatch

MAX_SIZE_LINE: Final = 256
"""Bytes of a chunk's size line, extensions included: nobody uses them but attackers."""

TURN_CHUNKS: Final = 256
"""Chunks taken in one turn of the event loop, before others get theirs: a read holds 43,000 of one
byte, 80 ms of compiled code; these take 0.8 ms."""

MAX_TRAILERS: Final = 8192
"""Bytes of all trailers; they are checked and dropped, ASGI has no place for them."""


class Body(Protocol):
    """A body being read."""

    @property
    def is_complete(self) -> bool:
        """All of it was read."""

    def take_overhead(self) -> int:
        """Return how many chunks were smaller than their own framing, since the last call."""

    def feed(self, data: bytes, start: int, pieces: list[bytes]) -> int:
        """Append the body bytes in ``data[start:]`` to ``pieces``; return where they end.

        Of a body that is not complete the rest is for the next turn of the event loop: more than
        ``TURN_CHUNKS`` are not taken at one time.

        Raises:
            RequestError: The framing is broken.
        """


class LengthBody:
    """A body of an announced size."""

    __slots__ = ("_left",)

    def __init__(self, length: int) -> None:
        self._left = length

    @property
    def is_complete(self) -> bool:
        """All of it was read."""
        return self._left == 0

    def take_overhead(self) -> int:
        """See :class:`Body`; there is no framing."""
        return 0

    def feed(self, data: bytes, start: int, pieces: list[bytes]) -> int:
        """See :class:`Body`."""
        end = min(start + self._left, len(data))
        if end > start:
            pieces.append(data if start == 0 and end == len(data) else data[start:end])
            self._left -= end - start
        return end


class _State(Enum):
    SIZE = auto()  # a size line is due
    DATA = auto()  # chunk data
    DATA_END = auto()  # the CRLF behind chunk data
    TRAILERS = auto()  # trailer lines, up to an empty one
    DONE = auto()


_LINE_LIMITS: Final = {
    _State.SIZE: MAX_SIZE_LINE + 2,
    _State.DATA_END: 2,
    _State.TRAILERS: MAX_TRAILERS + 2,
}


class ChunkedBody:
    """A body in chunks.  Line ends are CRLF and nothing else (T05).

    Args:
        max_size: Bytes of all chunks; 0 for no limit.
    """

    __slots__ = ("_left", "_line", "_max_size", "_overhead", "_size", "_state", "_trailer_size")

    def __init__(self, max_size: int = 0) -> None:
        self._state = _State.SIZE
        self._max_size = max_size
        self._size = 0  # bytes of all chunks announced so far
        self._left = 0  # bytes of the current chunk
        self._line = b""  # an incomplete line
        self._trailer_size = 0
        self._overhead = 0  # chunks smaller than their framing

    @property
    def is_complete(self) -> bool:
        """The last chunk and the trailers were read."""
        return self._state is _State.DONE

    def take_overhead(self) -> int:
        """See :class:`Body`."""
        overhead, self._overhead = self._overhead, 0
        return overhead

    def feed(self, data: bytes, start: int, pieces: list[bytes]) -> int:
        """See :class:`Body`."""
        end = len(data)
        chunks = TURN_CHUNKS
        while start < end and self._state is not _State.DONE:
            if self._state is _State.DATA:
                stop = min(start + self._left, end)
                pieces.append(data[start:stop])
                self._left -= stop - start
                start = stop
                if not self._left:
                    self._state = _State.DATA_END
                continue
            if self._state is _State.SIZE:
                if not chunks:
                    break
                chunks -= 1
            start, line = self._read_line(data, start)
            if line is None:
                break
            self._take_line(line)
        return start

    def _read_line(self, data: bytes, start: int) -> tuple[int, bytes | None]:
        limit = _LINE_LIMITS[self._state]  # bytes, CRLF included
        at = data.find(b"\n", start, start + limit)
        line = self._line + (data[start : at + 1] if at >= 0 else data[start : start + limit])
        if len(line) > limit:
            raise RequestError(400, "the chunked body is malformed")
        if at < 0:
            # The last byte of a line of full length has to be its line feed.
            is_wrong = self._state is _State.DATA_END and line != b"\r"
            if len(line) == limit or is_wrong or b"\r" in line[:-1]:
                raise RequestError(400, "the chunked body is malformed")
            self._line = line
            return len(data), None
        self._line = b""
        if line[-2:] != b"\r\n" or b"\r" in line[:-2]:
            raise RequestError(400, "the chunked body is malformed")
        return at + 1, line[:-2]

    def _take_line(self, line: bytes) -> None:
        if self._state is _State.SIZE:
            match = _SIZE_LINE(line)
            if match is None:
                raise RequestError(400, "a chunk's size is malformed")
            self._left = int(match[1], 16)
            self._size += self._left
            if 0 < self._left < len(line) + _CRLFS:
                self._overhead += 1
            if 0 < self._max_size < self._size:
                raise RequestError(413, f"the body is larger than {self._max_size} bytes")
            self._state = _State.DATA if self._left else _State.TRAILERS
        elif self._state is _State.DATA_END:
            if line:
                raise RequestError(400, "a chunk is longer than its size")
            self._state = _State.SIZE
        elif not line:
            self._state = _State.DONE
        else:
            self._trailer_size += len(line)
            if self._trailer_size > MAX_TRAILERS or not _TRAILER(line):
                raise RequestError(400, "a trailer is malformed, or they are too large")
