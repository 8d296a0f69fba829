"""Bytes to an edge and back over a plain socket: no library that would mend what is broken."""

from __future__ import annotations

import contextlib
import os
import re
import socket
from collections.abc import Iterator
from dataclasses import dataclass

HOST = b"shop.example.test"
_KEY = b"dGhlIHNhbXBsZSBub25jZQ=="  # of RFC 6455 section 1.3
_MASK = b"\x37\xfa\x21\x3d"  # of RFC 6455 section 5.7
TIMEOUT = 4.0
"""Seconds without a byte or an end after which a case counts as hung."""

PASS_ID = "svc_hostile"
PASS_SECRET = "that-every-request-of-the-suite-may-show"
PASS: tuple[bytes, ...] = ()
"""The fields of a service token, where the suite runs behind a door."""
if os.environ.get("HOSTILE_DOOR"):
    PASS = (
        f"asgi-tunnel-token-id: {PASS_ID}".encode(),
        f"asgi-tunnel-token-secret: {PASS_SECRET}".encode(),
    )

_STATUS_LINE = re.compile(rb"HTTP/1\.1 ([1-5][0-9][0-9]) [ -~]*")


@dataclass(frozen=True)
class Answer:
    """One HTTP answer, read strictly."""

    status: int
    fields: list[tuple[bytes, bytes]]  # names as sent
    body: bytes

    def field(self, name: bytes) -> bytes | None:
        """The value of the only field of this name, or None."""
        values = [value for one, value in self.fields if one == name]
        assert len(values) <= 1, self
        return values[0] if values else None


class Wire:
    """One connection to an edge.

    Args:
        port: Where the edge listens, on loopback.
        receive_buffer: Bytes of the kernel's receive buffer; small for one who reads slowly.
        source: An address of loopback to come from.
    """

    def __init__(self, port: int, *, receive_buffer: int = 0, source: str = "127.0.0.1") -> None:
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        if receive_buffer:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.sock.settimeout(TIMEOUT)
        self.sock.bind((source, 0))
        self.sock.connect(("127.0.0.1", port))
        self.buffer = b""

    def __enter__(self) -> Wire:
        return self

    def __exit__(self, *exc: object) -> None:
        self.sock.close()

    def send(self, data: bytes) -> None:
        """Send all of it; an edge that has closed already is no failure of the sender."""
        with contextlib.suppress(OSError):
            self.sock.sendall(data)

    def end(self) -> None:
        """Send no more."""
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_WR)

    def _more(self) -> bool:
        piece = self.sock.recv(65536)
        self.buffer += piece
        return bool(piece)

    def line_block(self) -> bytes:
        """Read a head, its empty line included."""
        while b"\r\n\r\n" not in self.buffer:
            if not self._more():
                raise ConnectionResetError(f"ended inside a head: {self.buffer!r}")
        head, _, self.buffer = self.buffer.partition(b"\r\n\r\n")
        return head

    def exactly(self, size: int) -> bytes:
        """Read so many bytes."""
        while len(self.buffer) < size:
            if not self._more():
                raise ConnectionResetError(f"ended {size - len(self.buffer)} bytes early")
        data, self.buffer = self.buffer[:size], self.buffer[size:]
        return data

    def answer(self, method: bytes = b"GET") -> Answer:
        """Read one answer; interim ones are passed over."""
        while True:
            status, fields = read_head(self.line_block())
            if status >= 200 or status == 101:
                break
        return Answer(status, fields, self._body(method, status, fields))

    def _body(self, method: bytes, status: int, fields: list[tuple[bytes, bytes]]) -> bytes:
        lengths = [value for name, value in fields if name == b"content-length"]
        codings = [value for name, value in fields if name == b"transfer-encoding"]
        assert len(lengths) + len(codings) <= 1, fields
        if method == b"HEAD" or status in (101, 204, 304):
            return b""
        if lengths:
            return self.exactly(int(lengths[0]))
        if codings:
            return b"".join(self.chunks())
        return self.rest()

    def chunks(self) -> Iterator[bytes]:
        """Read a chunked body, chunk by chunk."""
        while True:
            while b"\r\n" not in self.buffer:
                if not self._more():
                    raise ConnectionResetError("ended inside a chunk's size")
            line, _, self.buffer = self.buffer.partition(b"\r\n")
            assert re.fullmatch(rb"[0-9a-f]+", line), line
            data = self.exactly(int(line, 16))
            assert self.exactly(2) == b"\r\n"
            if not data:
                return
            yield data

    def rest(self) -> bytes:
        """Read to the end of the connection, by FIN or by reset.

        Raises:
            TimeoutError: There was none.
        """
        with contextlib.suppress(ConnectionError):
            while self._more():
                pass
        data, self.buffer = self.buffer, b""
        return data

    def is_cut(self) -> bool:
        """Read on; whether the connection ends with a reset rather than with a FIN."""
        try:
            while self._more():
                pass
        except ConnectionError:
            return True
        return False

    # -- WebSocket ---------------------------------------------------------------------------

    def upgrade(self, target: bytes = b"/ws", *fields: bytes) -> Answer:
        """Do the handshake of a WebSocket."""
        self.send(handshake(target, *fields))
        status, found = read_head(self.line_block())
        return Answer(status, found, b"")

    def frame(self) -> tuple[int, bytes, bool]:
        """Read one frame: opcode, payload and whether it is final."""
        first, second = self.exactly(2)
        assert not first & 0x70, "a reserved bit"
        assert not second & 0x80, "a masked frame from an edge"
        size = second & 0x7F
        if size == 126:
            size = int.from_bytes(self.exactly(2), "big")
            assert size >= 126
        elif size == 127:
            size = int.from_bytes(self.exactly(8), "big")
            assert size >= 65536
        return first & 0x0F, self.exactly(size), bool(first & 0x80)

    def message(self) -> tuple[int, bytes]:
        """Read one message, or one control frame: opcode and payload."""
        opcode, payload, is_final = self.frame()
        parts = [payload]
        while not is_final:
            more, payload, is_final = self.frame()
            assert more == 0
            parts.append(payload)
        return opcode, b"".join(parts)

    def close_code(self) -> int:
        """Read up to the close frame; 1005 for one without a code, 1006 where none comes."""
        try:
            while True:
                opcode, payload, _ = self.frame()
                if opcode == 8:
                    return int.from_bytes(payload[:2], "big") if payload else 1005
        except ConnectionError:
            return 1006


