from __future__ import annotations

import pytest

from asgi_tunnel.errors import LocalProtocolError
from asgi_tunnel.protocol.codes import DrainReason, GoawayCode, ResetCode
from asgi_tunnel.protocol.connection import Connection, Role, State
from asgi_tunnel.protocol.events import (
    CloseReceived,
    DataReceived,
    DrainReceived,
    HeadReceived,
    SessionTerminated,
    StreamOpened,
    StreamReset,
    StreamWritable,
    TrailersReceived,
    TransportSilent,
)
from asgi_tunnel.protocol.frames import DEFINED_FLAGS, Flag, FrameType, StreamKind, encode_frame
from asgi_tunnel.protocol.head import HeadError, ResponseHead
from asgi_tunnel.protocol.limits import (
    ACK_FRAMES,
    CONTROL_LIMIT,
    DATA_QUANTUM,
    HEARTBEAT_INTERVAL,
    HEARTBEAT_TIMEOUT,
    MAX_CLOSE_REASON_SIZE,
    MAX_REASON_SIZE,
    MAX_STREAM_ID,
    MAX_STREAM_WINDOW,
    OUTBOX_LOW,
    REPLAY_LIMIT,
    RESUME_WINDOW,
    WINDOW_FLOOR,
    Settings,
    Timing,
)

from .pair import (
    ACCEPT,
    OK,
    REQUEST,
    WIDE,
    ConnectionPair,
    connection,
    data_frame,
    frames_of,
    head_frame,
    only,
    open_frame,
    terminated,
    types_of,
    window_frame,
)

EDGE, CONNECTOR = Role.EDGE, Role.CONNECTOR
HTTP, WEBSOCKET, BYTES = StreamKind
HANDSHAKE = {FrameType.HELLO, FrameType.WELCOME, FrameType.REFUSE}


# -- an exchange -------------------------------------------------------------------------------


def test_small_exchange() -> None:
    """A bodiless request and its response are one frame each way, without a WINDOW."""
    pair = ConnectionPair()
    pair.settle()
    stream_id = pair.edge.open_stream(HTTP, REQUEST, now=0.0, end=True)
    assert types_of(pair.flush(EDGE)) == [FrameType.OPEN]
    assert pair.deliver(CONNECTOR) == [StreamOpened(stream_id, HTTP, REQUEST, b"", True)]
    answer = ResponseHead(200, [(b"content-length", b"5")])
    assert pair.connector.send_head(stream_id, answer)
    assert pair.connector.send_data(stream_id, b"hello", end=True)
    assert types_of(pair.flush(CONNECTOR)) == [FrameType.HEAD]
    assert pair.deliver(EDGE) == [HeadReceived(stream_id, answer, b"hello", True)]
    pair.edge.consume(stream_id, 5, 0.0)
    assert not pair.edge.has_output
    pair.assert_idle()


def test_large_body_both_ways() -> None:
    """Bodies larger than every window arrive whole while they are read."""
    body = bytes(range(256)) * 2000
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.edge.send_data(stream_id, body, end=True)
    pair.connector.send_head(stream_id, OK)
    pair.connector.send_data(stream_id, body, end=True)
    got = {EDGE: bytearray(), CONNECTOR: bytearray()}
    while events := pair.settle():
        for role, found in events.items():
            for event in found:
                if isinstance(event, DataReceived | HeadReceived):
                    got[role] += event.data
            pair.consume(role, found)
        if not any(events.values()):
            break
    assert got == {EDGE: body, CONNECTOR: body}
    pair.assert_idle()


def test_interim_heads_and_trailers() -> None:
    """Interim heads come before the final one, trailers end the body."""
    pair = ConnectionPair()
    stream_id = pair.open(end=True)
    for status in (100, 103, 103, 200):
        pair.connector.send_head(stream_id, ResponseHead(status, [(b"a", b"b")]))
    pair.connector.send_data(stream_id, b"x")
    pair.connector.send_trailers(stream_id, [(b"sum", b"1")])
    events = pair.move(CONNECTOR)
    heads = [(e.head.status, e.data) for e in events if isinstance(e, HeadReceived)]
    assert heads == [(100, b""), (103, b""), (103, b""), (200, b"x")]
    assert events[-1] == TrailersReceived(stream_id, [(b"sum", b"1")])
    pair.assert_idle()


def test_websocket() -> None:
    """Messages keep type and boundaries, empty ones too; closes keep code and reason."""
    pair = ConnectionPair()
    stream_id = pair.open(WEBSOCKET)
    pair.connector.send_head(stream_id, ACCEPT)
    pair.connector.send_data(stream_id, b"", text=True)
    pair.connector.send_data(stream_id, b"ab", more=True)
    pair.connector.send_data(stream_id, b"c")
    events = pair.move(CONNECTOR)
    assert only(events, HeadReceived).head.status == 101
    messages = [
        (e.data, e.text, e.more, e.flow_controlled_size)
        for e in events
        if isinstance(e, DataReceived)
    ]
    assert messages == [
        (b"", True, False, 9),
        (b"ab", False, True, 11),
        (b"c", False, False, 10),
    ]
    pair.edge.send_close(stream_id, 1005)
    assert pair.move(EDGE) == [CloseReceived(stream_id, 1005, "")]
    pair.connector.send_close(stream_id, 4001, "bye \N{WAVING HAND SIGN}")
    assert pair.move(CONNECTOR) == [CloseReceived(stream_id, 4001, "bye \N{WAVING HAND SIGN}")]
    pair.assert_idle()


