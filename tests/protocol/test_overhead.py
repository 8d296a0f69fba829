"""What costs work and carries nothing: how much one peer may send, and what is counted."""

from __future__ import annotations

import pytest

from asgi_tunnel.protocol.codes import GoawayCode, ResetCode
from asgi_tunnel.protocol.connection import Connection, Role, State
from asgi_tunnel.protocol.frames import Flag, FrameDecoder, FrameType, StreamKind, encode_frame
from asgi_tunnel.protocol.limits import INITIAL_STREAM_WINDOW, TURN_FRAMES
from asgi_tunnel.protocol.overhead import Allowance

from .pair import REQUEST, connection, data_frame, head_frame, open_frame, terminated, window_frame

PING = encode_frame(FrameType.PING, bytes(16))
RATE, BURST = 10 * TURN_FRAMES, 5 * TURN_FRAMES  # of the tests: a fourth and a fortieth


# -- the allowance -----------------------------------------------------------------------------


def test_so_many_at_once_and_so_many_a_second() -> None:
    """The burst may come at once, then the rate; the clock may start anywhere."""
    allowance = Allowance(10.0, 100)
    assert allowance.take(100, 5000.0)
    assert allowance.take(5, 5000.5)
    assert not allowance.take(1, 5000.5)


def test_who_exceeds_it_waits() -> None:
    """After a refusal nothing may come for as long as a burst takes at the rate."""
    allowance = Allowance(10.0, 100)
    assert allowance.wait(0.0) == 0
    assert not allowance.take(101, 0.0)
    assert allowance.wait(0.0) == pytest.approx(10.0)
    assert not allowance.take(1, 9.0)
    assert allowance.wait(30.0) == 0
    assert allowance.take(1, 30.0)


# -- turns -------------------------------------------------------------------------------------


def test_many_frames_are_taken_in_turns() -> None:
    """T68: one call takes so many frames; what comes meanwhile waits behind them, in order."""
    decoder = FrameDecoder()
    frames = [encode_frame(FrameType.RESET, b"", stream_id=n) for n in range(1, 3 * TURN_FRAMES)]
    assert len(decoder.feed(b"".join(frames[:-1]))) == TURN_FRAMES
    assert decoder.is_behind
    assert decoder.feed(frames[-1][:4]) == []
    assert decoder.feed(frames[-1][4:]) == []
    assert decoder.buffered == 9 * (2 * TURN_FRAMES - 1)
    got = decoder.read_on()
    assert [frame.stream_id for frame in got] == list(range(TURN_FRAMES + 1, 2 * TURN_FRAMES + 1))
    got = decoder.read_on()
    assert [frame.stream_id for frame in got] == list(range(2 * TURN_FRAMES + 1, 3 * TURN_FRAMES))
    assert decoder.buffered == 0


def test_a_lost_transport_takes_what_was_not_read() -> None:
    """What is left when the transport is lost was not received: the peer sends it again."""
    conn = connection(Role.CONNECTOR)
    conn.receive_data(b"".join(open_frame(n) for n in range(1, 2 * TURN_FRAMES)), 0.0)
    assert conn.received_frames == TURN_FRAMES
    conn.transport_lost(1.0)
    assert not conn.is_behind
    conn.read_on(1.0)
    assert conn.received_frames == TURN_FRAMES


# -- what counts -------------------------------------------------------------------------------


def _edge() -> Connection:
    """An edge with an allowance, and with the streams 1, closed, 2, open, and 3, a WebSocket."""
    conn = connection(Role.EDGE)
    conn.overhead.allowance = Allowance(RATE, BURST)
    conn.open_stream(StreamKind.HTTP, REQUEST, now=0.0, end=True)
    conn.open_stream(StreamKind.HTTP, REQUEST, now=0.0, data=bytes(9000), end=False)
    conn.open_stream(StreamKind.WEBSOCKET, REQUEST, now=0.0, end=False)
    conn.data_to_send()
    conn.receive_data(
        head_frame(1, flags=Flag.END) + head_frame(2) + head_frame(3, status=101), 0.0
    )
    conn.events()
    return conn


