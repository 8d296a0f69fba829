"""Both ends of a session in memory, a frame factory, and the settings of property tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TypeVar

from hypothesis import HealthCheck, settings

from asgi_tunnel.protocol.connection import Connection, Role, State
from asgi_tunnel.protocol.events import (
    DataReceived,
    Event,
    HeadReceived,
    SessionTerminated,
    StreamOpened,
)
from asgi_tunnel.protocol.frames import Frame, FrameDecoder, FrameType, StreamKind, encode_frame
from asgi_tunnel.protocol.head import (
    Arrival,
    RequestHead,
    ResponseHead,
    encode_request,
    encode_response,
)
from asgi_tunnel.protocol.limits import MAX_STREAM_WINDOW, SETTING_BOUNDS, Settings, Timing

REQUEST = RequestHead(
    method=b"GET",
    target=b"/a?b=%20",
    arrival=Arrival(b"https", b"1.1", b"192.0.2.7", 50_000, b"192.0.2.1", 443),
    request_id=b"r1",
    hostname=b"app.test",
    fields=[(b"host", b"app.test")],
)
OK = ResponseHead(200, [])
ACCEPT = ResponseHead(101, [])
OPEN_PAYLOAD = encode_request(StreamKind.HTTP, REQUEST)
WIDE = Settings(stream_window=MAX_STREAM_WINDOW, session_window=SETTING_BOUNDS["session_window"][1])
"""Windows that never stand in the way."""

T = TypeVar("T", bound=Event)
F = TypeVar("F", bound=Callable[..., None])


def examples(count: int) -> Callable[[F], F]:
    """Settings of a property test: the same examples each time.

    ``ASGI_TUNNEL_FUZZ=20`` runs 20 times as many, chosen at random.
    """
    factor = int(os.environ.get("ASGI_TUNNEL_FUZZ", "0"))
    return settings(
        max_examples=count * max(factor, 1),
        deadline=None,
        derandomize=not factor,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )


def connection(
    role: Role,
    *,
    local: Settings | None = None,
    peer: Settings | None = None,
    timing: Timing | None = None,
) -> Connection:
    """One end that starts at time 0."""
    return Connection(
        role,
        local=local or Settings(),
        peer=peer or Settings(),
        timing=timing or Timing(),
        now=0.0,
    )


def frames_of(data: bytes) -> list[Frame]:
    """Frames of a byte string that holds nothing else."""
    decoder = FrameDecoder()
    frames = decoder.feed(data)
    while decoder.is_behind:
        frames += decoder.read_on()
    assert decoder.buffered == 0
    return frames


def types_of(data: bytes) -> list[FrameType]:
    """Types of the frames of a byte string."""
    return [FrameType(frame.type) for frame in frames_of(data)]


def open_frame(stream_id: int, *, body: bytes = b"", flags: int = 0) -> bytes:
    """An OPEN of an HTTP stream."""
    return encode_frame(FrameType.OPEN, OPEN_PAYLOAD + body, stream_id=stream_id, flags=flags)


def head_frame(stream_id: int, status: int = 200, *, body: bytes = b"", flags: int = 0) -> bytes:
    """A HEAD without fields."""
    payload = encode_response(ResponseHead(status, [])) + body
    return encode_frame(FrameType.HEAD, payload, stream_id=stream_id, flags=flags)


def data_frame(stream_id: int, payload: bytes, *, flags: int = 0) -> bytes:
    """A DATA frame."""
    return encode_frame(FrameType.DATA, payload, stream_id=stream_id, flags=flags)


def window_frame(stream_id: int, consumed: int, growth: int = 0) -> bytes:
    """A WINDOW frame."""
    payload = consumed.to_bytes(4, "big") + growth.to_bytes(4, "big")
    return encode_frame(FrameType.WINDOW, payload, stream_id=stream_id)


def only(events: list[Event], kind: type[T]) -> T:
    """The one event of a type."""
    found = [event for event in events if isinstance(event, kind)]
    assert len(found) == 1, events
    return found[0]


def cost_of(event: Event) -> int:
    """Bytes of window that an event took."""
    match event:
        case DataReceived():
            return event.flow_controlled_size
        case StreamOpened() | HeadReceived():
            return len(event.data)
        case _:
            return 0


def terminated(conn: Connection) -> SessionTerminated:
    """How a session ended; its GOAWAY is left in the output."""
    assert conn.state is State.TERMINATED
    event = conn.events()[-1]
    assert isinstance(event, SessionTerminated)
    return event


class ConnectionPair:
    """Both roles, and the bytes in flight between them.

    Attributes:
        ends: The two connections.
        wires: Bytes on their way to the role that is the key.
        now: Monotonic seconds; nothing moves it but the test.
    """

    def __init__(
        self,
        *,
        edge: Settings | None = None,
        connector: Settings | None = None,
        timing: Timing | None = None,
    ) -> None:
        self.edge = connection(Role.EDGE, local=edge, peer=connector, timing=timing)
        self.connector = connection(Role.CONNECTOR, local=connector, peer=edge, timing=timing)
        self.ends = {Role.EDGE: self.edge, Role.CONNECTOR: self.connector}
        self.wires = {Role.EDGE: bytearray(), Role.CONNECTOR: bytearray()}
        self.now = 0.0

    @staticmethod
    def other(role: Role) -> Role:
        """The role at the other end."""
        return Role.CONNECTOR if role is Role.EDGE else Role.EDGE

    def flush(self, role: Role, budget: int = 128 * 1024) -> bytes:
        """Put one chunk of ``role``'s output on the wire."""
        data = self.ends[role].data_to_send(budget)
        self.wires[self.other(role)] += data
        return data

    def deliver(self, role: Role, size: int | None = None) -> list[Event]:
        """Give ``role`` the next bytes of its wire, all of them without a size."""
        wire = self.wires[role]
        data = bytes(wire[:size])
        del wire[: len(data)]
        end = self.ends[role]
        end.receive_data(data, self.now)
        while end.is_behind:
            end.read_on(self.now)
        return self.ends[role].events()

    def move(self, role: Role) -> list[Event]:
        """Let ``role`` send all it has; return what the other end makes of it."""
        events: list[Event] = []
        while self.ends[role].has_output:
            self.flush(role)
            events += self.deliver(self.other(role))
        return events

    def settle(self) -> dict[Role, list[Event]]:
        """Move bytes both ways until both ends are quiet; return events by receiver."""
        events: dict[Role, list[Event]] = {Role.EDGE: [], Role.CONNECTOR: []}
        while self.edge.has_output or self.connector.has_output or any(self.wires.values()):
            for role in Role:
                self.flush(role)
                events[self.other(role)] += self.deliver(self.other(role))
                events[role] += self.ends[role].events()
        return events

    def open(
        self, kind: StreamKind = StreamKind.HTTP, *, data: bytes = b"", end: bool = False
    ) -> int:
        """Open a stream and bring it to the connector; return its id."""
        stream_id = self.edge.open_stream(kind, REQUEST, now=self.now, data=data, end=end)
        self.move(Role.EDGE)
        return stream_id

    def consume(self, role: Role, events: list[Event]) -> None:
        """Read all that the events brought."""
        for event in events:
            if cost := cost_of(event):
                assert isinstance(event, DataReceived | StreamOpened | HeadReceived)
                self.ends[role].consume(event.stream_id, cost, self.now)

    def lose(self) -> None:
        """Cut the transport: what is in flight is gone."""
        for role in Role:
            self.wires[role].clear()
            self.ends[role].transport_lost(self.now)

    def resume(self) -> None:
        """Go on over a new transport with the counts that HELLO and WELCOME carry."""
        received = {role: end.received_frames for role, end in self.ends.items()}
        for role, end in self.ends.items():
            assert end.resume(received[self.other(role)], self.now)

    def streams(self) -> Iterator[int]:
        """Ids that either end still knows."""
        yield from sorted(
            self.edge.streams._table.streams.keys() | self.connector.streams._table.streams.keys()
        )

    def acknowledge(self) -> None:
        """Let each end ask for, and get, an acknowledgement of everything."""
        self.settle()
        for end in self.ends.values():
            end._control.ping(self.now)
        self.settle()

    def assert_idle(self) -> None:
        """No stream is left, and nothing is counted, kept or owed (white box)."""
        self.acknowledge()
        for role, end in self.ends.items():
            assert end.state is State.ACTIVE, end.events()
            left = (
                end.open_streams,
                end.streams._table.windows.sending.used,
                end.streams._table.windows.receiving.used,
                end.sequence.replay.size,
                len(end.streams._table._uncredited_windows),
                len(end.streams._table._unread_windows),
                len(end.streams._table.scheduler._starved),
                end._output.size,
            )
            assert left == (0,) * 8, (role, left)
            assert not end.has_output
