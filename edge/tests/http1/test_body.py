"""Chunks: how many are taken at a time, and which are overhead."""

from __future__ import annotations

from asgi_tunnel_edge.http1.body import TURN_CHUNKS, ChunkedBody, LengthBody


def test_many_chunks_are_taken_in_turns() -> None:
    """T67: one call takes so many chunks; what is left is for the next, and nothing is lost."""
    chunk = b"1\r\na\r\n"
    data = chunk * (3 * TURN_CHUNKS) + b"0\r\n\r\n"
    body, pieces = ChunkedBody(), list[bytes]()
    end = body.feed(data, 0, pieces)
    assert end == len(chunk) * TURN_CHUNKS
    assert len(pieces) == TURN_CHUNKS
    calls = 1
    while not body.is_complete:
        end = body.feed(data, end, pieces)
        calls += 1
    assert calls == 4
    assert b"".join(pieces) == b"a" * (3 * TURN_CHUNKS)


def test_chunks_smaller_than_their_framing_are_overhead() -> None:
    """T67: a byte in six counts, five in ten do not; an extension counts as framing."""
    body = ChunkedBody()
    body.feed(b"1\r\na\r\n" * 3, 0, [])
    assert body.take_overhead() == 3
    assert body.take_overhead() == 0
    body.feed(b"5\r\nhello\r\n", 0, [])
    assert body.take_overhead() == 0
    body.feed(b"5;a=1\r\nhello\r\n0\r\n\r\n", 0, [])
    assert body.take_overhead() == 1
    assert LengthBody(1).take_overhead() == 0