def test_denied_websocket() -> None:
    """A WebSocket is denied with any other status, which has a body."""
    pair = ConnectionPair()
    stream_id = pair.open(WEBSOCKET)
    pair.connector.send_head(stream_id, ResponseHead(403, []))
    pair.connector.send_data(stream_id, b"no", end=True)
    events = pair.move(CONNECTOR)
    assert only(events, HeadReceived).head.status == 403
    data = only(events, DataReceived)
    assert (data.data, data.end, data.text, data.more) == (b"no", True, False, False)


def test_bytes() -> None:
    """A BYTES stream carries bytes both ways, each way with its own end."""
    pair = ConnectionPair()
    stream_id = pair.open(BYTES, data=b"client hello")
    pair.connector.send_head(stream_id, OK)
    pair.connector.send_data(stream_id, b"server hello", end=True)
    assert only(pair.move(CONNECTOR), HeadReceived).data == b"server hello"
    pair.edge.send_data(stream_id, b"more", end=True)
    assert only(pair.move(EDGE), DataReceived).data == b"more"
    pair.assert_idle()


def test_buffers_are_taken_as_they_are() -> None:
    """Bodies may be bytes, bytearrays or views; a long one arrives as a view."""
    pair = ConnectionPair()
    stream_id = pair.open()
    for data in (b"a" * 10, bytearray(b"b" * 10), memoryview(b"c" * 20_000)):
        pair.edge.send_data(stream_id, data)
    data_events = [e for e in pair.move(EDGE) if isinstance(e, DataReceived)]
    assert b"".join(e.data for e in data_events) == b"a" * 10 + b"b" * 10 + b"c" * 20_000
    assert [type(e.data) for e in data_events] == [bytes, bytes, memoryview]


# -- resets ------------------------------------------------------------------------------------


@pytest.mark.parametrize("role", Role)
def test_reset(role: Role) -> None:
    """A RESET ends the stream at both ends and drops what was queued."""
    pair = ConnectionPair()
    stream_id = pair.open(data=b"x" * 60_000)
    pair.edge.send_data(stream_id, b"y" * 60_000)
    pair.ends[role].reset_stream(stream_id, ResetCode.TIMEOUT, "slow")
    events = pair.settle()[pair.other(role)]
    assert only(events, StreamReset) == StreamReset(stream_id, ResetCode.TIMEOUT, "slow")
    assert not any(isinstance(event, DataReceived) for event in events)
    pair.assert_idle()


def test_resets_cross() -> None:
    """Two RESETs that cross end the stream once; frames of it in flight are ignored."""
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.edge.send_data(stream_id, b"x" * 60_000)
    pair.flush(EDGE)
    for end in pair.ends.values():
        end.reset_stream(stream_id, ResetCode.CANCELLED)
    events = pair.settle()
    assert not any(isinstance(e, StreamReset) for found in events.values() for e in found)
    pair.assert_idle()


def test_reset_of_a_stream_just_opened() -> None:
    """A stream that is reset in the turn it was opened in is opened and reset, in this order."""
    pair = ConnectionPair()
    stream_id = pair.edge.open_stream(HTTP, REQUEST, now=0.0, end=False)
    pair.edge.reset_stream(stream_id, ResetCode.CANCELLED)
    following = pair.edge.open_stream(HTTP, REQUEST, now=0.0, end=True)
    events = pair.move(EDGE)
    assert [(type(event), event.stream_id) for event in events] == [  # type: ignore[union-attr]
        (StreamOpened, stream_id),
        (StreamReset, stream_id),
        (StreamOpened, following),
    ]


def test_reset_wakes_streams_that_wait_for_the_session() -> None:
    """T44: what a reset gives back to the session goes to a stream that waits for it."""
    for role in Role:
        pair = ConnectionPair(connector=Settings(session_window=WINDOW_FLOOR))
        hog, other = pair.open(), pair.open()
        pair.edge.send_data(hog, b"x" * 60_000)
        pair.move(EDGE)
        pair.edge.send_data(other, b"y" * 30_000, end=True)
        pair.move(EDGE)
        assert pair.edge.streams._table.scheduler._starved
        pair.ends[role].reset_stream(hog, ResetCode.CANCELLED)
        got = sum(len(e.data) for e in pair.settle()[CONNECTOR] if isinstance(e, DataReceived))
        assert got >= 10_000
        assert not pair.edge.streams._table.streams[other].queued


def test_reset_crosses_the_end() -> None:
    """Both ends count the session alike when a RESET meets a stream that just closed, unread."""
    pair = ConnectionPair()
    stream_id = pair.open(data=b"x" * 60_000, end=True)
    pair.connector.send_head(stream_id, OK)
    pair.connector.send_data(stream_id, b"", end=True)
    pair.flush(CONNECTOR)
    assert pair.connector.streams._table._unread_windows
    pair.edge.reset_stream(stream_id, ResetCode.CANCELLED)
    pair.settle()
    pair.assert_idle()


def test_reset_of_a_closed_stream_drops_what_is_unread() -> None:
    """Resetting a stream that is closed but unread gives its bytes back to the session."""
    pair = ConnectionPair()
    stream_id = pair.open(data=b"x" * 60_000, end=True)
    pair.connector.send_head(stream_id, OK)
    pair.connector.send_data(stream_id, b"", end=True)
    pair.settle()
    assert pair.edge.streams._table._uncredited_windows
    pair.connector.reset_stream(stream_id, ResetCode.CANCELLED)
    pair.connector.reset_stream(stream_id, ResetCode.CANCELLED)
    pair.assert_idle()


