from __future__ import annotations

from functools import cache

from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.protocol.codes import DrainReason, GoawayCode, ResetCode
from asgi_tunnel.protocol.connection import Connection, Role, State
from asgi_tunnel.protocol.events import Event, SessionTerminated
from asgi_tunnel.protocol.frames import FrameType, StreamKind, encode_frame
from asgi_tunnel.protocol.head import ResponseHead
from asgi_tunnel.protocol.limits import MAX_FRAME_SIZE, SESSION_WINDOW, Settings

from .pair import (
    ACCEPT,
    OK,
    OPEN_PAYLOAD,
    REQUEST,
    ConnectionPair,
    connection,
    examples,
    frames_of,
)

ROLES = st.sampled_from(Role)
SETTINGS = Settings(max_streams=4)


def edge_with_streams() -> Connection:
    """An edge that has opened a stream of each kind and sent a body on the first."""
    edge = connection(Role.EDGE, local=SETTINGS, peer=SETTINGS)
    for kind in StreamKind:
        edge.open_stream(kind, REQUEST, now=0.0, end=False)
    edge.send_data(1, bytes(range(256)) * 200)
    edge.send_data(2, "h\N{LATIN SMALL LETTER O WITH DIAERESIS}".encode(), text=True)
    return edge


@cache
def recorded() -> dict[Role, bytes]:
    """What each role is sent in a session that uses every frame type."""
    pair = ConnectionPair()
    pair.edge = pair.ends[Role.EDGE] = edge_with_streams()
    pair.edge.send_trailers(1, [(b"sum", b"1")])
    pair.edge.send_close(2, 1000, "bye")
    pair.edge.reset_stream(3, ResetCode.CANCELLED, "gone")
    following = pair.edge.open_stream(StreamKind.BYTES, REQUEST, now=0.0, end=False)
    pair.edge.drain(DrainReason.RESTART, delay=1.0)
    pair.edge.ask(1, {"ok": True})
    wires = {Role.CONNECTOR: b"", Role.EDGE: b""}
    while pair.edge.has_output:
        wires[Role.CONNECTOR] += pair.flush(Role.EDGE, 1)
    events = pair.deliver(Role.CONNECTOR)
    assert not pair.edge.events()
    connector = pair.connector
    pair.consume(Role.CONNECTOR, events)
    connector.send_head(1, ResponseHead(103, [(b"link", b"x")]))
    connector.send_head(1, OK)
    connector.send_data(1, bytes(30_000))
    connector.send_data(1, bytes(10_000), end=True)
    connector.send_head(2, ACCEPT)
    connector.send_data(2, bytes(5000), more=True)
    connector.send_data(2, b"")
    connector.send_close(2, 1000)
    connector.send_head(following, OK)
    connector.reset_stream(following, ResetCode.INTERNAL_ERROR)
    connector.drain(DrainReason.SHUTDOWN)
    connector.ask(1, {"allow": "192.0.2.7"})
    while connector.has_output:
        wires[Role.EDGE] += pair.flush(Role.CONNECTOR, 1)
    connector.terminate(GoawayCode.SHUTDOWN, "done", retry_after=1.0)
    wires[Role.EDGE] += pair.flush(Role.CONNECTOR)
    return wires


def target(role: Role) -> Connection:
    """An end that the recorded bytes can be given to."""
    if role is Role.CONNECTOR:
        return connection(role, local=SETTINGS, peer=SETTINGS)
    edge = edge_with_streams()
    edge.send_trailers(1, [(b"sum", b"1")])
    edge.send_close(2, 1000, "bye")
    edge.reset_stream(3, ResetCode.CANCELLED, "gone")
    edge.open_stream(StreamKind.BYTES, REQUEST, now=0.0, end=False)
    edge.drain(DrainReason.RESTART, delay=1.0)
    while edge.has_output:
        edge.data_to_send()
    edge.events()
    return edge


@cache
def whole(role: Role) -> list[Event]:
    """Events of the recorded bytes, given frame by frame."""
    conn = target(role)
    events: list[Event] = []
    for frame in frames_of(recorded()[role]):
        wire = encode_frame(frame.type, frame.payload, stream_id=frame.stream_id, flags=frame.flags)
        conn.receive_data(wire, 0.0)
        events += conn.events()
    return events


def give(conn: Connection, data: bytes, cuts: list[int]) -> list[Event]:
    """Give bytes in pieces and return all events."""
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    events: list[Event] = []
    for start, stop in zip([0, *places], [*places, len(data)], strict=True):
        conn.receive_data(data[start:stop], 0.0)
        events += conn.events()
    return events