def _flood(conn: Connection, frame: bytes, count: int, now: float = 0.0) -> int:
    """Receive a frame ``count`` times; return how many it took to end the session."""
    batch = frame * TURN_FRAMES
    for at in range(0, count, TURN_FRAMES):
        conn.receive_data(batch, now)
        if conn.state is not State.ACTIVE:
            return at + TURN_FRAMES
        conn.events()
        conn.data_to_send()
    return 0


OVERHEAD = {
    "PING": PING,
    "PONG": encode_frame(FrameType.PONG, bytes(16)),
    "ACK": encode_frame(FrameType.ACK, bytes(8)),
    "DRAIN": encode_frame(FrameType.DRAIN, b"\x01" + bytes(8)),
    "WINDOW of nothing": window_frame(2, 0, 0),
    "a late WINDOW": window_frame(1, 5000, 0),
    "a late HEAD": head_frame(1),
    "late DATA": data_frame(1, b"a"),
    "late TRAILERS": encode_frame(FrameType.TRAILERS, stream_id=1),
    "a late CLOSE": encode_frame(FrameType.CLOSE, b"\x03\xe8", stream_id=1),
    "a late RESET": encode_frame(FrameType.RESET, b"\x00\x01", stream_id=1),
}


@pytest.mark.parametrize("name", OVERHEAD)
def test_a_flood_ends_the_session(name: str) -> None:
    """T68: GOAWAY with OVERLOAD, and when to come back; so for the token's other sessions."""
    conn = _edge()
    count = _flood(conn, OVERHEAD[name], BURST + 2 * TURN_FRAMES)
    assert BURST < count < BURST + 2 * TURN_FRAMES
    event = terminated(conn)
    assert event.code == GoawayCode.OVERLOAD
    assert "20000 a second" in event.reason
    assert event.retry_after == pytest.approx(BURST / RATE)
    other = _edge()
    other.overhead.allowance = conn.overhead.allowance
    other.receive_data(PING * 100, 0.1)
    assert terminated(other).code == GoawayCode.OVERLOAD


def test_interim_heads_and_empty_pieces_count() -> None:
    """T68: an open stream's interim heads, and pieces of a body without a byte."""
    conn = _edge()
    conn.open_stream(StreamKind.HTTP, REQUEST, now=0.0, end=True)
    assert _flood(conn, head_frame(4, status=103), BURST + 2 * TURN_FRAMES)
    conn = _edge()
    frame = data_frame(2, b"")
    for _ in range(BURST // TURN_FRAMES + 1):
        conn.receive_data(frame * TURN_FRAMES, 0.0)
        conn.consume(2, 9 * TURN_FRAMES, 0.0)
        conn.data_to_send()
    assert conn.state is State.TERMINATED


def test_messages_do_not_count() -> None:
    """Whatever a WebSocket's messages hold, windows hold them back and nothing else."""
    conn = _edge()
    frame = data_frame(3, b"")
    for _ in range(2 * BURST // TURN_FRAMES):
        conn.receive_data(frame * TURN_FRAMES, 0.0)
        conn.consume(3, 9 * TURN_FRAMES, 0.0)
        conn.events()
        conn.data_to_send()
        conn.sequence.acknowledge(conn.sent_frames)
    assert conn.state is State.ACTIVE


def test_the_rate_may_be_sent_for_ever() -> None:
    """Below the rate nothing happens."""
    conn = _edge()
    for second in range(20):
        assert not _flood(conn, PING, BURST - TURN_FRAMES, second * BURST / RATE)


def test_what_was_on_its_way_when_the_edge_reset_a_stream_is_free() -> None:
    """A whole window in frames of one byte may come too late, and the stream's end."""
    conn = _edge()
    conn.overhead.allowance = Allowance(1.0, 1)
    conn.reset_stream(2, ResetCode.CANCELLED)
    late = INITIAL_STREAM_WINDOW // 10
    assert not _flood(conn, data_frame(2, b"a"), late - TURN_FRAMES)
    conn.receive_data(encode_frame(FrameType.RESET, b"\x00\x01", stream_id=2), 0.0)
    assert conn.state is State.ACTIVE
    assert _flood(conn, data_frame(2, b"a"), 3 * TURN_FRAMES)


def test_a_connector_counts_nothing() -> None:
    """Without an allowance any number may come: an app has chosen its edge."""
    conn = connection(Role.CONNECTOR)
    assert not _flood(conn, PING, 2 * BURST)