def test_reading_a_closed_stream() -> None:
    """A closed stream that is read in pieces gives its bytes back; small rests are forgotten."""
    pair = ConnectionPair()
    stream_id = pair.open(data=b"x" * 60_000, end=True)
    pair.connector.send_head(stream_id, OK)
    pair.connector.send_data(stream_id, b"", end=True)
    pair.settle()
    pair.connector.consume(stream_id, 40_000, 0.0)
    pair.settle()
    assert pair.edge.streams._table._uncredited_windows
    pair.connector.consume(stream_id, 20_018, 0.0)
    pair.assert_idle()


# -- misuse by this side -----------------------------------------------------------------------


def test_misuse_is_raised_at_once() -> None:
    """What a side may not do raises and sends nothing."""
    pair = ConnectionPair()
    stream_id = pair.open(end=True)
    with pytest.raises(LocalProtocolError, match="DATA cannot be sent"):
        pair.connector.send_data(stream_id, b"before the head")
    pair.connector.send_head(stream_id, OK)
    with pytest.raises(LocalProtocolError, match="HEAD cannot be sent"):
        pair.connector.send_head(stream_id, OK)
    with pytest.raises(LocalProtocolError, match="INTERIM cannot be sent"):
        pair.connector.send_head(stream_id, ResponseHead(103, []))
    with pytest.raises(LocalProtocolError, match="TRAILERS cannot be sent"):
        pair.edge.send_trailers(stream_id, [])
    with pytest.raises(LocalProtocolError, match="CLOSE cannot be sent"):
        pair.edge.send_close(stream_id, 1000)
    with pytest.raises(LocalProtocolError, match="no stream can be opened"):
        pair.connector.open_stream(HTTP, REQUEST, now=0.0, end=True)


def test_unsendable_heads() -> None:
    """A head that cannot be encoded raises and leaves the stream as it was."""
    pair = ConnectionPair()
    with pytest.raises(HeadError):
        pair.edge.open_stream(HTTP, REQUEST._replace(target=b"/\n"), now=0.0, end=True)
    assert pair.edge.last_stream_id == 0
    stream_id = pair.open(end=True)
    with pytest.raises(HeadError):
        pair.connector.send_head(stream_id, ResponseHead(700, []))
    pair.connector.send_head(stream_id, OK)
    with pytest.raises(HeadError):
        pair.connector.send_trailers(stream_id, [(b"a", b"\n")])
    pair.connector.send_trailers(stream_id, [])
    pair.assert_idle()


def test_calls_on_a_stream_that_is_gone() -> None:
    """Whatever is sent on a stream that is gone is taken and dropped."""
    pair = ConnectionPair()
    pair.settle()
    for end in pair.ends.values():
        assert end.send_head(9, OK)
        assert end.send_data(9, b"x")
        end.send_trailers(9, [])
        end.send_close(9, 1000)
        end.reset_stream(9, ResetCode.CANCELLED)
        end.consume(9, 10, 0.0)
        end.consume(9, 0, 0.0)
        assert not end.has_output


@pytest.mark.parametrize("reason", ["x" * 122 + "é", "x" * 600, "\ud800", "é" * 400])
def test_reasons_are_cut_between_characters(reason: str) -> None:
    """A reason is cut to its limit as valid UTF-8, and never grows on its way."""
    pair = ConnectionPair()
    stream_id = pair.open(WEBSOCKET)
    pair.edge.send_close(stream_id, 1000, reason)
    close = only(pair.move(EDGE), CloseReceived)
    pair.edge.reset_stream(stream_id, ResetCode.CANCELLED, reason)
    reset = only(pair.move(EDGE), StreamReset)
    pair.edge.terminate(GoawayCode.SHUTDOWN, reason)
    ended = only(pair.move(EDGE), SessionTerminated)
    for got, limit in [
        (close.reason, MAX_CLOSE_REASON_SIZE),
        (reset.reason, MAX_REASON_SIZE),
        (ended.reason, MAX_REASON_SIZE),
    ]:
        assert reason.encode("utf-8", "replace").startswith(got.encode())
        assert limit - 1 <= len(got.encode()) <= limit or len(reason) < 200


def test_invalid_reason_from_the_peer() -> None:
    """Bytes of a reason that are not UTF-8 are dropped: it cannot grow above its limit."""
    pair = ConnectionPair()
    stream_id = pair.open(WEBSOCKET)
    payload = (1000).to_bytes(2, "big") + b"a" + b"\xff" * 122
    wire = encode_frame(FrameType.CLOSE, payload, stream_id=stream_id)
    pair.connector.receive_data(wire, 0.0)
    assert pair.connector.events() == [CloseReceived(stream_id, 1000, "a")]


# -- backpressure, flow control, fairness ------------------------------------------------------


def test_writable() -> None:
    """A sender that has to wait is told once when it may go on."""
    pair = ConnectionPair()
    stream_id = pair.open()
    assert pair.edge.send_data(stream_id, b"x" * 60_000)
    assert not pair.edge.send_data(stream_id, b"x" * 60_000)
    events = pair.settle()
    assert events[EDGE] == []
    pair.consume(CONNECTOR, events[CONNECTOR])
    assert pair.settle()[EDGE] == [StreamWritable(stream_id)]
    assert pair.edge.buffered <= OUTBOX_LOW + pair.edge.sequence.replay.size


