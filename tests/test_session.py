"""The session between its core, its transport and the event loop."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Sequence
from typing import Any, cast

import pytest

from asgi_tunnel.asgi.types import StreamHandler
from asgi_tunnel.pacing import CPUYield, Pacing
from asgi_tunnel.protocol.codes import GoawayCode, ResetCode
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import Buffer, FrameType, StreamKind, encode_frame
from asgi_tunnel.protocol.head import Arrival, RequestHead, ResponseHead
from asgi_tunnel.protocol.limits import TURN_FRAMES, Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel.transport import WebSocketCodec, WebSocketTransport

uvloop = pytest.importorskip("uvloop")


ARRIVAL = Arrival(b"http", b"1.1", b"192.0.2.1", 1, b"192.0.2.2", 80)
HEAD = RequestHead(b"GET", b"/", ARRIVAL, b"r", b"shop.test", [])


class Ignore:
    """A handler that hears and does nothing."""

    def __getattr__(self, name: str) -> object:
        return lambda *values: None


class Sink:
    """A transport that keeps what it is given."""

    def __init__(self) -> None:
        self.has_room = True
        self.looks = 0
        self.buffered = 0
        self.room = 128 * 1024
        self.sent = asyncio.Event()
        self.messages = 0
        self.data = b""

    @property
    def is_writable(self) -> bool:
        """Whether it has room; counts who asks."""
        self.looks += 1
        return self.has_room

    def send(self, data: bytes) -> None:
        """Note it."""
        self.sent.set()
        self.messages += 1
        self.data += data

    def send_large(self, pieces: Sequence[Buffer]) -> None:
        """The same."""
        self.send(b"".join(pieces))

    def close(self) -> None:
        """Nothing to close."""

    def abort(self) -> None:
        """Nothing to abort."""


def test_deadline_that_is_due_now_is_kept_under_uvloop() -> None:
    """A heartbeat that is due when its timer is set is sent: uvloop makes such timers otherwise."""

    async def main() -> None:
        loop = asyncio.get_running_loop()
        errors: list[dict[str, Any]] = []
        loop.set_exception_handler(lambda _, context: errors.append(context))
        timing = Timing()
        connection = Connection(
            Role.EDGE,
            local=Settings(),
            peer=Settings(),
            timing=timing,
            now=loop.time() - timing.heartbeat_interval,
        )
        session = Session(connection, session_id="session-1")
        sink = Sink()
        session.attach(sink)
        async with asyncio.timeout(5):
            await sink.sent.wait()
        assert errors == []
        session.terminate(GoawayCode.NO_ERROR, "done")

    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(main())


def new_session(role: Role = Role.EDGE, *, cpu: CPUYield | None = None) -> tuple[Session, Sink]:
    """Return a session, an edge's unless said otherwise, and where its bytes go."""
    connection = Connection(
        role,
        local=Settings(),
        peer=Settings(),
        timing=Timing(),
        now=asyncio.get_running_loop().time(),
    )
    session = Session(connection, session_id="session-1", pacing=Pacing(cpu))
    sink = Sink()
    session.attach(sink)
    return session, sink


def ask(session: Session, count: int) -> None:
    """Open streams as visitors do whose requests come in one turn of the loop."""
    for _ in range(count):
        session.open_stream(StreamKind.HTTP, HEAD, cast(StreamHandler, Ignore()), end=True)


async def test_lone_request_leaves_in_its_own_turn() -> None:
    """What else a turn of the loop has to do is not waited for when there is little."""
    session, sink = new_session()
    for _ in range(20):
        await turns(2)
        before = sink.messages
        ask(session, 1)
        assert sink.messages == before + 1
        await turns(2)
        assert sink.messages == before + 1
    session.terminate(GoawayCode.NO_ERROR, "done")


async def test_many_requests_share_a_message() -> None:
    """Turns with many exchanges send them together, until it has been quiet for a while."""
    session, sink = new_session()
    ask(session, 6)
    await turns(2)
    before = sink.messages
    for number in range(5):
        ask(session, 6)
        assert sink.messages == before + number
        await turns(2)
        assert sink.messages == before + number + 1
    for _ in range(20):
        ask(session, 1)
        await turns(2)
    before = sink.messages
    ask(session, 1)
    assert sink.messages == before + 1
    session.terminate(GoawayCode.NO_ERROR, "done")


