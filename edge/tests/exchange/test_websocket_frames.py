"""Frames of a visitor: how many are taken at a time, and which are overhead."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.exchange.websocket_frames import TURN_FRAMES, FrameReader, Piece

MASK = bytes(4)


def _frame(first: int, payload: bytes) -> bytes:
    return bytes((first, 0x80 | len(payload))) + MASK + payload


def test_many_frames_are_taken_in_turns() -> None:
    """T67: one call takes so many frames; what is left is fed again, and nothing is lost."""
    reader, got, calls = FrameReader(1000), list[bytes](), 0
    rest = _frame(0x82, b"a") * (2 * TURN_FRAMES + 1)
    while rest:
        got += [one.data for one in reader.feed(rest) if isinstance(one, Piece)]
        assert len(got) <= (calls + 1) * TURN_FRAMES
        rest = reader.rest
        calls += 1
    assert calls == 3
    assert got == [b"a"] * (2 * TURN_FRAMES + 1)


@pytest.mark.parametrize(
    ("data", "overhead"),
    [
        (_frame(0x89, b"ping"), 1),
        (_frame(0x8A, b"pong"), 1),
        (_frame(0x81, b""), 1),
        (_frame(0x81, b"a"), 0),
        (_frame(0x88, b""), 0),
        (_frame(0x01, b"abcde"), 1),
        (_frame(0x01, b"abcdef"), 0),
        (_frame(0x01, b"abcdef") + _frame(0x00, b"") + _frame(0x80, b"a"), 2),
    ],
)
def test_what_carries_nothing_is_overhead(data: bytes, overhead: int) -> None:
    """T67: pings, pongs, empty messages and tiny fragments count; a message of a byte does not."""
    reader = FrameReader(1000)
    list(reader.feed(data))
    assert reader.overhead == overhead