def test_small_exchange_beside_a_bulk_one() -> None:
    """T44: a small response waits for one quantum of a bulk transfer at most."""
    pair = ConnectionPair(edge=WIDE, connector=WIDE)
    bulk, small = pair.open(end=True), pair.open(end=True)
    pair.settle()
    pair.connector.send_head(bulk, OK)
    pair.connector.send_data(bulk, bytes(40 * DATA_QUANTUM))
    for _ in range(5):
        pair.connector.data_to_send(1)
    pair.connector.send_head(small, OK)
    pair.connector.send_data(small, b"small", end=True)
    frames = frames_of(pair.connector.data_to_send(1) + pair.connector.data_to_send(1))
    place = [frame.stream_id for frame in frames].index(small)
    assert sum(len(frame.payload) for frame in frames[:place]) <= DATA_QUANTUM


def test_control_frames_pass_data() -> None:
    """T44: PONG, RESET and WINDOW leave before data that has been queued for long."""
    pair = ConnectionPair(edge=WIDE, connector=WIDE)
    bulk, upload, other = pair.open(end=True), pair.open(), pair.open()
    pair.edge.send_data(upload, bytes(WIDE.stream_window - 100))
    events = pair.move(EDGE)
    pair.settle()
    pair.connector.send_head(bulk, OK)
    pair.connector.send_data(bulk, bytes(20 * DATA_QUANTUM))
    pair.connector.data_to_send(1)
    pair.consume(CONNECTOR, events)
    pair.connector.reset_stream(other, ResetCode.REFUSED)
    ping = encode_frame(FrameType.PING, bytes(16))
    pair.connector.receive_data(ping, 0.0)
    types = types_of(pair.connector.data_to_send())
    first_data = types.index(FrameType.DATA)
    assert {FrameType.PONG, FrameType.RESET, FrameType.WINDOW} <= set(types[:first_data])
    assert set(types[first_data:]) == {FrameType.DATA}


@pytest.mark.parametrize("session_window", [WINDOW_FLOOR, Settings().session_window])
def test_stalled_streams_starve_no_other(session_window: int) -> None:
    """T44: 200 streams that nobody reads leave another one all it needs, whatever its size."""
    pair = ConnectionPair(edge=Settings(session_window=session_window))
    stalled = [pair.open(end=True) for _ in range(200)]
    body = bytes(300_000)
    for stream_id in stalled:
        pair.connector.send_head(stream_id, OK)
        pair.connector.send_data(stream_id, body)
    pair.move(CONNECTOR)
    used = pair.edge.streams._table.windows.receiving.used
    assert used > session_window * 0.55
    live = pair.open(end=True)
    pair.connector.send_head(live, OK)
    pair.connector.send_data(live, body, end=True)
    got = 0
    for _ in range(100):
        events = [
            e
            for e in pair.move(CONNECTOR)
            if isinstance(e, DataReceived | HeadReceived) and e.stream_id == live
        ]
        got += sum(len(e.data) for e in events)
        pair.consume(EDGE, list(events))
        pair.move(EDGE)
    assert got == len(body)


def test_session_filled_after_the_read_was_kept_back() -> None:
    """T44: a stream that has been read goes on, though others fill the session meanwhile."""
    pair = ConnectionPair(connector=Settings(session_window=WINDOW_FLOOR))
    live, hog = pair.open(), pair.open()
    pair.edge.send_data(live, bytes(WINDOW_FLOOR - 9))
    pair.consume(CONNECTOR, pair.move(EDGE))
    pair.move(CONNECTOR)
    pair.edge.send_data(hog, bytes(60_000))
    pair.move(EDGE)
    pair.edge.send_data(live, bytes(5_000), end=True)
    assert sum(len(e.data) for e in pair.move(EDGE) if isinstance(e, DataReceived)) == 5_000


def test_streams_that_wait_for_the_session_take_turns() -> None:
    """T44: what the session window gives back goes to the stream that has waited longest."""
    pair = ConnectionPair(connector=Settings(session_window=WINDOW_FLOOR))
    streams = [pair.open() for _ in range(6)]
    for stream_id in streams:
        pair.edge.send_data(stream_id, bytes(500_000))
    got = dict.fromkeys(streams, 0)
    for _ in range(300):
        pair.now += 1.0
        events = pair.move(EDGE)
        for event in events:
            if isinstance(event, DataReceived):
                got[event.stream_id] += len(event.data)
        pair.consume(CONNECTOR, events)
        pair.move(CONNECTOR)
        if sum(got.values()) > 1_000_000:
            break
    assert min(got.values()) * 3 > max(got.values())


def test_window_growth_reaches_the_sender() -> None:
    """A reader that keeps up frame by frame has the widest window after a few round trips."""
    pair = ConnectionPair()
    stream_id = pair.open()
    for _ in range(10):  # round trips of 0.1 s
        pair.edge.send_data(stream_id, bytes(MAX_STREAM_WINDOW))
        while pair.edge.has_output:
            pair.flush(EDGE, 1)
            pair.consume(CONNECTOR, pair.deliver(CONNECTOR))
        pair.now += 0.1
        pair.move(CONNECTOR)
    assert pair.edge.streams._table.streams[stream_id].send_window.available() == MAX_STREAM_WINDOW


# -- heartbeat ---------------------------------------------------------------------------------


def test_heartbeat() -> None:
    """A silent session is asked after the interval, and is lost after the timeout."""
    conn = connection(EDGE)
    assert types_of(conn.data_to_send()) == [FrameType.PING]
    assert conn.next_deadline() == HEARTBEAT_INTERVAL
    conn.handle_deadline(HEARTBEAT_INTERVAL - 0.1)
    assert not conn.has_output
    conn.handle_deadline(4.0)
    assert types_of(conn.data_to_send()) == [FrameType.PING]
    assert conn.next_deadline() == 8.0
    conn.handle_deadline(8.0)
    assert conn.next_deadline() == HEARTBEAT_TIMEOUT
    conn.handle_deadline(9.0)
    assert conn.events() == [TransportSilent(9.0)]


