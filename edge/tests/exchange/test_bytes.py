"""What an exchange of bytes does with its stream and its visitor: no sockets, no sessions."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.head import ResponseHead
from asgi_tunnel_edge.exchange.bytes import FIRST_BYTES, ByteExchange, ByteLine
from asgi_tunnel_edge.exchange.placement import CROWDED, MAX_TRIES

from .fakes import FakeRoute, FakeUpstream, Log, head_of

pytestmark = pytest.mark.plain  # stand-ins for the visitor's connection and the route

ACCEPT = ResponseHead(200, [])
HELLO = b"a ClientHello"


class Line(ByteLine):
    """Keeps what a visitor would get, and what is asked of its connection."""

    def __init__(self) -> None:
        self.written = b""
        self.calls: list[str] = []
        self.paused = False

    @property
    def is_paused(self) -> bool:
        """As it was set."""
        return self.paused

    def write_large(self, pieces: Sequence[Buffer]) -> None:
        """Keep them."""
        self.written += b"".join(pieces)

    def _note(self, what: str) -> None:
        self.calls.append(what)

    def end_stream(self) -> None:
        """Note it."""
        self._note("end")

    def pause_reading(self) -> None:
        """Note it."""
        self._note("pause")

    def resume_reading(self) -> None:
        """Note it."""
        self._note("resume")

    def hold(self) -> None:
        """Note it."""
        self._note("hold")

    def release(self) -> None:
        """Note it."""
        self._note("release")

    def refuse(self) -> None:
        """Note it."""
        self._note("refuse")

    def close(self) -> None:
        """Note it."""
        self._note("close")

    def cut(self) -> None:
        """Note it."""
        self._note("cut")


class Upstream(FakeUpstream):
    """Notes the ends too, and has room or not."""

    def __init__(self) -> None:
        super().__init__()
        self.has_room = True
        self.ends = 0

    def send_data(self, stream_id: int, data: Buffer, **flags: bool) -> bool:
        """Keep the bytes."""
        self.ends += flags.get("end", False)
        return super().send_data(stream_id, data, **flags) and self.has_room


class Stage:
    """An exchange whose visitor has sent its ClientHello."""

    def __init__(self, upstream: Upstream | None = None, *, is_open: bool = False) -> None:
        self.line = Line()
        self.log = Log()
        self.route = FakeRoute(upstream)
        self.exchange = ByteExchange(self.line, head_of(), self.route.as_route(), (self.log,))
        self.exchange.send_body(HELLO, end=False)
        self.exchange.start()
        if is_open:
            self.exchange.on_head(ACCEPT, b"", end=False)
            self.line.calls.clear()

    def receive(self, data: bytes, *, end: bool = False) -> None:
        """Bytes of the app, which cost 8 more than they are."""
        self.exchange.on_data(data, len(data) + 8, end, False, False)


def opened() -> tuple[Stage, Upstream]:
    """Return a stage whose stream is accepted."""
    upstream = Upstream()
    return Stage(upstream, is_open=True), upstream


def test_bytes_pass_both_ways() -> None:
    """As they are; the window comes back when the visitor is not slow."""
    stage, upstream = opened()
    stage.exchange.send_body(b"up", end=False)
    stage.receive(b"down")
    assert b"".join(upstream.sent) == HELLO + b"up"
    assert stage.line.written == b"down"
    assert upstream.consumed == 4 + 8


def test_each_direction_ends_alone() -> None:
    """The connection closes when both have; the log has one line with the bytes sent."""
    for is_app_first in (True, False):
        stage, upstream = opened()
        if is_app_first:
            stage.receive(b"bye", end=True)
            assert stage.line.calls == ["end"]
            stage.exchange.send_body(b"", end=True)
        else:
            stage.exchange.send_body(b"", end=True)
            assert stage.line.calls == []
            stage.receive(b"bye", end=True)
        assert stage.line.calls[-1] == "close"
        assert stage.exchange.is_over
        assert (upstream.ends, upstream.released, upstream.resets) == (1, 1, [])
        (entry,) = stage.log.entries
        assert (entry.method, entry.target, entry.status, entry.sent) == (b"TLS", b"-", 200, 3)


def test_a_slow_visitor_holds_back_the_window() -> None:
    """It gets it back in parts, as far as the visitor has taken what was sent."""
    stage, upstream = opened()
    stage.line.paused = True
    for _ in range(10):
        stage.receive(bytes(92))
    assert upstream.consumed == 0
    stage.exchange.taken_but(600)
    assert upstream.consumed == 400
    stage.exchange.taken_but(600)
    assert upstream.consumed == 400
    stage.exchange.writable()
    assert upstream.consumed == 1000


def test_a_slow_app_stops_the_reading() -> None:
    """Until its session says that there is room."""
    stage, upstream = opened()
    upstream.has_room = False
    stage.exchange.send_body(b"more", end=False)
    assert stage.line.calls == ["pause"]
    stage.exchange.on_writable()
    assert stage.line.calls == ["pause", "resume"]


def test_first_bytes_are_bounded() -> None:
    """A visitor that sends on without an app is not read; with one it is."""
    stage = Stage()
    assert stage.line.calls == ["hold"]
    stage.exchange.send_body(bytes(FIRST_BYTES), end=False)
    assert stage.line.calls == ["hold", "pause"]
    upstream = Upstream()
    stage.route.wake(upstream)
    assert b"".join(upstream.sent) == HELLO + bytes(FIRST_BYTES)
    stage.exchange.on_head(ACCEPT, b"", end=False)
    assert stage.line.calls[-1] == "resume"


@pytest.mark.parametrize("code", [ResetCode.REFUSED, ResetCode.SESSION_LOST])
def test_the_first_bytes_are_sent_again(code: ResetCode) -> None:
    """As long as no app has accepted; then the visitor hears that nobody speaks TLS here."""
    upstream = Upstream()
    stage = Stage(upstream)
    for _ in range(MAX_TRIES):
        assert stage.line.calls == []
        stage.exchange.on_reset(code, "")
    assert (upstream.opened, upstream.sent) == (MAX_TRIES, [HELLO] * MAX_TRIES)
    assert stage.line.calls == ["refuse"]
    assert stage.log.entries[0].status == 502


def test_a_lost_app_cuts_the_visitor() -> None:
    """What came of a record must not look whole."""
    stage, _ = opened()
    stage.receive(b"half")
    stage.exchange.on_reset(ResetCode.SESSION_LOST, "lost")
    assert stage.line.calls == ["cut"]
    assert stage.log.entries[0].outcome == "lost"


def test_an_app_that_is_lost_behind_its_end_cuts_nothing() -> None:
    """All that it said is here, and the visitor takes it."""
    stage, _ = opened()
    stage.receive(b"whole", end=True)
    stage.exchange.on_reset(ResetCode.SESSION_LOST, "lost")
    assert stage.line.calls == ["end", "close"]


def test_no_app_comes() -> None:
    """The visitor hears so at the end of the hold."""
    stage = Stage()
    stage.exchange.time_out()
    assert stage.line.calls == ["hold", "release", "refuse"]
    assert stage.log.entries[0].status == 503


def test_a_visitor_that_leaves_ends_the_stream() -> None:
    """And nothing is sent after it."""
    stage, upstream = opened()
    stage.exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
    stage.receive(b"late")
    stage.exchange.send_body(b"late", end=False)
    stage.exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
    assert (upstream.resets, stage.line.written) == ([ResetCode.CANCELLED], b"")
    assert len(stage.log.entries) == 1


@pytest.mark.parametrize("how", ["trailers", "close", "head"])
def test_frames_that_are_not_for_bytes_break_it(how: str) -> None:
    """The stream is reset and the visitor cut."""
    stage, upstream = opened()
    match how:
        case "trailers":
            stage.exchange.on_trailers([])
        case "close":
            stage.exchange.on_close(1000, "")
        case _:
            stage.exchange.on_head(ACCEPT, b"", end=False)
    assert upstream.resets == [ResetCode.PROTOCOL_ERROR]
    assert stage.line.calls == ["cut"]


def test_it_gives_way_to_others_that_wait() -> None:
    """It waits in the share of its own address; where that is full it is refused."""
    stage = Stage()
    assert stage.route.paths[0][0] == "192.0.2.7"
    stage.route.waiting.pop().give_way()
    assert stage.line.calls == ["hold", "release", "refuse"]
    assert stage.log.entries[0].outcome == CROWDED.why
