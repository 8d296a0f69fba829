from __future__ import annotations

from asgi_tunnel.protocol.frames import Buffer, Flag, FrameType, StreamKind
from asgi_tunnel.protocol.halves import Half
from asgi_tunnel.protocol.limits import DATA_PIECE, DATA_QUANTUM, OUTBOX_LOW, Settings
from asgi_tunnel.protocol.scheduler import Scheduler
from asgi_tunnel.protocol.stream import Stream
from asgi_tunnel.protocol.window import Windows

from .pair import frames_of

LARGE = 1 << 30


def make_stream(stream_id: int, *, queued: int = 0, window: int = LARGE) -> Stream:
    """A stream in its body, with ``queued`` bytes to send."""
    settings = Settings(stream_window=window, session_window=LARGE)
    stream = Stream(stream_id, StreamKind.HTTP, Windows(settings, settings, 0.0))
    stream.sent = stream.received = Half.BODY
    if queued:
        stream.queue(FrameType.DATA, bytes(queued))
    return stream


def fill(scheduler: Scheduler, budget: int = LARGE) -> tuple[list[tuple[int, int]], list[Stream]]:
    """Fill one chunk: stream id and payload size of each frame, and the streams to look after."""
    parts: list[Buffer] = []
    sent: list[Stream] = []
    count, size = scheduler.fill(parts, budget, sent)
    wire = b"".join(parts)
    frames = frames_of(wire)
    assert (len(frames), len(wire)) == (count, size)
    return [(frame.stream_id, len(frame.payload)) for frame in frames], sent


def test_empty() -> None:
    """A scheduler without streams gives nothing and is false."""
    scheduler = Scheduler()
    assert not scheduler
    assert fill(scheduler) == ([], [])


def test_adding_twice() -> None:
    """A stream stands in line once."""
    scheduler, stream = Scheduler(), make_stream(1, queued=10)
    scheduler.add(stream)
    scheduler.add(stream)
    assert fill(scheduler) == ([(1, 10)], [stream])
    assert not scheduler
    assert not stream.scheduled


def test_bulk_streams_take_turns() -> None:
    """T45: streams with much to send get a quantum each, in turn."""
    scheduler = Scheduler()
    for stream_id in (1, 2, 3):
        scheduler.add(make_stream(stream_id, queued=3 * DATA_PIECE))
    frames, _ = fill(scheduler)
    assert frames[:9] == [(1, DATA_PIECE), (2, DATA_PIECE), (3, DATA_PIECE)] * 3


def test_bulk_streams_share_alike() -> None:
    """T45: frames of any size add up to equal shares, to within a quantum."""
    scheduler = Scheduler()
    small, large = make_stream(1), make_stream(2, queued=40 * DATA_QUANTUM)
    for _ in range(4000):
        small.queue(FrameType.DATA, bytes(300))
    scheduler.add(small)
    scheduler.add(large)
    frames, _ = fill(scheduler, 20 * DATA_QUANTUM)
    shares = [sum(size + 9 for i, size in frames if i == stream_id) for stream_id in (1, 2)]
    assert abs(shares[0] - shares[1]) <= 2 * DATA_QUANTUM


def test_fresh_streams_come_first() -> None:
    """T44: a stream that starts to send waits for one quantum of the bulk ones at most."""
    scheduler = Scheduler()
    for stream_id in range(1, 11):
        scheduler.add(make_stream(stream_id, queued=100 * DATA_QUANTUM))
    fill(scheduler, 15 * DATA_PIECE)
    scheduler.add(make_stream(99, queued=500))
    frames, _ = fill(scheduler, 3 * DATA_QUANTUM)
    assert sum(size for _, size in frames[: frames.index((99, 500))]) <= DATA_QUANTUM


def test_emptying_often_earns_no_second_turn() -> None:
    """A stream that empties its outbox and sends again is not fresh while others wait."""
    scheduler = Scheduler()
    scheduler.add(make_stream(1, queued=10 * DATA_QUANTUM))
    fill(scheduler, 1)
    crumbs = make_stream(2, queued=100)
    scheduler.add(crumbs)
    assert fill(scheduler, 1) == ([(2, 100)], [crumbs])  # the bulk stream is an old one now
    crumbs.queue(FrameType.DATA, bytes(100))
    scheduler.add(crumbs)
    assert fill(scheduler, 1)[0] == [(1, DATA_QUANTUM)]
    assert fill(scheduler, 1)[0] == [(2, 100)]


def test_closed_stream_leaves_the_line() -> None:
    """A stream that has sent its last byte leaves the line, also when others wait."""
    scheduler = Scheduler()
    bulk = make_stream(1, queued=10 * DATA_QUANTUM)
    scheduler.add(bulk)
    fill(scheduler, 1)
    fill(scheduler, 1)
    last = make_stream(2)
    last.sent = last.received = Half.ENDED
    last.queue(FrameType.DATA, b"x", Flag.END)
    scheduler.add(last)
    frames, sent = fill(scheduler, 1)
    while (2, 1) not in frames:
        frames, sent = fill(scheduler, 1)
    assert last in sent
    assert not last.scheduled


def test_blocked_stream_leaves_the_line() -> None:
    """T44: a stream without window is taken out and reported, and the next one goes on."""
    scheduler = Scheduler()
    blocked, free = make_stream(1, queued=5000, window=100), make_stream(2, queued=10)
    scheduler.add(blocked)
    scheduler.add(free)
    assert fill(scheduler) == ([(2, 10)], [blocked, free])
    assert not blocked.scheduled


def test_waiting_sender_is_reported() -> None:
    """A sender that waits is reported as soon as its outbox is low, though it has more to send."""
    scheduler = Scheduler()
    stream = make_stream(1)
    for _ in range(20):
        stream.queue(FrameType.DATA, bytes(OUTBOX_LOW // 2))
    assert stream.waiting
    scheduler.add(stream)
    _, sent = fill(scheduler, stream.queued - OUTBOX_LOW)
    assert sent[:1] == [stream]
    assert stream.outbox
    assert stream.queued <= OUTBOX_LOW


def test_budget_starts_no_further_frame() -> None:
    """A chunk exceeds its budget by no more than its last frame."""
    scheduler = Scheduler()
    scheduler.add(make_stream(1, queued=10 * DATA_QUANTUM))
    assert fill(scheduler, 0) == ([], [])
    assert fill(scheduler, 1) == ([(1, DATA_QUANTUM)], [])
    assert fill(scheduler, DATA_QUANTUM + 10)[0] == [(1, DATA_QUANTUM + 10)]
    frames, _ = fill(scheduler, 3 * DATA_QUANTUM)
    assert frames == [(1, DATA_PIECE), (1, DATA_QUANTUM)]


def test_files_of_a_piece_are_not_cut() -> None:
    """The second file leaves whole beside the first one, though their headers exceed the budget."""
    scheduler = Scheduler()
    for stream_id in (1, 2):
        scheduler.add(make_stream(stream_id, queued=DATA_PIECE))
    assert fill(scheduler, 2 * DATA_PIECE)[0] == [(1, DATA_PIECE), (2, DATA_PIECE)]


def test_a_small_budget_cuts_a_file() -> None:
    """A slow line takes no more than it asked for."""
    scheduler = Scheduler()
    scheduler.add(make_stream(1, queued=DATA_PIECE))
    scheduler.add(make_stream(2, queued=DATA_PIECE))
    frames, _ = fill(scheduler, DATA_PIECE)
    assert frames == [(1, DATA_PIECE)]
    assert fill(scheduler, DATA_QUANTUM)[0] == [(2, DATA_QUANTUM)]