def test_round_trip() -> None:
    """A PONG gives the round trip; anything received puts the next PING off."""
    pair = ConnectionPair()
    pair.flush(EDGE)
    pair.deliver(CONNECTOR)
    pair.flush(CONNECTOR)
    pair.now = 0.25
    pair.deliver(EDGE)
    assert pair.edge.round_trip == 0.25
    assert pair.edge.next_deadline() == 0.25 + HEARTBEAT_INTERVAL
    unknown = encode_frame(FrameType.PONG, (99).to_bytes(8, "big") + bytes(8))
    pair.edge.receive_data(unknown, 5.0)
    assert pair.edge.round_trip == 0.25


def test_pings_are_answered_once() -> None:
    """T43: a flood of PINGs has one PONG, for the last one."""
    conn = connection(CONNECTOR)
    for number in range(1000):
        ping = encode_frame(FrameType.PING, number.to_bytes(8, "big") + bytes(8))
        conn.receive_data(ping, 0.0)
    frames = frames_of(conn.data_to_send())
    assert [frame.type for frame in frames] == [FrameType.PING, FrameType.PONG]
    assert bytes(frames[1].payload[:8]) == (999).to_bytes(8, "big")


def test_trace() -> None:
    """Each frame received is shown to the trace."""
    seen: list[tuple[str, int, int, int, int]] = []
    conn = Connection(
        CONNECTOR,
        local=Settings(),
        peer=Settings(),
        timing=Timing(),
        now=0.0,
        trace=lambda *frame: seen.append(frame),
    )
    conn.receive_data(encode_frame(FrameType.PING, bytes(16)), 0.0)
    assert seen == [("<", FrameType.PING, 0, 0, 16)]


# -- acknowledgement and resumption ------------------------------------------------------------


def test_acknowledgements() -> None:
    """Every 256 sequenced frames an ACK is due, which empties the replay buffer."""
    pair = ConnectionPair()
    pair.settle()
    stream_id = pair.open(WEBSOCKET)
    for _ in range(ACK_FRAMES - 2):
        pair.edge.send_data(stream_id, b"x")
    pair.move(EDGE)
    assert not pair.connector.has_output
    pair.edge.send_data(stream_id, b"x")
    pair.move(EDGE)
    assert types_of(pair.flush(CONNECTOR)) == [FrameType.ACK]
    pair.deliver(EDGE)
    assert pair.edge.sequence.replay.size == 0


def test_replay_limit() -> None:
    """Stream frames stop at the replay limit and go on with an ACK; control frames do not stop."""
    pair = ConnectionPair(edge=WIDE, connector=WIDE)
    streams = [pair.open() for _ in range(8)]
    pair.settle()
    for stream_id in streams:
        pair.edge.send_data(stream_id, bytes(WIDE.stream_window - 20_000))
    while pair.edge.has_output:
        pair.flush(EDGE)
    assert REPLAY_LIMIT <= pair.edge.sequence.replay.size < REPLAY_LIMIT + 200 * 1024
    assert pair.edge.data_to_send() == b""
    pair.edge.drain(DrainReason.RENEW)
    assert types_of(pair.flush(EDGE)) == [FrameType.DRAIN]
    pair.deliver(CONNECTOR)
    pair.move(CONNECTOR)
    assert pair.edge.has_output


def test_resume() -> None:
    """What was lost is sent again, and nothing that had arrived."""
    pair = ConnectionPair()
    pair.settle()
    stream_id = pair.open(WEBSOCKET)
    for number in range(3):
        pair.edge.send_data(stream_id, b"%d" % number)
        pair.flush(EDGE)
    assert [e.data for e in pair.deliver(CONNECTOR, 15) if isinstance(e, DataReceived)] == [b"0"]
    pair.lose()
    assert pair.edge.state is State.SUSPENDED
    assert (pair.edge.sent_frames, pair.connector.received_frames) == (4, 2)
    assert not pair.edge.has_output
    assert pair.edge.data_to_send() == b""
    pair.edge.send_data(stream_id, b"3")
    pair.edge.receive_data(b"late bytes of the old transport", 0.0)
    pair.resume()
    got = [e.data for e in pair.settle()[CONNECTOR] if isinstance(e, DataReceived)]
    assert got == [b"1", b"2", b"3"]


def test_lost_again_during_the_replay() -> None:
    """A second loss in the middle of a replay sends the rest again."""
    pair = ConnectionPair()
    stream_id = pair.open(WEBSOCKET)
    for number in range(6):
        pair.edge.send_data(stream_id, b"%d" % number)
        pair.flush(EDGE)
    pair.lose()
    got: list[bytes | memoryview] = []
    for _ in range(5):
        pair.resume()
        pair.flush(EDGE)  # the PING and one chunk of the replay
        events = pair.deliver(CONNECTOR)
        got += [e.data for e in events if isinstance(e, DataReceived)]
        pair.flush(EDGE)
        pair.lose()
    pair.resume()
    events = pair.settle()[CONNECTOR]
    got += [e.data for e in events if isinstance(e, DataReceived)]
    assert got == [b"%d" % number for number in range(6)]


def test_resume_while_one_side_has_not_noticed() -> None:
    """A new transport replaces one that this side still believed in."""
    pair = ConnectionPair()
    pair.settle()
    assert pair.edge.state is State.ACTIVE
    pair.resume()
    assert pair.edge.state is State.ACTIVE
    assert types_of(pair.flush(EDGE)) == [FrameType.PING]