def read_head(block: bytes) -> tuple[int, list[tuple[bytes, bytes]]]:
    """Status and fields of an answer's head, without its empty line."""
    line, *lines = block.split(b"\r\n")
    match = _STATUS_LINE.fullmatch(line)
    assert match, line
    fields = []
    for one in lines:
        name, colon, value = one.partition(b": ")
        assert colon, one
        assert re.fullmatch(rb"[!#$%&'*+.^_`|~0-9a-z-]+", name), one
        assert not re.search(rb"[\x00-\x08\x0a-\x1f\x7f]", value), one
        fields.append((name, value))
    return int(match[1]), fields


class _Memory(Wire):
    """Reads answers from bytes."""

    def __init__(self, data: bytes) -> None:
        self.buffer = data

    def _more(self) -> bool:
        return False


def split_answers(data: bytes, method: bytes = b"GET") -> list[Answer]:
    """All answers in what a connection sent until its end; anything else in between fails."""
    memory = _Memory(data)
    answers = []
    while memory.buffer:
        answers.append(memory.answer(method))
    return answers


def request(
    method: bytes = b"GET",
    target: bytes = b"/case",
    *fields: bytes,
    host: bytes | None = HOST,
    body: bytes = b"",
) -> bytes:
    """A request: the line, Host, what passes a door, the fields as given, the body as given."""
    lines = [method + b" " + target + b" HTTP/1.1"]
    if host is not None:
        lines.append(b"Host: " + host)
    if host is not None and host.lower().startswith(HOST):
        lines += PASS
    return b"\r\n".join((*lines, *fields, b"", body))


def handshake(target: bytes = b"/ws", *fields: bytes, key: bytes = b"") -> bytes:
    """A WebSocket handshake; ``fields`` come after the usual ones."""
    key = key or _KEY
    return request(
        b"GET",
        target,
        b"Upgrade: websocket",
        b"Connection: Upgrade",
        b"Sec-WebSocket-Version: 13",
        b"Sec-WebSocket-Key: " + key,
        *fields,
    )


def frame(
    opcode: int,
    payload: bytes = b"",
    *,
    fin: bool = True,
    reserved: int = 0,
    masked: bool = True,
    size: int | None = None,
    width: int | None = None,
) -> bytes:
    """A frame, right or wrong.

    Args:
        opcode: 0 to 15.
        payload: As it is meant; masked on the way out.
        fin: The last of its message.
        reserved: The three reserved bits, 0 to 7.
        masked: As RFC 6455 demands of a visitor.
        size: Announced in place of the payload's.
        width: Bytes of the length field after the 7 bits: 0, 2 or 8, in place of the shortest.
    """
    size = len(payload) if size is None else size
    if width is None:
        width = 0 if size < 126 else 2 if size < 65536 else 8
    bit = 0x80 if masked else 0
    short = {0: size, 2: 126, 8: 127}[width]
    head = bytes(((0x80 if fin else 0) | reserved << 4 | opcode, bit | short))
    head += size.to_bytes(width, "big") if width else b""
    if not masked:
        return head + payload
    key = _MASK
    stretched = (key * (len(payload) // 4 + 1))[: len(payload)]
    mixed = int.from_bytes(payload, "big") ^ int.from_bytes(stretched, "big")
    return head + key + mixed.to_bytes(len(payload), "big")


def name_of(value: object) -> str:
    """The id of a case in a table: its name; bytes and numbers make no readable ids."""
    return value if isinstance(value, str) else ""
