from __future__ import annotations

import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.errors import FrameError
from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.frames import (
    FIRST_UNSEQUENCED,
    Flag,
    Frame,
    FrameDecoder,
    FrameType,
    encode_frame,
)
from asgi_tunnel.protocol.limits import FRAME_HEADER_SIZE, MAX_FRAME_SIZE

from .pair import examples

VECTORS = json.loads((Path(__file__).parent / "vectors" / "frames.json").read_text())
FRAMES = st.lists(
    st.tuples(
        st.integers(0, 255), st.integers(0, 255), st.integers(0, 2**32 - 1), st.binary(max_size=40)
    ),
    max_size=6,
)


@pytest.mark.parametrize("vector", VECTORS, ids=lambda vector: vector["name"])
def test_vectors(vector: dict[str, str | int]) -> None:
    """The bytes of a frame are what they were when the format was frozen."""
    payload = bytes.fromhex(str(vector["payload"]))
    wire = bytes.fromhex(str(vector["wire"]))
    kind = FrameType[str(vector["type"])]
    stream_id, flags = int(vector["stream_id"]), int(vector["flags"])
    assert encode_frame(kind, payload, stream_id=stream_id, flags=flags) == wire
    assert FrameDecoder().feed(wire) == [Frame(kind, flags, stream_id, memoryview(payload))]


def test_every_type_has_a_vector() -> None:
    """No frame type is missing from the vectors."""
    assert {vector["type"] for vector in VECTORS} == set(FrameType.__members__)


def test_sequenced_types() -> None:
    """Types below 32 are the ones that resume replays."""
    sequenced = {"OPEN", "HEAD", "DATA", "TRAILERS", "CLOSE", "RESET", "WINDOW", "DRAIN"}
    sequenced |= {"ASK", "REPLY"}
    assert {kind.name for kind in FrameType if kind < FIRST_UNSEQUENCED} == sequenced


@examples(100)
@given(frames=FRAMES, cuts=st.lists(st.integers(0, 300)))
def test_cut_anywhere(frames: list[tuple[int, int, int, bytes]], cuts: list[int]) -> None:
    """Frames come out whole and in order, wherever the bytes are cut."""
    wire = b"".join(
        len(payload).to_bytes(3, "big") + bytes((kind, flags)) + sid.to_bytes(4, "big") + payload
        for kind, flags, sid, payload in frames
    )
    decoder = FrameDecoder()
    found: list[Frame] = []
    edges = [0, *sorted(min(cut, len(wire)) for cut in cuts), len(wire)]
    for start, stop in pairwise(edges):
        found += decoder.feed(wire[start:stop])
    assert [(f.type, f.flags, f.stream_id, bytes(f.payload)) for f in found] == frames
    assert decoder.buffered == 0


@pytest.mark.parametrize("wrap", [bytes, bytearray, memoryview])
def test_payloads_stay_valid(wrap: type[bytes | bytearray | memoryview]) -> None:
    """Payloads keep their bytes while the decoder goes on, from any kind of buffer."""
    wire = b"".join(encode_frame(FrameType.DATA, bytes((n,)) * 5, stream_id=n) for n in range(1, 9))
    decoder = FrameDecoder()
    frames = [
        frame
        for start in range(0, len(wire), 9)
        for frame in decoder.feed(wrap(wire[start : start + 9]))
    ]
    assert [bytes(frame.payload) for frame in frames] == [bytes((n,)) * 5 for n in range(1, 9)]


def test_one_byte_segments() -> None:
    """T57: a large frame that comes byte by byte is decoded once, without being scanned again."""
    wire = encode_frame(FrameType.DATA, bytes(range(256)) * 40, stream_id=1, flags=Flag.END)
    decoder = FrameDecoder()
    for index in range(len(wire) - 1):
        assert decoder.feed(wire[index : index + 1]) == []
    assert decoder.buffered == len(wire) - 1
    (frame,) = decoder.feed(wire[-1:])
    assert frame == Frame(FrameType.DATA, Flag.END, 1, memoryview(wire)[FRAME_HEADER_SIZE:])


@pytest.mark.parametrize("cut", [1, FRAME_HEADER_SIZE, 20_000])
def test_long_read_behind_a_cut_frame_is_not_copied(cut: int) -> None:
    """Only the frame that was cut is put together; what comes whole stays where it is."""
    payloads = [bytes((n,)) * 30_000 for n in range(4)]
    wire = b"".join(encode_frame(FrameType.DATA, one, stream_id=1) for one in payloads)
    decoder = FrameDecoder()
    assert decoder.feed(wire[:cut]) == []
    rest = wire[cut:]
    frames = decoder.feed(rest)
    assert [bytes(frame.payload) for frame in frames] == payloads
    kept = [frame.payload.obj for frame in frames if isinstance(frame.payload, memoryview)]
    assert [one is rest for one in kept] == [False, True, True, True]
    assert decoder.buffered == 0


def test_largest_frame() -> None:
    """A payload of exactly the limit passes."""
    (frame,) = FrameDecoder().feed(encode_frame(FrameType.DATA, bytes(MAX_FRAME_SIZE)))
    assert len(frame.payload) == MAX_FRAME_SIZE


def test_oversized_frame() -> None:
    """T43: a frame above the limit is refused by its header alone, before a byte is kept."""
    header = (MAX_FRAME_SIZE + 1).to_bytes(3, "big") + bytes(6)
    with pytest.raises(FrameError, match="frame of 131073 bytes exceeds limit of 131072") as error:
        FrameDecoder().feed(header)
    assert error.value.code == GoawayCode.FRAME_ERROR


def test_clear() -> None:
    """A partial frame is forgotten with its transport."""
    wire = encode_frame(FrameType.PING, bytes(16))
    decoder = FrameDecoder()
    decoder.feed(wire[:-1])
    decoder.clear()
    assert decoder.buffered == 0
    assert [frame.type for frame in decoder.feed(wire)] == [FrameType.PING]