def test_impossible_count_on_resume() -> None:
    """A count that cannot be ends the session with RESUME_FAILED."""
    pair = ConnectionPair()
    pair.open()
    pair.lose()
    assert not pair.edge.resume(5, 0.0)
    event = terminated(pair.edge)
    assert event.code == GoawayCode.RESUME_FAILED
    assert not pair.edge.resume(1, 0.0)


def test_resume_window() -> None:
    """A session that is not resumed in time ends; the last moment still counts."""
    pair = ConnectionPair()
    pair.now = 100.0
    pair.lose()
    assert pair.edge.next_deadline() == 100.0 + RESUME_WINDOW
    pair.edge.handle_deadline(129.9)
    assert pair.edge.state is State.SUSPENDED
    pair.edge.handle_deadline(130.0)
    event = terminated(pair.edge)
    assert (event.code, event.by_peer) == (GoawayCode.NO_ERROR, False)
    assert pair.edge.next_deadline() is None
    pair.edge.handle_deadline(999.0)
    assert pair.edge.events() == []


def test_session_that_does_not_resume() -> None:
    """With a resume window of 0 nothing is kept, and a loss is the end."""
    pair = ConnectionPair(timing=Timing(resume_window=0.0))
    pair.open(data=bytes(50_000))
    assert pair.edge.buffered == 0
    nonsense = encode_frame(FrameType.ACK, (99).to_bytes(8, "big"))
    pair.edge.receive_data(nonsense, 0.0)
    assert pair.edge.state is State.ACTIVE
    pair.edge.transport_lost(1.0)
    assert terminated(pair.edge).reason == "the connection was lost"
    pair.edge.transport_lost(2.0)
    assert pair.edge.events() == []


def test_terminate_while_suspended() -> None:
    """A session that ends without a transport has nobody to tell."""
    pair = ConnectionPair()
    pair.lose()
    pair.edge.terminate(GoawayCode.REVOKED)
    assert terminated(pair.edge).code == GoawayCode.REVOKED
    assert pair.edge.data_to_send() == b""


# -- the end of a session ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("what", "seconds", "last_id"),
    [
        ("nothing", RESUME_WINDOW - 0.1, 0),
        ("nothing", RESUME_WINDOW, 1),  # the peer may have had it, and dropped it
        ("pong", 1.0, 1),
        ("resume", 1.0, 1),
    ],
)
def test_who_was_never_heard_has_started_nothing(what: str, seconds: float, last_id: int) -> None:
    """Streams of a session that gives up its place may be opened elsewhere if nobody had it."""
    pair = ConnectionPair()
    assert pair.edge.open_stream(HTTP, REQUEST, now=0.0, end=True) == 1
    if what == "pong":
        pair.settle()
    pair.lose()
    if what == "resume":
        assert pair.edge.resume(0, 0.0)
    pair.edge.give_up_place(seconds)
    event = terminated(pair.edge)
    assert (event.code, event.by_peer) == (GoawayCode.REPLACED, False)
    assert event.last_stream_id == last_id


def test_drain() -> None:
    """DRAIN carries its reason and both times; streams that are open go on."""
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.edge.drain(DrainReason.RESTART, delay=0.5, grace=30.0)
    pair.edge.send_data(stream_id, b"x", end=True)
    events = pair.move(EDGE)
    assert events[0] == DrainReceived(DrainReason.RESTART, 0.5, 30.0)
    assert only(events, DataReceived).end


@pytest.mark.parametrize("retry_after", [None, 0.0, 1.5])
def test_goaway(retry_after: float | None) -> None:
    """GOAWAY is the last frame; it carries code, reason, hint and the last stream that started."""
    pair = ConnectionPair()
    pair.settle()
    stream_id = pair.open()
    pair.edge.open_stream(HTTP, REQUEST, now=0.0, end=True)
    pair.connector.send_head(stream_id, OK)
    pair.connector.drain(DrainReason.SHUTDOWN)
    pair.connector.terminate(GoawayCode.SHUTDOWN, "bye", retry_after=retry_after)
    assert types_of(pair.flush(CONNECTOR)) == [FrameType.GOAWAY]
    assert not pair.connector.has_output
    assert pair.deliver(EDGE) == [
        SessionTerminated(GoawayCode.SHUTDOWN, "bye", True, retry_after, stream_id)
    ]
    mine = terminated(pair.connector)
    assert mine == SessionTerminated(GoawayCode.SHUTDOWN, "bye", False, retry_after, stream_id)
    for end in pair.ends.values():
        end.terminate(GoawayCode.NO_ERROR)
        end.drain(DrainReason.RESTART)
        end.receive_data(b"anything", 0.0)
        assert end.send_data(stream_id, b"x")
        assert not end.can_open
        assert end.open_streams == 0
        assert (end.events(), end.data_to_send()) == ([], b"")


# -- attacks -----------------------------------------------------------------------------------

OPENED = open_frame(1)


def attack(conn: Connection, wire: bytes) -> SessionTerminated:
    """Give bytes to one end, which must end the session; return how, as the peer hears it too."""
    conn.data_to_send()
    conn.receive_data(wire, 0.0)
    event = terminated(conn)
    assert not event.by_peer
    frames = frames_of(conn.data_to_send())
    assert [frame.type for frame in frames] == [FrameType.GOAWAY]
    assert int.from_bytes(frames[0].payload[:2], "big") == event.code
    assert bytes(frames[0].payload[10:]).decode() == event.reason != ""
    conn.receive_data(OPENED, 0.0)
    assert conn.events() == []
    return event


