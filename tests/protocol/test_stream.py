from __future__ import annotations

import pytest

from asgi_tunnel.protocol.frames import Buffer, Flag, FrameType, StreamKind
from asgi_tunnel.protocol.limits import (
    DATA_QUANTUM,
    MAX_FRAME_SIZE,
    OUTBOX_HIGH,
    Settings,
)
from asgi_tunnel.protocol.stream import MIN_PIECE, Stream
from asgi_tunnel.protocol.window import Windows

from .pair import frames_of

HEADER = 9


def make_stream(
    kind: StreamKind = StreamKind.HTTP, *, window: int = Settings().stream_window
) -> Stream:
    """A stream that may send ``window`` bytes."""
    settings = Settings(stream_window=window)
    return Stream(1, kind, Windows(settings, settings, 0.0))


def take(stream: Stream, room: int = DATA_QUANTUM) -> tuple[FrameType, bytes, int] | None:
    """Take one frame; check what `take` says of it."""
    parts: list[Buffer] = []
    count, size = stream.take(parts, room)
    wire = b"".join(parts)
    assert len(wire) == size
    frames = frames_of(wire)
    assert len(frames) == count <= 1
    if not frames:
        return None
    kind, flags, stream_id, payload = frames[0]
    assert stream_id == 1
    return FrameType(kind), bytes(payload), flags


def test_nothing_to_take() -> None:
    """An empty outbox gives nothing."""
    assert take(make_stream()) is None


def test_body_rides_in_the_head() -> None:
    """A body that fits goes into the head's frame, with its END, and costs its own size only."""
    stream = make_stream()
    stream.queue(FrameType.HEAD, b"head")
    stream.queue(FrameType.DATA, b"body", Flag.END)
    assert take(stream) == (FrameType.HEAD, b"headbody", Flag.END)
    assert (stream.queued, stream.send_window.unread) == (0, 4)


def test_empty_end_rides_in_the_head() -> None:
    """A head and the END behind it are one frame, which costs nothing."""
    stream = make_stream()
    stream.queue(FrameType.OPEN, b"head")
    stream.queue(FrameType.DATA, b"", Flag.END)
    assert take(stream) == (FrameType.OPEN, b"head", Flag.END)
    assert stream.send_window.unread == 0


@pytest.mark.parametrize(("room", "window"), [(3, 100), (100, 3)])
def test_body_too_large_to_ride(room: int, window: int) -> None:
    """A body that exceeds the room or the window stays behind the head."""
    stream = make_stream(window=window)
    stream.queue(FrameType.HEAD, b"head")
    stream.queue(FrameType.DATA, b"body")
    assert take(stream, room) == (FrameType.HEAD, b"head", 0)
    assert stream.queued == 4 + HEADER


def test_largest_head_takes_no_body_above_the_frame_limit() -> None:
    """A head and a body that exceed the largest frame together travel in two frames."""
    stream = make_stream()
    head = bytes(MAX_FRAME_SIZE - DATA_QUANTUM + 1)
    stream.queue(FrameType.OPEN, head)
    stream.queue(FrameType.DATA, bytes(DATA_QUANTUM), Flag.END)
    assert take(stream) == (FrameType.OPEN, head, 0)
    assert take(stream) == (FrameType.DATA, bytes(DATA_QUANTUM), Flag.END)


def test_messages_never_ride() -> None:
    """A WebSocket message keeps its own frame, because HEAD has no flags for it."""
    stream = make_stream(StreamKind.WEBSOCKET)
    stream.queue(FrameType.HEAD, b"head")
    stream.queue(FrameType.DATA, b"message", Flag.TEXT)
    assert take(stream) == (FrameType.HEAD, b"head", 0)
    assert take(stream) == (FrameType.DATA, b"message", Flag.TEXT)


