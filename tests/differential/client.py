"""A visitor that writes bytes as it is told, and reads responses and frames strictly.

No library that would mend what is broken: what RFC 9112 or RFC 6455 does not allow in a response
is a :class:`MalformedError`, which the comparison shows.
"""

from __future__ import annotations

import asyncio
import re
import socket
import struct
from dataclasses import dataclass, field
from typing import Final

from .script import Fields

TIMEOUT: Final = 10.0
"""Seconds without a byte after which a conversation counts as hung, on a loaded machine."""

_STATUS_LINE: Final = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) ([\t -~\x80-\xff]*)").fullmatch
_FIELD: Final = re.compile(
    rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([^\x00-\x08\x0a-\x1f\x7f]*?)[ \t]*"
).fullmatch
_SIZE: Final = re.compile(rb"[0-9a-fA-F]{1,8}").fullmatch
_MASK: Final = b"\x37\xfa\x21\x3d"  # of RFC 6455 section 5.7


class MalformedError(Exception):
    """The server sent what no server may send."""


@dataclass
class Response:
    """One response, final or not.

    Attributes:
        fields: Names in lower case, order and repetitions kept.
        framing: "none", "length", "chunked" or "close".
        is_complete: Its end was seen.
        trailers: Of a chunked body.
        flaws: What RFC 9110 or RFC 9112 forbids, and a lenient reader passes over.
        interim: Status and fields of each 1xx before it.
    """

    status: int = 0
    reason: bytes = b""
    fields: Fields = ()
    body: bytes = b""
    framing: str = "none"
    is_complete: bool = False
    trailers: Fields = ()
    flaws: list[str] = field(default_factory=list)
    interim: list[tuple[int, Fields]] = field(default_factory=list)

    def values(self, name: bytes) -> list[bytes]:
        """The values of a field."""
        return [value for one, value in self.fields if one == name]


@dataclass(frozen=True)
class Frame:
    """One WebSocket frame, or a whole message."""

    opcode: int
    data: bytes


