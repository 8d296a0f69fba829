"""WebSocket echo: one message in flight on each socket, its size checked when it is back.

Written for speed: the masked frame is built once and written again and again, and an echo that
comes in one piece and in one frame costs two comparisons.
"""

from __future__ import annotations

import argparse
import asyncio
import base64
import os
import time
from typing import cast

from benchmarks.drivers.gate import (
    CONNECT_TIMEOUT,
    main,
    new_parser,
    percentile,
    report,
    wait_for_go,
)

_CONTROL = 8
_PING = 9
_MASK = b"\x5a\x3c\x96\xe1"

CONNECTING = 64
"""Handshakes in progress at one time: more would overrun a listener's queue."""


def masked_frame(payload: bytes, *, opcode: int = 2) -> bytes:
    """Return a whole message, or a control frame, as a visitor sends it."""
    size = len(payload)
    head = bytes([0x80 | opcode])
    if size < 126:
        head += bytes([0x80 | size])
    elif size < 65536:
        head += bytes([0x80 | 126]) + size.to_bytes(2, "big")
    else:
        head += bytes([0x80 | 127]) + size.to_bytes(8, "big")
    mask = (_MASK * (size // 4 + 1))[:size]
    body = int.from_bytes(payload, "big") ^ int.from_bytes(mask, "big")
    return head + _MASK + body.to_bytes(size, "big")


def plain_head(size: int) -> bytes:
    """Return what a message of one frame starts with on its way back."""
    if size < 126:
        return bytes([0x82, size])
    if size < 65536:
        return bytes([0x82, 126]) + size.to_bytes(2, "big")
    return bytes([0x82, 127]) + size.to_bytes(8, "big")


class Echo(asyncio.Protocol):
    """One socket.

    Args:
        request: The handshake.
        size: Payload bytes of a message.
        tally: Hears of each echo and of each fault.
    """

    def __init__(self, request: bytes, size: int, tally: Tally) -> None:
        self.open: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.echoes = 0
        self._request = request
        self._tally = tally
        self._size = size
        self._frame = masked_frame(b"e" * size)
        self._whole = size + len(plain_head(size))
        self._head = plain_head(size)
        self._transport: asyncio.Transport | None = None
        self._buffer = b""  # of a handshake, or of a frame's cut head
        self._left = 0  # payload bytes of the frame being read
        self._got = 0  # payload bytes of the message being read
        self._opcode = 0
        self._is_final = False
        self._is_plain = True  # between two messages
        self._sent = 0.0

    def send(self) -> None:
        """Send one message; its echo is awaited by nobody, the tally hears of it."""
        assert self._transport is not None
        self._sent = time.perf_counter()
        self._transport.write(self._frame)

    def close(self) -> None:
        """End the connection."""
        if self._transport is not None:
            self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Send the handshake."""
        self._transport = cast(asyncio.Transport, transport)
        self._transport.write(self._request)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say so."""
        if not self.open.done():
            self.open.set_exception(exc or ConnectionResetError("closed during the handshake"))
        self._tally.lost(self)

    def data_received(self, data: bytes) -> None:
        """Take an echo, most often a whole one."""
        if self._is_plain and len(data) == self._whole and data.startswith(self._head):
            self._echoed()
        elif self.open.done():
            self._read(self._buffer + data if self._buffer else data)
        else:
            self._shake_hands(data)

    def _shake_hands(self, data: bytes) -> None:
        self._buffer += data
        head, blank, rest = self._buffer.partition(b"\r\n\r\n")
        if not blank:
            return
        self._buffer = b""
        if head.startswith(b"HTTP/1.1 101"):
            self.open.set_result(None)
            if rest:
                self._read(rest)
        else:
            line = head.split(b"\r\n", 1)[0].decode("latin-1")
            self.open.set_exception(ConnectionError(f"no WebSocket: {line}"))

    def _read(self, data: bytes) -> None:
        """Read frames however they are cut; a message may come back in several."""
        self._buffer = b""
        self._is_plain = False
        at, end = 0, len(data)
        while at < end:
            if not self._left:
                body = self._read_head(data, at)
                if body < 0:
                    self._buffer = data[at:]
                    return
                at = body
            take = min(self._left, end - at)
            at += take
            self._left -= take
            if self._opcode < _CONTROL:
                self._got += take
            if not self._left:
                self._end_of_frame(data[at - take : at])

    def _read_head(self, data: bytes, at: int) -> int:
        """Read a frame's head; return where its payload starts, or -1 when it is cut."""
        if len(data) - at < 2:
            return -1
        first, size = data[at], data[at + 1]
        at += 2
        if size >= 126:
            width = 2 if size == 126 else 8
            if len(data) - at < width:
                return -1
            size = int.from_bytes(data[at : at + width], "big")
            at += width
        self._opcode = first & 0x0F
        self._is_final = bool(first & 0x80)
        self._left = size
        return at

    def _end_of_frame(self, payload: bytes) -> None:
        if self._opcode == _PING and self._transport is not None:
            self._transport.write(masked_frame(payload, opcode=10))
        if self._opcode >= _CONTROL:
            self._is_plain = not self._got
        elif self._is_final:
            if self._got != self._size:
                self._tally.wrong(self, self._got)
            self._got = 0
            self._is_plain = True
            self._echoed()

    def _echoed(self) -> None:
        self.echoes += 1
        self._tally.echoed(self, time.perf_counter() - self._sent)


class Tally:
    """What all sockets have seen."""

    def __init__(self) -> None:
        self.times: list[float] = []  # seconds of each echo
        self.is_going = False
        self.errors = 0
        self.why = ""
        self.rounds = 0  # echoes of each socket; 0: until the time is over
        self.left = 0  # sockets that have not had all of theirs
        self.done = asyncio.Event()

    def echoed(self, socket: Echo, seconds: float) -> None:
        """One is back: send the next one."""
        self.times.append(seconds)
        if self.rounds and socket.echoes >= self.rounds:
            self.left -= 1
            if not self.left:
                self.done.set()
        elif self.is_going:
            socket.send()

    def wrong(self, socket: Echo, size: int) -> None:
        """One is not what was sent."""
        self._fail(f"an echo has {size} bytes")

    def lost(self, socket: Echo) -> None:
        """A socket is closed; that is a fault while the load lasts."""
        if self.is_going:
            self._fail("a socket was closed under load")
            if socket.echoes < self.rounds:
                self.left -= 1
                if not self.left:
                    self.done.set()

    def _fail(self, why: str) -> None:
        self.errors += 1
        self.why = self.why or why


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = new_parser()
    parser.add_argument("--seconds", type=float, default=5.0)
    parser.add_argument("--size", type=int, default=32, help="payload bytes of a message")
    parser.add_argument("--sockets", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=0, help="echoes of each socket; 0: by time")
    parser.add_argument("--sources", type=int, default=0, help="loopback addresses to come from")
    return parser.parse_args(arguments)


async def connect(options: argparse.Namespace, tally: Tally) -> list[Echo]:
    """Open all sockets, ``CONNECTING`` at a time.

    Raises:
        ConnectionError: One of them could not be opened.
    """
    loop = asyncio.get_running_loop()
    turn = asyncio.Semaphore(CONNECTING)

    async def one(number: int) -> Echo:
        key = base64.b64encode(os.urandom(16)).decode()
        request = (
            f"GET /ws HTTP/1.1\r\nHost: {options.name}\r\nConnection: Upgrade\r\n"
            f"Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {key}\r\n\r\n"
        )
        echo = Echo(request.encode(), options.size, tally)
        source = None
        if options.sources:
            source = (f"127.0.1.{1 + number % options.sources}", 0)
        async with turn:
            await loop.create_connection(
                lambda: echo, options.host, options.port, local_addr=source
            )
            await echo.open
        return echo

    return list(await asyncio.gather(*(one(number) for number in range(options.sockets))))


async def load(arguments: list[str]) -> None:
    """Echo until the time, or the number of rounds, is over."""
    options = _parse(arguments)
    tally = Tally()
    try:
        async with asyncio.timeout(CONNECT_TIMEOUT):
            sockets = await connect(options, tally)
    except TimeoutError:
        raise TimeoutError(f"not all sockets open in {CONNECT_TIMEOUT:g} s") from None
    await wait_for_go()
    tally.is_going = True
    tally.rounds = options.rounds
    tally.left = len(sockets)
    start, cpu = time.perf_counter(), time.process_time()
    for one in sockets:
        one.send()
    try:
        await asyncio.wait_for(tally.done.wait(), options.seconds)
    except TimeoutError:
        pass  # the time is over, as it should be without rounds
    seconds = time.perf_counter() - start
    cpu = time.process_time() - cpu
    tally.is_going = False
    times = tally.times
    figures = {
        "messages": len(times),
        "seconds": seconds,
        "p50_us": percentile(times, 0.5) * 1e6,
        "p99_us": percentile(times, 0.99) * 1e6,
        "errors": tally.errors,
        "why": tally.why,
        "unanswered": max(options.rounds * len(sockets) - len(times), 0),
        "driver_cpu": cpu,
    }
    await report(figures)
    for one in sockets:
        one.close()


if __name__ == "__main__":
    main(load)