async def test_small_response_of_a_quiet_tunnel_is_noted_for_bulk() -> None:
    """On both sides it makes a bulk transfer give its core away for a moment."""
    given: list[str] = []
    edge_cpu = CPUYield(lambda: given.append("edge"), lambda: 0.0)  # no time passes
    app_cpu = CPUYield(lambda: given.append("app"), lambda: 0.0)
    session, sink = new_session(cpu=edge_cpu)
    app, app_sink = new_session(Role.CONNECTOR, cpu=app_cpu)
    app.on_stream = lambda *_: cast(StreamHandler, Ignore())
    ask(session, 1)
    await turns(2)
    edge_cpu.yield_now()
    assert given == []  # a request alone may ask for anything
    app.data_received(sink.data)
    app.send_head(1, ResponseHead(200, []))
    app.send_data(1, b"hello", end=True)
    app_cpu.yield_now()
    assert given == ["app"]
    session.data_received(app_sink.data)
    edge_cpu.yield_now()
    assert given == ["app", "edge"]
    for one in (session, app):
        one.terminate(GoawayCode.NO_ERROR, "done")


async def test_full_transport_is_not_asked_again_and_again() -> None:
    """While a socket takes nothing, the session waits for its word and leaves the CPU alone."""
    session, sink = new_session()
    await turns(3)
    sink.has_room = False
    sink.sent.clear()
    session.open_stream(StreamKind.HTTP, HEAD, cast(StreamHandler, Ignore()), end=True)
    session.data_received(b"")
    sink.looks = 0
    await turns(100)
    assert sink.looks <= 2
    assert not sink.sent.is_set()
    sink.has_room = True
    session.transport_writable()
    await turns(2)
    assert sink.sent.is_set()
    session.terminate(GoawayCode.NO_ERROR, "done")


async def test_many_frames_are_taken_in_turns() -> None:
    """T68: a read full of frames is taken a part in each turn of the loop, without another call."""
    session, _ = new_session()
    frames = encode_frame(FrameType.PING, bytes(16)) * (3 * TURN_FRAMES)
    session.data_received(frames)
    looks = 0
    while session.is_behind:
        looks += 1
        await turns(1)
    assert looks == 2
    session.data_received(frames)
    session.terminate(GoawayCode.NO_ERROR, "done")
    assert not session.is_behind
    await turns(2)


async def test_what_comes_in_one_read_with_the_close_is_taken() -> None:
    """Also what is left for the next turns: the last of it says why the peer has ended."""
    session, _ = new_session()
    peer, sink = new_session(Role.CONNECTOR)
    peer.terminate(GoawayCode.NO_ERROR, "done")
    codec = WebSocketCodec(is_masking=True)
    frames = encode_frame(FrameType.PING, bytes(16)) * (3 * TURN_FRAMES)
    ours, theirs = socket.socketpair()
    transport = WebSocketTransport(is_masking=False)
    ended = asyncio.get_running_loop().create_future()
    session.on_end = lambda _, event: ended.set_result(event.reason)
    session.on_suspended = lambda _: ended.set_result("it may come back")
    with theirs:
        theirs.sendall(b"".join([*codec.encode(frames + sink.data), codec.encode_close()]))
        theirs.shutdown(socket.SHUT_WR)
        await asyncio.get_running_loop().create_connection(transport.as_protocol, sock=ours)
        session.attach(transport)
        transport.start(session)
        async with asyncio.timeout(5):
            assert await ended == "done"
            while not transport.is_lost:
                await turns(1)


async def turns(count: int) -> None:
    """Let the event loop come round."""
    for _ in range(count):
        await asyncio.sleep(0)


async def test_a_stream_that_is_refused_at_once_is_forgotten() -> None:
    """Its handler would stay until the session ends, and hear of nothing."""
    session, _ = new_session(Role.CONNECTOR)
    other, sink = new_session()

    def refuse(link: Session, event: StreamOpened) -> StreamHandler:
        link.reset_stream(event.stream_id, ResetCode.REFUSED)
        return cast(StreamHandler, Ignore())

    session.on_stream = refuse
    ask(other, 20)
    await turns(3)
    session.data_received(sink.data)
    assert (session.handlers, session.connection.open_streams) == ({}, 0)
    for one in (session, other):
        one.terminate(GoawayCode.NO_ERROR, "done")


async def test_a_stream_that_is_reset_in_the_read_that_opens_it() -> None:
    """Its handler hears of both, in their order: the app's call would wait for ever."""
    session, _ = new_session(Role.CONNECTOR)
    other, sink = new_session()
    heard: list[int] = []

    class Hears(Ignore):
        def on_reset(self, code: int, reason: str) -> None:
            """Note it."""
            heard.append(code)

    session.on_stream = lambda link, event: cast(StreamHandler, Hears())
    stream_id = other.open_stream(StreamKind.HTTP, HEAD, cast(StreamHandler, Ignore()), end=True)
    other.reset_stream(stream_id, ResetCode.CANCELLED)
    await turns(3)
    session.data_received(sink.data)
    assert (heard, session.handlers) == ([ResetCode.CANCELLED], {})
    for one in (session, other):
        one.terminate(GoawayCode.NO_ERROR, "done")