@pytest.mark.parametrize(
    ("wire", "code", "sentence"),
    [
        (encode_frame(0), "FRAME_ERROR", "frame type 0 is unknown"),
        (encode_frame(11, stream_id=1), "FRAME_ERROR", "frame type 11 is unknown"),
        (encode_frame(255), "FRAME_ERROR", "frame type 255 is unknown"),
        (encode_frame(FrameType.HELLO, b"{}"), "FRAME_ERROR", "frame type 32 is unknown"),
        (b"\x02\x00\x01\x03" + bytes(5), "FRAME_ERROR", "frame of 131073 bytes"),
        (b"\xff" * 9, "FRAME_ERROR", "frame of 16777215 bytes"),
        (encode_frame(FrameType.PING, bytes(15)), "FRAME_ERROR", "15 bytes instead of 16"),
        (encode_frame(FrameType.ACK), "FRAME_ERROR", "0 bytes instead of 8"),
        (encode_frame(FrameType.DRAIN, bytes(8)), "FRAME_ERROR", "8 bytes instead of 9"),
        (encode_frame(FrameType.GOAWAY, bytes(9)), "FRAME_ERROR", "GOAWAY of 9 bytes"),
        (encode_frame(FrameType.RESET, b"1", stream_id=1), "FRAME_ERROR", "RESET of 1 bytes"),
        (encode_frame(FrameType.CLOSE, b"1", stream_id=1), "FRAME_ERROR", "CLOSE of 1 bytes"),
        (encode_frame(FrameType.CLOSE, bytes(126), stream_id=1), "FRAME_ERROR", "CLOSE of 126"),
        (window_frame(1, 1) + b"\0" * 3, "FLOW_CONTROL", "WINDOW returns 1 of 0 bytes"),
        (window_frame(1, 0, 2**32 - 1), "FLOW_CONTROL", "exceeds 4194304 bytes"),
        (window_frame(0, 0), "STREAM_STATE", "stream 0 was never opened"),
        (data_frame(2, b""), "STREAM_STATE", "stream 2 was never opened"),
        (open_frame(1), "STREAM_STATE", "OPEN of stream 1 after 1"),
        (open_frame(0), "STREAM_STATE", "OPEN of stream 0 after 1"),
        (open_frame(MAX_STREAM_ID + 1), "STREAM_STATE", "OPEN of stream 2147483648 after 1"),
        (head_frame(1), "STREAM_STATE", "only the app's side sends responses"),
        (data_frame(1, b"", flags=1) + data_frame(1, b"x"), "STREAM_STATE", "state is ENDED"),
        (encode_frame(FrameType.OPEN, b"", stream_id=2), "FRAME_ERROR", "OPEN of 0 bytes"),
        (
            encode_frame(FrameType.TRAILERS, b"odd", stream_id=1),
            "FRAME_ERROR",
            "odd",
        ),
        (
            encode_frame(FrameType.ACK, (1).to_bytes(8, "big")),
            "PROTOCOL_ERROR",
            "acknowledges 1 frames of 0",
        ),
        (encode_frame(FrameType.PONG, b"\xff" * 16), "PROTOCOL_ERROR", "acknowledges"),
        (data_frame(1, bytes(65_536 - 8)), "FLOW_CONTROL", "65537 unread bytes"),
        (open_frame(2, body=bytes(65_537)), "FLOW_CONTROL", "65537 unread bytes"),
    ],
)
def test_attacks_on_the_connector(wire: bytes, code: str, sentence: str) -> None:
    """T43: a frame that breaks a rule ends the session with its code and a sentence."""
    conn = connection(CONNECTOR)
    conn.receive_data(OPENED, 0.0)
    event = attack(conn, wire)
    assert GoawayCode(event.code).name == code
    assert sentence in event.reason


@pytest.mark.parametrize(
    ("wire", "code", "sentence"),
    [
        (open_frame(2), "STREAM_STATE", "only the edge opens streams"),
        (head_frame(2), "STREAM_STATE", "stream 2 was never opened"),
        (head_frame(1) + head_frame(1), "STREAM_STATE", "HEAD came on stream 1"),
        (data_frame(1, b"early"), "STREAM_STATE", "DATA came on stream 1"),
        (head_frame(1, 103, flags=Flag.END), "FRAME_ERROR", "HEAD 103 carries a body"),
        (head_frame(1, 103, body=b"x"), "FRAME_ERROR", "HEAD 103 carries a body"),
        (head_frame(1) + head_frame(1, 103), "STREAM_STATE", "INTERIM came on stream 1"),
        (encode_frame(FrameType.HEAD, b"x", stream_id=1), "FRAME_ERROR", "HEAD of 1 bytes"),
        (head_frame(1, body=bytes(65_537)), "FLOW_CONTROL", "65537 unread bytes"),
    ],
)
def test_attacks_on_the_edge(wire: bytes, code: str, sentence: str) -> None:
    """T43: the same for frames that only a connector sends."""
    conn = connection(EDGE)
    conn.open_stream(HTTP, REQUEST, now=0.0, end=False)
    event = attack(conn, wire)
    assert GoawayCode(event.code).name == code
    assert sentence in event.reason


def test_stream_ids_never_go_back() -> None:
    """T43: an id below the last one is refused, though it was never used."""
    conn = connection(CONNECTOR)
    conn.receive_data(open_frame(5), 0.0)
    assert attack(conn, open_frame(4)).code == GoawayCode.STREAM_STATE


def test_too_many_streams() -> None:
    """T43: one stream above max_streams ends the session; a correct edge asks first."""
    settings = Settings(max_streams=2)
    conn = connection(CONNECTOR, local=settings)
    conn.receive_data(open_frame(1) + open_frame(2), 0.0)
    event = attack(conn, open_frame(3))
    assert event.code == GoawayCode.STREAM_LIMIT
    pair = ConnectionPair(connector=settings)
    pair.open()
    stream_id = pair.open()
    assert not pair.edge.can_open
    with pytest.raises(LocalProtocolError):
        pair.open()
    pair.connector.reset_stream(stream_id, ResetCode.REFUSED)
    pair.settle()
    assert pair.edge.can_open


