"""What waits for a visitor that reads slowly, and how it is handed to the socket."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from types import SimpleNamespace
from typing import cast

import pytest

from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel_edge.connections.outbox import PINNED, TRUSTED, WRITE_BURST, WRITE_HIGH, Outbox
from asgi_tunnel_edge.http1.connection import HTTP1Connection
from asgi_tunnel_edge.http1.front import HTTP1Front
from asgi_tunnel_edge.settings.config import Limits

pytestmark = pytest.mark.plain

PIECE = 48 * 1024
PIECES = 40


class Socket:
    """A transport whose socket takes bytes when it is told to."""

    def __init__(self, visitor: HTTP1Connection, *, room: int = 0) -> None:
        self.visitor = visitor
        self.room = room  # bytes that are taken at once
        self.written: list[Buffer] = []
        self.calls = 0
        self.waiting = 0
        self.is_paused = False
        self.is_ended = False

    def write(self, data: Buffer) -> None:
        """Take bytes."""
        self.writelines([data])

    def writelines(self, pieces: Iterable[Buffer]) -> None:
        """Take bytes; pause the visitor above the mark, as event loops do."""
        assert not self.is_ended
        self.calls += 1
        for data in pieces:
            self.written.append(data)
            taken = min(self.room, len(data))
            self.room -= taken
            self.waiting += len(data) - taken
        if self.waiting > WRITE_HIGH and not self.is_paused:
            self.is_paused = True
            self.visitor.pause_writing()

    def take(self, room: int) -> None:
        """Let the visitor read."""
        taken = min(room, self.waiting)
        self.waiting -= taken
        self.room = room - taken
        if self.is_paused and self.waiting <= WRITE_HIGH // 4:
            self.is_paused = False
            self.visitor.resume_writing()

    def write_eof(self) -> None:
        """No more comes."""
        self.is_ended = True

    def can_write_eof(self) -> bool:
        """Plain TCP can."""
        return True

    def get_write_buffer_size(self) -> int:
        """Bytes that wait below the visitor."""
        return self.waiting

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        """Know who it is."""
        return ("192.0.2.7", 1) if name == "peername" else None

    def set_write_buffer_limits(self, high: int) -> None:
        """Have them already."""


def connect(*, room: int = 0) -> tuple[HTTP1Connection, Socket]:
    """Return a visitor and its socket."""
    front = SimpleNamespace(
        proxies=None,
        context=SimpleNamespace(limits=Limits(), now=lambda: 0.0, is_stopping=False),
        limiter=SimpleNamespace(admit=lambda address: None, note_error=lambda address: None),
        table=SimpleNamespace(enter=lambda one: None, leave=lambda one: None),
    )
    visitor = HTTP1Connection(cast(HTTP1Front, front))
    sock = Socket(visitor, room=room)
    visitor.connection_made(cast(asyncio.Transport, sock))
    return visitor, sock


def outbox_of(visitor: HTTP1Connection) -> Outbox:
    """Return what its writer keeps."""
    assert visitor._writer is not None
    return visitor._writer.outbox


def pieces() -> list[bytes]:
    """Return an answer in pieces that can be told apart."""
    return [bytes([number]) * PIECE for number in range(PIECES)]


async def test_what_waits_comes_in_order_and_whole() -> None:
    """A visitor that takes a little at a time gets all, and is paused until it has."""
    visitor, sock = connect()
    for piece in pieces():
        outbox_of(visitor).write(piece)
    assert len(sock.written) == 1
    while sock.waiting:
        assert outbox_of(visitor).is_paused
        sock.take(sock.waiting)
    assert sock.written == pieces()
    assert not outbox_of(visitor).is_paused


async def connect_fast() -> tuple[HTTP1Connection, Socket]:
    """Return a visitor that has taken so much at once that it is trusted to go on."""
    visitor, sock = connect(room=1 << 40)
    while sum(map(len, sock.written)) < TRUSTED:
        outbox_of(visitor).write_large([bytes(PIECE)])
        await asyncio.sleep(0)
    sock.written.clear()
    sock.calls = 0
    return visitor, sock


async def test_pieces_of_a_turn_leave_together_and_uncopied() -> None:
    """What the app sends in one turn is one write, of the very bytes that came from the tunnel."""
    visitor, sock = await connect_fast()
    read = memoryview(b"".join(pieces()[:5]))
    cut = [read[start : start + PIECE] for start in range(0, len(read), PIECE)]
    for piece in cut:
        outbox_of(visitor).write_large([piece])
        assert outbox_of(
            visitor
        ).is_paused  # the app gets its window back when the socket has taken them
        assert not outbox_of(visitor).is_stalled
    outbox_of(visitor).write(b"the end")
    assert sock.calls == 0
    await asyncio.sleep(0)
    assert sock.calls == 1
    assert all(one is other for one, other in zip(sock.written, cut, strict=False))
    assert b"".join(sock.written) == read.tobytes() + b"the end"
    assert not outbox_of(visitor).is_paused


async def test_the_last_piece_of_a_response_leaves_at_once() -> None:
    """Nothing follows it, so no turn is waited for; it is copied where others would be."""
    visitor, sock = connect()
    piece = memoryview(pieces()[0])
    outbox_of(visitor).write_large([b"head", piece], is_last=True)
    assert sock.calls == 1
    assert sock.written == [b"head", piece]
    assert all(type(one) is bytes for one in sock.written)
    fast, sock = await connect_fast()
    outbox_of(fast).write_large([piece], is_last=True)
    assert sock.written[0] is piece
    assert not outbox_of(fast).is_paused


async def test_the_last_piece_stays_behind_those_that_wait() -> None:
    """What a turn has collected leaves before it, and in one write with it."""
    visitor, sock = await connect_fast()
    first, last = pieces()[:2]
    outbox_of(visitor).write_large([first])
    outbox_of(visitor).write_large([last], is_last=True)
    assert sock.calls == 0
    await asyncio.sleep(0)
    assert sock.calls == 1
    assert sock.written == [first, last]


async def test_slow_visitor_keeps_its_bytes_and_not_what_they_were_cut_from() -> None:
    """Once its socket takes no more, what waits is copied; what the socket has counts as a read."""
    visitor, sock = await connect_fast()
    sock.room = 0
    read = memoryview(b"".join(pieces()[:5]))
    outbox_of(visitor).write_large([read[:PIECE]])
    await asyncio.sleep(0)
    assert sock.is_paused
    assert outbox_of(visitor).is_stalled
    assert visitor.buffered == PINNED
    outbox_of(visitor).write_large([read[PIECE : 2 * PIECE]])
    assert visitor.buffered == PINNED + PIECE
    sock.take(PIECE)
    assert type(sock.written[1]) is bytes
    sock.take(PIECE)
    assert sock.written == [read[:PIECE], read[PIECE : 2 * PIECE]]
    assert visitor.buffered == 0
    assert not outbox_of(visitor).is_paused


async def test_visitor_that_never_read_fast_gets_copies() -> None:
    """A crowd of slow readers costs the bytes that they do not read."""
    visitor, sock = connect()
    outbox_of(visitor).write_large([memoryview(pieces()[0])])
    await asyncio.sleep(0)
    assert [type(piece) for piece in sock.written] == [bytes]
    assert visitor.buffered == PIECE


async def test_one_turn_hands_over_no_more_than_a_burst() -> None:
    """A visitor that takes whatever there is does not keep the loop, nor has to be asked again."""
    visitor, sock = connect()
    for piece in pieces():
        outbox_of(visitor).write(piece)
    turns = 0
    before = len(sock.written)
    sock.take(1 << 40)
    while outbox_of(visitor).is_paused:
        assert 0 < sum(map(len, sock.written[before:])) < WRITE_BURST + PIECE
        before = len(sock.written)
        turns += 1
        await asyncio.sleep(0)
    assert turns >= PIECE * PIECES // (WRITE_BURST + PIECE)
    assert sock.written == pieces()


async def test_what_waits_counts_as_buffered() -> None:
    """The edge's memory budget and the visitor's rate see what is held back."""
    visitor, _ = connect()
    for piece in pieces():
        outbox_of(visitor).write(piece)
    assert visitor.buffered == PIECE * PIECES


async def test_the_end_comes_behind_all_that_waits() -> None:
    """A connection that closes after its answer closes after the whole of it."""
    visitor, sock = connect()
    for piece in pieces():
        outbox_of(visitor).write(piece)
    visitor.finished(keep_alive=False)
    assert sock.is_ended
    assert b"".join(sock.written) == b"".join(pieces())


async def test_a_visitor_that_left_gets_nothing() -> None:
    """What waited is dropped, and nothing goes on trying."""
    visitor, sock = connect()
    for piece in pieces():
        outbox_of(visitor).write(piece)
    visitor.connection_lost(None)
    visitor.resume_writing()
    await asyncio.sleep(0)
    assert len(sock.written) == 1
    assert visitor.buffered == 0