class Visitor:
    """One connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
        self._partial: Frame | None = None  # of a message
        self._sock: socket.socket = writer.get_extra_info("socket")
        self.address: tuple[str, int] = writer.get_extra_info("sockname")[:2]
        self.ends = (*self.address, int(writer.get_extra_info("peername")[1]))

    @classmethod
    async def connect(cls, port: int) -> Visitor:
        """Open a connection to a port of loopback."""
        return cls(*await asyncio.open_connection("127.0.0.1", port, limit=1 << 22))

    # -- writing -----------------------------------------------------------------------------

    async def send(self, data: bytes, cuts: tuple[int, ...] = ()) -> None:
        """Write bytes in pieces; a server that has closed already is no failure of the visitor."""
        start = 0
        for cut in sorted({cut % (len(data) or 1) for cut in cuts} - {0}):
            self._write(data[start:cut])
            start = cut
            await asyncio.sleep(0)
            await asyncio.sleep(0)
        self._write(data[start:])

    def _write(self, data: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(data)

    async def end(self) -> None:
        """Send FIN, and read on."""
        try:
            await self._writer.drain()
            self._writer.write_eof()
        except OSError:
            pass

    async def reset(self) -> None:
        """Leave without a word: RST."""
        try:
            await self._writer.drain()
            self._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        except OSError:
            pass
        self._writer.transport.abort()

    async def close(self) -> None:
        """Close the connection."""
        self._writer.close()
        try:
            await self._writer.wait_closed()
        except OSError:
            pass

    # -- reading -----------------------------------------------------------------------------

    async def is_over(self) -> bool:
        """Whether the server has ended the connection, without one more byte."""
        try:
            return not await self._reader.read(1)
        except OSError:
            return True

    async def wait_ended(self) -> None:
        """Return when the server ends the connection; what it sends before is dropped."""
        try:
            while await self._reader.read(65536):
                pass
        except OSError:
            pass

    async def interim_or_final(self, method: bytes) -> Response | None:
        """Read one head; None where the connection ends before one begins."""
        try:
            block = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            if error.partial:
                raise MalformedError(f"the end inside a head: {error.partial!r}") from None
            return None
        except OSError:
            return None
        return _read_head(block[:-4], method)

    async def response(self, method: bytes) -> Response | None:
        """Read one response with what came before it; None where there is none."""
        interim: list[tuple[int, Fields]] = []
        while True:
            found = await self.interim_or_final(method)
            if found is None:
                return None if not interim else Response(interim=interim)
            if found.status >= 200 or found.status == 101:
                break
            interim.append((found.status, found.fields))
        found.interim = interim
        await self.body(found)
        return found

    async def body(self, response: Response) -> None:
        """Read the body of a response whose head was read, as far as it comes."""
        try:
            if response.framing == "length":
                left = int(response.values(b"content-length")[0])
                while left:
                    piece = await self._reader.read(min(left, 65536))
                    if not piece:
                        return
                    response.body += piece
                    left -= len(piece)
            elif response.framing == "chunked":
                while await self._chunk(response):
                    pass
            elif response.framing == "close":
                while piece := await self._reader.read(65536):
                    response.body += piece
            response.is_complete = True
        except (OSError, asyncio.IncompleteReadError):
            pass

    async def first_bytes(self, response: Response) -> None:
        """Read what has come of a body, and at least one byte."""
        if response.framing == "chunked":
            await self._chunk(response)
        elif response.framing != "none":
            response.body += await self._reader.read(65536)

    async def _chunk(self, response: Response) -> bool:
        line = (await self._reader.readuntil(b"\r\n"))[:-2]
        if not _SIZE(line):
            raise MalformedError(f"the size of a chunk: {line!r}")
        size = int(line, 16)
        if size:
            while size:  # what comes before a cut counts
                piece = await self._reader.read(min(size, 65536))
                if not piece:
                    raise asyncio.IncompleteReadError(b"", size)
                response.body += piece
                size -= len(piece)
            if await self._reader.readexactly(2) != b"\r\n":
                raise MalformedError("a chunk longer than its size")
            return True
        trailers = []
        while (line := (await self._reader.readuntil(b"\r\n"))[:-2]) != b"":
            trailers.append(_read_field(line))
        response.trailers = tuple(trailers)
        return False

    # -- WebSocket ---------------------------------------------------------------------------

    async def frame(self) -> Frame | None:
        """Read up to the end of a message or to a control frame; None where the connection ends.

        A control frame may stand inside a message (RFC 6455, section 5.4).
        """
        while True:
            opcode, data, is_final = await self._one_frame()
            if opcode < 0:
                return None
            if opcode >= 8:
                if not is_final:
                    raise MalformedError("a fragmented control frame")
                return Frame(opcode, data)
            if (opcode == 0) == (self._partial is None):
                raise MalformedError(f"opcode {opcode} out of place")
            if self._partial is not None:
                opcode, data = self._partial.opcode, self._partial.data + data
            self._partial = None if is_final else Frame(opcode, data)
            if is_final:
                return Frame(opcode, data)

    async def _one_frame(self) -> tuple[int, bytes, bool]:
        try:
            first, second = await self._reader.readexactly(2)
            if first & 0x70 or second & 0x80:
                raise MalformedError(f"a reserved bit or a mask: {first:02x} {second:02x}")
            size = second & 0x7F
            if size >= 126:
                width = 2 if size == 126 else 8
                size = int.from_bytes(await self._reader.readexactly(width), "big")
                if size < (126 if width == 2 else 65536):
                    raise MalformedError(f"a size of {size} in {width} bytes")
            data = await self._reader.readexactly(size)
        except (OSError, asyncio.IncompleteReadError) as error:
            if isinstance(error, asyncio.IncompleteReadError) and error.partial:
                raise MalformedError("the end inside a frame") from None
            return -1, b"", True
        opcode = first & 0x0F
        if opcode not in (0, 1, 2, 8, 9, 10) or (opcode >= 8 and size > 125):
            raise MalformedError(f"a frame of opcode {opcode} with {size} bytes")
        return opcode, data, bool(first & 0x80)


def frame(
    opcode: int, data: bytes = b"", *, fin: bool = True, reserved: int = 0, masked: bool = True
) -> bytes:
    """A visitor's frame, right or wrong."""
    size = len(data)
    short = size if size < 126 else 126 if size < 65536 else 127
    head = bytes((fin << 7 | reserved << 4 | opcode, masked << 7 | short))
    if short >= 126:
        head += size.to_bytes(2 if short == 126 else 8, "big")
    if not masked:
        return head + data
    stretched = (_MASK * (size // 4 + 1))[:size]
    mixed = int.from_bytes(data, "big") ^ int.from_bytes(stretched, "big")
    return head + _MASK + mixed.to_bytes(size, "big")


def _read_field(line: bytes) -> tuple[bytes, bytes]:
    match = _FIELD(line)
    if match is None:
        raise MalformedError(f"a field: {line!r}")
    return match[1].lower(), match[2]


def _read_head(block: bytes, method: bytes) -> Response:
    line, *lines = block.split(b"\r\n")
    match = _STATUS_LINE(line)
    if match is None:
        raise MalformedError(f"a status line: {line!r}")
    response = Response(int(match[1]), match[2], tuple(_read_field(one) for one in lines))
    status = response.status
    lengths = response.values(b"content-length")
    codings = response.values(b"transfer-encoding")
    if lengths and not re.fullmatch(rb"[0-9]{1,15}", lengths[0]):
        raise MalformedError(f"a length: {lengths[0]!r}")
    if codings and codings[0].lower() != b"chunked":
        raise MalformedError(f"a transfer coding: {codings[0]!r}")
    if len(lengths) + len(codings) > 1:
        response.flaws.append("framed twice")
    if (status < 200 or status == 204) and (lengths or codings):  # RFC 9110 8.6, RFC 9112 6.1
        response.flaws.append("a framed body where none can be")
    if method == b"HEAD" or status < 200 or status in (204, 304):
        response.framing = "none"
    elif codings:
        response.framing = "chunked"
    else:
        response.framing = "length" if lengths else "close"
    return response