def test_other_frames_behind_a_head() -> None:
    """Trailers and interim heads are not taken for a body."""
    stream = make_stream()
    for kind in (FrameType.HEAD, FrameType.HEAD, FrameType.TRAILERS):
        stream.queue(kind, b"x")
    assert [take(stream) for _ in range(4)] == [
        (FrameType.HEAD, b"x", 0),
        (FrameType.HEAD, b"x", 0),
        (FrameType.TRAILERS, b"x", 0),
        None,
    ]
    assert stream.queued == 0


def test_cut_to_the_room() -> None:
    """A body is cut into pieces; the last one has the END, and each costs its header as well."""
    stream = make_stream()
    stream.queue(FrameType.DATA, bytes(2500), Flag.END)
    sizes = []
    while piece := take(stream, 1000):
        sizes.append((len(piece[1]), piece[2]))
    assert sizes == [(1000, 0), (1000, 0), (500, Flag.END)]
    assert stream.send_window.unread == 2500 + 3 * HEADER
    assert stream.queued == 0


def test_cut_message_is_fragments() -> None:
    """A message that is cut keeps its type and says MORE until its end."""
    stream = make_stream(StreamKind.WEBSOCKET)
    stream.queue(FrameType.DATA, bytes(2500), Flag.TEXT)
    stream.queue(FrameType.DATA, bytes(10), Flag.MORE)
    flags = []
    while piece := take(stream, 1000):
        flags.append(piece[2])
    assert flags == [Flag.TEXT | Flag.MORE, Flag.TEXT | Flag.MORE, Flag.TEXT, Flag.MORE]


def test_no_crumbs() -> None:
    """A payload is not cut below the smallest piece; a smaller one waits for its whole window."""
    stream = make_stream(window=MIN_PIECE + HEADER - 1)
    stream.queue(FrameType.DATA, bytes(MIN_PIECE + 1))
    assert take(stream) is None
    stream.send_window.credit(0, 1)
    assert take(stream) == (FrameType.DATA, bytes(MIN_PIECE), 0)
    assert take(stream) is None
    stream.send_window.credit(0, HEADER + 1)
    assert take(stream) == (FrameType.DATA, bytes(1), 0)


def test_empty_frames() -> None:
    """An empty message costs a frame header of window, an empty END nothing."""
    stream = make_stream(StreamKind.WEBSOCKET, window=2 * HEADER - 1)
    for _ in range(2):
        stream.queue(FrameType.DATA, b"")
    assert take(stream) == (FrameType.DATA, b"", 0)
    assert take(stream) is None
    stream.outbox.clear()
    stream.queue(FrameType.DATA, b"", Flag.END)
    assert take(stream) == (FrameType.DATA, b"", Flag.END)
    assert stream.send_window.unread == HEADER


def test_backpressure() -> None:
    """One chunk of the high-water mark does not wait, a byte more does."""
    stream = make_stream()
    assert stream.queue(FrameType.DATA, bytes(OUTBOX_HIGH))
    assert not stream.waiting
    assert not stream.queue(FrameType.DATA, b"")
    assert stream.waiting


def test_empty_messages_wait_as_well() -> None:
    """T24: a flood of empty messages fills the outbox like any other bytes."""
    stream = make_stream(StreamKind.WEBSOCKET)
    count = 0
    while stream.queue(FrameType.DATA, b""):
        count += 1
    assert count == OUTBOX_HIGH // HEADER + 1
    while take(stream):
        pass
    assert stream.queued == len(stream.outbox) * HEADER


def test_reset() -> None:
    """A reset ends both halves, drops the outbox and gives both windows back."""
    stream = make_stream()
    stream.queue(FrameType.DATA, bytes(50_000))
    take(stream)
    stream.receive_window.receive(50_000)
    stream.reset()
    assert stream.is_closed
    assert (stream.queued, len(stream.outbox)) == (0, 0)
    assert (stream.send_window.unread, stream.receive_window.unread) == (0, 0)
    assert stream.send_window._session.used == 0
