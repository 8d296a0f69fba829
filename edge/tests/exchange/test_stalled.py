"""What happens to a request whose session has lost its transport."""

from __future__ import annotations

from typing import cast

import pytest

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import StreamKind
from asgi_tunnel.protocol.head import Arrival, RequestHead, ResponseHead
from asgi_tunnel.session import Session
from asgi_tunnel_edge.directory import Route
from asgi_tunnel_edge.exchange.http import MAX_TRIES, HTTPRelay
from asgi_tunnel_edge.observers.access_log import AccessLog, Entry
from asgi_tunnel_edge.request import Request

pytestmark = pytest.mark.plain  # stand-ins for the session, the route and the log

HOLD = 10.0


class Line:
    """A session that notes what it is asked."""

    def __init__(self) -> None:
        self.opened = 0
        self.resets: list[ResetCode] = []

    def open_stream(
        self, kind: StreamKind, head: RequestHead, handler: HTTPRelay, *, end: bool
    ) -> int:
        """Count."""
        self.opened += 1
        return self.opened

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """Note the code."""
        self.resets.append(code)

    def consume(self, stream_id: int, cost: int) -> None:
        """Do nothing."""


class Place:
    """The route, the visitor's connection and the log in one."""

    hostname = "shop.example.test"
    peer = b""
    is_paused = False

    def __init__(self) -> None:
        self.ready: Line | None = None
        self.written = b""

    def choose(self, avoid: Session | None = None) -> Line | None:
        """Return the session that is ready."""
        return self.ready

    def write(self, data: bytes) -> None:
        """Keep it."""
        self.written += data

    def finished(self, *, keep_alive: bool) -> None:
        """Do nothing."""

    def add(self, entry: Entry) -> None:
        """Do nothing."""


class Stage:
    """A relay whose request was sent on a session that is away now."""

    def __init__(self, method: bytes = b"GET", length: int = 0) -> None:
        head = RequestHead(
            method, b"/", Arrival(b"http", b"1.1", b"192.0.2.7", 50_000, b"192.0.2.1", 80), b"r1",
            b"shop.example.test", [],
        )  # fmt: skip
        request = Request(
            method=method,
            target=b"/",
            is_http11=True,
            host=b"shop.example.test",
            hostname="shop.example.test",
            fields=[],
            length=length,
            keep_alive=True,
            expects_continue=False,
            takes_trailers=False,
            websocket_key=None,
            websocket_error=0,
        )
        self.place = Place()
        self.lost = self.place.ready = Line()
        self.relay = HTTPRelay(
            self.place,  # type: ignore[arg-type]
            request,
            head,
            cast(Route, self.place),
            cast(AccessLog, self.place),
        )
        self.relay.start()
        self.place.ready = None


def test_another_session_takes_over() -> None:
    """A GET without an answer goes to a session that is ready; the first one is told to stop."""
    stage = Stage()
    other = stage.place.ready = Line()
    stage.relay.check_stalled(0.3, HOLD)
    assert (other.opened, stage.lost.resets) == (1, [ResetCode.CANCELLED])


def test_sessions_that_vanish_in_turn() -> None:
    """At most MAX_TRIES sessions are tried."""
    stage = Stage()
    lines = [Line() for _ in range(MAX_TRIES)]
    for line in lines:
        stage.place.ready = line
        stage.relay.check_stalled(0.3, HOLD)
    assert [line.opened for line in lines] == [1] * (MAX_TRIES - 1) + [0]


def test_no_other_session(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another session it waits as long as a new request would, then gets 503."""
    stage = Stage()
    started = stage.relay._started
    monkeypatch.setattr(
        "asgi_tunnel_edge.exchange.http.time.perf_counter", lambda: started + HOLD - 1
    )
    stage.relay.check_stalled(60.0, HOLD)
    assert not stage.place.written
    monkeypatch.setattr("asgi_tunnel_edge.exchange.http.time.perf_counter", lambda: started + HOLD)
    stage.relay.check_stalled(60.0, HOLD)
    assert stage.place.written.startswith(b"HTTP/1.1 503 ")
    assert b"retry-after" in stage.place.written.lower()
    assert stage.lost.resets == [ResetCode.CANCELLED]


@pytest.mark.parametrize(("method", "length"), [(b"POST", 0), (b"POST", 5), (b"GET", 5)])
def test_what_may_have_had_an_effect_waits(method: bytes, length: int) -> None:
    """Anything but a bodiless GET, HEAD or OPTIONS waits for the session to resume."""
    stage = Stage(method, length)
    other = stage.place.ready = Line()
    stage.relay.check_stalled(60.0, 0.0)
    assert (other.opened, stage.lost.resets, stage.place.written) == (0, [], b"")


def test_an_answer_that_has_begun_waits() -> None:
    """Once a byte of the answer has left, nobody else can go on with it."""
    stage = Stage()
    stage.relay.on_head(ResponseHead(200, []), b"half", False)
    other = stage.place.ready = Line()
    stage.relay.check_stalled(60.0, 0.0)
    assert (other.opened, stage.lost.resets) == (0, [])