def assert_sane(conn: Connection) -> None:
    """Either the session goes on within its bounds, or it ended with a coded GOAWAY."""
    events = conn.events()
    if conn.state is State.ACTIVE:
        assert conn._decoder.buffered < MAX_FRAME_SIZE + 9
        assert conn.open_streams <= SETTINGS.max_streams
        assert 0 <= conn.streams._table.windows.receiving.used <= SESSION_WINDOW
        assert 0 <= conn.streams._table.windows.sending.used <= SESSION_WINDOW
        assert len(conn._control._frames) <= 4
        return
    event = events[-1]
    assert isinstance(event, SessionTerminated)
    frames = frames_of(conn.data_to_send())
    if event.by_peer:
        assert not frames
    else:
        assert [frame.type for frame in frames] == [FrameType.GOAWAY]
        assert int.from_bytes(frames[0].payload[:2], "big") == GoawayCode(event.code)
    assert not conn.streams._table.streams
    assert not conn.has_output


def test_the_record_holds_every_type() -> None:
    """The recorded session uses every frame that follows the handshake, but the rare ACK."""
    types = {frame.type for wire in recorded().values() for frame in frames_of(wire)}
    handshake = {FrameType.HELLO, FrameType.WELCOME, FrameType.REFUSE}
    assert types == set(FrameType) - handshake - {FrameType.ACK}


@examples(60)
@given(role=ROLES, cuts=st.lists(st.integers(0, 2**20), max_size=30))
def test_any_cut_gives_the_same_events(role: Role, cuts: list[int]) -> None:
    """T57: wherever the bytes of a session are cut, the events are the same."""
    assert give(target(role), recorded()[role], cuts) == whole(role)


def test_one_byte_segments() -> None:
    """T57: nor do they differ when the bytes come one by one."""
    for role in Role:
        data = recorded()[role]
        assert give(target(role), data, list(range(1, len(data)))) == whole(role)


@examples(150)
@given(role=ROLES, data=st.binary(max_size=400), cuts=st.lists(st.integers(0, 400), max_size=3))
def test_random_bytes(role: Role, data: bytes, cuts: list[int]) -> None:
    """T43: random bytes raise nothing; they are ignored or end the session with a code."""
    conn = target(role)
    conn.data_to_send()
    give_only(conn, data, cuts)
    assert_sane(conn)


def give_only(conn: Connection, data: bytes, cuts: list[int]) -> None:
    """Give bytes in pieces and leave the events."""
    places = sorted(cut % (len(data) + 1) for cut in cuts)
    for start, stop in zip([0, *places], [*places, len(data)], strict=True):
        conn.receive_data(data[start:stop], 0.0)


PAYLOADS = st.one_of(
    st.binary(max_size=30),
    st.sampled_from([0, 1, 8, 16, 9, 10, 65_536]).map(bytes),
    st.binary(max_size=6).map(lambda data: OPEN_PAYLOAD + data),
    st.sampled_from([b"\x00\xc8\x00\x00\x00\x00", b"\x00\x67\x00\x00\x00\x00", b"\xff" * 16]),
)
FRAMES = st.lists(
    st.builds(
        lambda kind, payload, stream_id, flags: encode_frame(
            kind, payload, stream_id=stream_id, flags=flags
        ),
        st.one_of(st.sampled_from(FrameType), st.integers(0, 255)),
        PAYLOADS,
        st.integers(0, 9) | st.sampled_from([2**31 - 1, 2**31, 2**32 - 1]),
        st.integers(0, 7),
    ),
    max_size=12,
)


@examples(300)
@given(role=ROLES, frames=FRAMES)
def test_random_frames(role: Role, frames: list[bytes]) -> None:
    """T43: well-formed frames in any order raise nothing and keep every bound."""
    conn = target(role)
    conn.data_to_send()
    for frame in frames:
        conn.receive_data(frame, 0.0)
        assert_sane(conn)
        if conn.state is State.TERMINATED:
            break


@examples(200)
@given(
    role=ROLES,
    edits=st.lists(
        st.tuples(st.integers(0, 2**20), st.integers(0, 20), st.binary(max_size=20)),
        min_size=1,
        max_size=4,
    ),
    cuts=st.lists(st.integers(0, 2**20), max_size=4),
)
def test_mutated_session(role: Role, edits: list[tuple[int, int, bytes]], cuts: list[int]) -> None:
    """T43, T58: a session with bytes changed, dropped or added raises nothing."""
    data = bytearray(recorded()[role])
    for place, drop, insert in edits:
        start = place % len(data)
        data[start : start + drop] = insert
    conn = target(role)
    conn.data_to_send()
    give_only(conn, bytes(data), cuts)
    assert_sane(conn)
