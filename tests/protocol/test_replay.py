from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.protocol.frames import FrameType, encode_frame
from asgi_tunnel.protocol.replay import ReplayBuffer

from .pair import examples


def frame(number: int) -> bytes:
    """A frame that can be told from the others."""
    return encode_frame(FrameType.DATA, bytes(number % 7), stream_id=number)


@examples(100)
@given(
    chunks=st.lists(st.integers(1, 5), max_size=8),
    counts=st.lists(st.integers(0, 40), max_size=4).map(sorted),
)
def test_remaining_is_what_the_peer_lacks(chunks: list[int], counts: list[int]) -> None:
    """Whatever was acknowledged, also in the middle of a chunk, exactly the rest remains."""
    replay = ReplayBuffer()
    frames = [frame(number) for number in range(sum(chunks))]
    start = 0
    for count in chunks:
        replay.append(b"".join(frames[start : start + count]), count)
        start += count
    for count in counts:
        assert replay.acknowledge(count) == (count <= len(frames))
    acknowledged = max((count for count in counts if count <= len(frames)), default=0)
    assert replay.acknowledged == acknowledged
    assert replay.sent == len(frames)
    assert b"".join(replay.remaining()) == b"".join(frames[acknowledged:])
    assert replay.acknowledge(len(frames))
    assert (replay.size, replay.remaining()) == (0, [])


def test_impossible_counts() -> None:
    """Counts that go back or beyond what was sent are refused and change nothing."""
    replay = ReplayBuffer()
    replay.append(frame(1) + frame(2), 2)
    assert replay.acknowledge(1)
    assert not replay.acknowledge(0)
    assert not replay.acknowledge(3)
    assert replay.acknowledged == 1
    assert replay.remaining() == [frame(2)]


def test_size_counts_whole_chunks() -> None:
    """A chunk is kept, and counted, until its last frame is acknowledged."""
    replay = ReplayBuffer()
    replay.append(frame(1) + frame(2), 2)
    size = len(frame(1) + frame(2))
    assert replay.size == size
    replay.acknowledge(1)
    assert replay.size == size
    replay.acknowledge(2)
    assert replay.size == 0
