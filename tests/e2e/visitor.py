"""Visitors on a raw socket: they read when told, leave as told, and see every byte."""

from __future__ import annotations

import json
import logging
import os
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from .harness import Edge

_log = logging.getLogger("tests.figures")

READ_SIZE = 256 * 1024

TIMEOUT = 20.0
"""Seconds one read or write of a visitor may take."""

Field = tuple[str, str]


@dataclass
class Head:
    """The head of a response."""

    status: int
    fields: list[Field]

    def get(self, name: str) -> str | None:
        """Return the first field of that name, lower-case."""
        return next((value for one, value in self.fields if one == name), None)


class Visitor:
    """One connection to an edge.

    Args:
        edge: Where to connect.
        hostname: Sent as ``Host``.
        buffer: ``SO_RCVBUF`` and ``SO_SNDBUF``; the kernel's own choice otherwise.
    """

    def __init__(
        self, edge: Edge, hostname: str = "shop.example.test", *, buffer: int | None = None
    ) -> None:
        self.hostname = hostname
        self.sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self.sock.settimeout(TIMEOUT)
        if buffer is not None:
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, buffer)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, buffer)
        self.sock.connect(("127.0.0.1", edge.port))
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._kept = bytearray()  # read and not yet used

    # -- sending -----------------------------------------------------------------------------

    def ask(
        self,
        path: str,
        *fields: Field,
        method: str = "GET",
        body: bytes = b"",
        version: str = "1.1",
    ) -> None:
        """Send a request head, and the beginning of its body."""
        lines = [f"{method} {path} HTTP/{version}", f"Host: {self.hostname}"]
        lines += [f"{name}: {value}" for name, value in fields]
        self.sock.sendall("\r\n".join([*lines, "", ""]).encode() + body)

    def send_chunk(self, data: bytes) -> None:
        """Send one chunk of a chunked body; the last one is empty."""
        self.sock.sendall(b"%x\r\n%b\r\n" % (len(data), data))

    # -- reading -----------------------------------------------------------------------------

    def read_until(self, mark: bytes) -> bytes:
        """Return what comes, up to and with ``mark``."""
        while (at := self._kept.find(mark)) < 0:
            self._fill()
        found = bytes(self._kept[: at + len(mark)])
        del self._kept[: at + len(mark)]
        return found

    def read_exactly(self, size: int) -> bytes:
        """Return ``size`` bytes."""
        while len(self._kept) < size:
            self._fill()
        found = bytes(self._kept[:size])
        del self._kept[:size]
        return found

    def read_head(self) -> Head:
        """Return the head of a response."""
        lines = self.read_until(b"\r\n\r\n").decode("latin-1").split("\r\n")[:-2]
        pairs = (line.partition(":") for line in lines[1:])
        fields = [(name.lower(), value.strip()) for name, _, value in pairs]
        return Head(int(lines[0].split(" ")[1]), fields)

    def read_chunk(self) -> bytes:
        """Return one chunk; the last one is empty."""
        size = int(self.read_until(b"\r\n"), 16)
        return self.read_exactly(size + 2)[:-2]

    def read_body(self, head: Head) -> bytes:
        """Return the whole body of a response."""
        length = head.get("content-length")
        if length is not None:
            return self.read_exactly(int(length))
        return b"".join(iter(self.read_chunk, b""))

    def read_pieces(self, size: int) -> Iterator[bytes | memoryview]:
        """Yield ``size`` bytes in pieces, each valid until the next."""
        kept = self._kept[:size]
        del self._kept[:size]
        size -= len(kept)
        if kept:
            yield bytes(kept)
        view = memoryview(bytearray(READ_SIZE))
        while size:
            count = self.sock.recv_into(view, min(size, READ_SIZE))
            if not count:
                raise EOFError(f"the connection ended {size} bytes early")
            size -= count
            yield view[:count]

    def read_rest(self) -> tuple[bytes, bool]:
        """Return what comes up to the end, and whether that end is a reset."""
        is_reset = False
        try:
            while data := self.sock.recv(READ_SIZE):
                self._kept += data
        except ConnectionResetError:
            is_reset = True
        rest = bytes(self._kept)
        self._kept.clear()
        return rest, is_reset

    def _fill(self) -> None:
        data = self.sock.recv(READ_SIZE)
        if not data:
            raise EOFError(f"the connection ended after {bytes(self._kept[:200])!r}")
        self._kept += data

    # -- frames of a WebSocket ---------------------------------------------------------------

    def upgrade(self, path: str, *fields: Field) -> Head:
        """Ask for a WebSocket and return the response's head."""
        self.ask(
            path,
            ("Connection", "Upgrade"),
            ("Upgrade", "websocket"),
            ("Sec-WebSocket-Version", "13"),
            ("Sec-WebSocket-Key", "dGhlIHNhbXBsZSBub25jZQ=="),
            *fields,
        )
        return self.read_head()

    def send_frame(self, opcode: int, payload: bytes = b"", *, final: bool = True) -> None:
        """Send one frame, masked with zeros."""
        size = len(payload)
        first = opcode | (0x80 if final else 0)
        if size < 126:
            header = bytes((first, 0x80 | size))
        elif size < 65536:
            header = struct.pack(">BBH", first, 0x80 | 126, size)
        else:
            header = struct.pack(">BBQ", first, 0x80 | 127, size)
        self.sock.sendall(header + bytes(4) + payload)

    def read_frame(self) -> tuple[int, bytes]:
        """Return first byte and payload of one frame."""
        first, size = self.read_exactly(2)
        if size == 126:
            size = int.from_bytes(self.read_exactly(2), "big")
        elif size == 127:
            size = int.from_bytes(self.read_exactly(8), "big")
        return first, self.read_exactly(size)

    # -- leaving -----------------------------------------------------------------------------

    def leave(self, *, reset: bool = False) -> None:
        """Close the socket, with an orderly end or a reset."""
        if reset:
            option = struct.pack("ii", 1, 0)
            self.sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, option)
        self.sock.close()


@contextmanager
def visiting(
    edge: Edge, hostname: str = "shop.example.test", *, buffer: int | None = None
) -> Iterator[Visitor]:
    """A visitor that is gone after the block."""
    visitor = Visitor(edge, hostname, buffer=buffer)
    try:
        yield visitor
    finally:
        visitor.leave()


def ask_json(edge: Edge, path: str, *fields: Field, hostname: str = "shop.example.test") -> Any:
    """GET a path over a connection of its own; return the JSON of a 200."""
    with visiting(edge, hostname) as visitor:
        visitor.ask(path, *fields)
        head = visitor.read_head()
        body = visitor.read_body(head)
    assert head.status == 200, body
    return json.loads(body)


def blocks(size: int, block: int = 64 * 1024) -> Iterator[bytes]:
    """Yield ``size`` bytes in blocks that all differ: each starts with its number."""
    filler = os.urandom(block - 8)
    for number in range(-(-size // block)):
        data = number.to_bytes(8, "big") + filler
        yield data if (number + 1) * block <= size else data[: size % block]


def figure(text: str) -> None:
    """Report what was measured; ``pytest --log-cli-level=INFO`` shows it."""
    _log.info("%s", text)