def test_stream_ids_run_out() -> None:
    """T43: the last stream id can be used, and none after it."""
    edge, peer = connection(EDGE), connection(CONNECTOR)
    edge.streams._table.last_id = MAX_STREAM_ID - 1
    edge.open_stream(HTTP, REQUEST, now=0.0, end=True)
    assert not edge.can_open
    peer.receive_data(edge.data_to_send(), 0.0)
    assert only(peer.events(), StreamOpened).stream_id == MAX_STREAM_ID


def test_reset_flood() -> None:
    """T43: 20,000 streams that are opened and reset at once leave nothing behind."""
    conn = connection(CONNECTOR)
    reset = (1).to_bytes(2, "big")
    for first in range(1, 20_001, 100):
        conn.receive_data(
            b"".join(
                open_frame(n, body=bytes(100)) + encode_frame(FrameType.RESET, reset, stream_id=n)
                for n in range(first, first + 100)
            ),
            0.0,
        )
        assert len(conn.events()) == 200
        conn.data_to_send()
    assert conn.state is State.ACTIVE
    assert (
        conn.open_streams
        == conn.streams._table.windows.receiving.used
        == conn.sequence.replay.size
        == 0
    )
    assert not conn._control
    assert not conn._output.frames


def test_window_flood() -> None:
    """T43: WINDOW frames that return nothing, also for closed streams, are ignored."""
    pair = ConnectionPair()
    closed = pair.open()
    pair.edge.reset_stream(closed, ResetCode.CANCELLED)
    pair.settle()
    stream_id = pair.open()
    pair.edge.receive_data((window_frame(stream_id, 0) + window_frame(closed, 9)) * 5000, 0.0)
    assert pair.edge.state is State.ACTIVE
    assert types_of(pair.flush(EDGE)) == [FrameType.ACK]


def test_data_for_closed_streams() -> None:
    """T43: frames for streams that are gone take no window and make no event."""
    pair = ConnectionPair()
    stream_id = pair.open()
    pair.connector.reset_stream(stream_id, ResetCode.CANCELLED)
    for wire in (
        data_frame(stream_id, bytes(100_000)),
        encode_frame(FrameType.TRAILERS, stream_id=stream_id),
        encode_frame(FrameType.CLOSE, bytes(2), stream_id=stream_id),
    ):
        pair.connector.receive_data(wire * 50, 0.0)
    assert pair.connector.state is State.ACTIVE
    assert pair.connector.events() == []
    assert pair.connector.streams._table.windows.receiving.used == 0
    pair.edge.reset_stream(stream_id, ResetCode.CANCELLED)
    pair.edge.receive_data(head_frame(stream_id), 0.0)
    assert pair.edge.events() == []


def test_peer_that_never_acknowledges() -> None:
    """T43: frames kept for a peer that answers PINGs but acknowledges nothing are bounded."""
    pair = ConnectionPair()
    pair.settle()
    stream_id = pair.open()
    pair.connector.sequence.replay.append(bytes(REPLAY_LIMIT + CONTROL_LIMIT - 100), 1)
    pair.connector.receive_data(data_frame(stream_id, b"x"), 0.0)
    assert pair.connector.state is State.ACTIVE
    for _ in range(8):
        pair.connector.drain(DrainReason.RESTART)
    event = attack(pair.connector, data_frame(stream_id, b"x"))
    assert event.code == GoawayCode.OVERLOAD


def test_one_byte_segments() -> None:
    """T57: a session whose bytes come one by one is the same session."""
    pair = ConnectionPair()
    stream_id = pair.edge.open_stream(HTTP, REQUEST, now=0.0, data=b"x" * 100, end=True)
    pair.edge.drain(DrainReason.RENEW)
    pair.flush(EDGE)
    events = []
    while pair.wires[CONNECTOR]:
        events += pair.deliver(CONNECTOR, 1)
    assert events == [
        StreamOpened(stream_id, HTTP, REQUEST, b"x" * 100, True),
        DrainReceived(DrainReason.RENEW, 0.0, 0.0),
    ]


def test_event_before_an_oversized_frame() -> None:
    """Frames that came whole before the bad one, in earlier bytes, have their events."""
    conn = connection(CONNECTOR)
    conn.receive_data(OPENED, 0.0)
    conn.receive_data(b"\xff" * 9, 0.0)
    assert [type(event) for event in conn.events()] == [StreamOpened, SessionTerminated]


@pytest.mark.parametrize("kind", sorted(set(FrameType) - HANDSHAKE))
def test_undefined_flags_end_the_session(kind: FrameType) -> None:
    """A flag bit that a type does not define is a FRAME_ERROR, whatever else the frame says."""
    undefined = [1 << bit for bit in range(8) if not DEFINED_FLAGS.get(kind, 0) & 1 << bit]
    assert len(undefined) >= 5
    for flags in undefined:
        conn = connection(CONNECTOR)
        conn.receive_data(OPENED + encode_frame(kind, stream_id=1, flags=flags), 0.0)
        ended = terminated(conn)
        assert (ended.code, ended.reason) == (
            GoawayCode.FRAME_ERROR,
            f"frame type {kind} has undefined flags: {flags:#04x}",
        )
        assert types_of(conn.data_to_send())[-1] is FrameType.GOAWAY
