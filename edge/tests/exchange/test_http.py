"""What a relay gives back to the session, with the session and the visitor replaced by fakes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import pytest

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Arrival, Fields, RequestHead, ResponseHead
from asgi_tunnel.protocol.limits import WINDOW_FLOOR
from asgi_tunnel.session import Session
from asgi_tunnel_edge.directory import Route
from asgi_tunnel_edge.exchange.http import HTTPRelay
from asgi_tunnel_edge.observers.access_log import AccessLog, Entry
from asgi_tunnel_edge.request import Request

pytestmark = pytest.mark.plain  # stand-ins for the session, the route and the log

HEAD = RequestHead(
    method=b"GET",
    target=b"/",
    arrival=Arrival(b"http", b"1.1", b"192.0.2.7", 50_000, b"192.0.2.1", 80),
    request_id=b"r1",
    hostname=b"shop.example.test",
    fields=[],
)
REQUEST = Request(
    method=b"GET",
    target=b"/",
    is_http11=True,
    host=b"shop.example.test",
    hostname="shop.example.test",
    fields=[],
    length=0,
    keep_alive=True,
    expects_continue=False,
    takes_trailers=False,
    websocket_key=None,
    websocket_error=0,
)


class FakeSession:
    """Counts what is given back."""

    def __init__(self) -> None:
        self.consumed = 0
        self.resets: list[ResetCode] = []

    def open_stream(
        self, kind: StreamKind, head: RequestHead, handler: HTTPRelay, *, end: bool
    ) -> int:
        """Return an id."""
        return 1

    def consume(self, stream_id: int, cost: int) -> None:
        """Count."""
        self.consumed += cost

    def release(self, stream_id: int) -> None:
        """Do nothing."""

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """Note the code."""
        self.resets.append(code)


class FakeWriter:
    """A visitor's connection that takes everything, or nothing."""

    peer = b""

    def __init__(self, *, is_paused: bool) -> None:
        self.is_paused = is_paused
        self.is_cut = False

    def write(self, data: bytes) -> None:
        """Drop it."""

    def write_large(self, pieces: Sequence[Buffer]) -> None:
        """Drop them."""

    def pause_body(self) -> None:
        """Do nothing."""

    def resume_body(self) -> None:
        """Do nothing."""

    def hold(self, route: Route) -> None:
        """Do nothing."""

    def released(self) -> None:
        """Do nothing."""

    def finished(self, *, keep_alive: bool) -> None:
        """Do nothing."""

    def cut(self) -> None:
        """Note it."""
        self.is_cut = True


class FakeLog:
    """Keeps nothing."""

    def add(self, entry: Entry) -> None:
        """Drop it."""


class FakeRoute:
    """Knows one session."""

    hostname = "shop.example.test"

    def __init__(self, session: FakeSession) -> None:
        self.session = session

    def choose(self, avoid: Session | None = None) -> FakeSession:
        """Return the session."""
        return self.session


class Stage:
    """A relay between two fakes, its request sent."""

    def __init__(self, *, is_paused: bool = False) -> None:
        self.session = FakeSession()
        self.writer = FakeWriter(is_paused=is_paused)
        route = cast(Route, FakeRoute(self.session))
        self.relay = HTTPRelay(self.writer, REQUEST, HEAD, route, cast(AccessLog, FakeLog()))
        self.relay.start()

    def answer(self, first: int, *others: int, fields: Fields | None = None) -> int:
        """Let the app answer in one frame and others; return what they cost in all."""
        self.relay.on_head(ResponseHead(200, fields or []), bytes(first), not others)
        for place, size in enumerate(others, 1):
            end = place == len(others)
            self.relay.on_data(bytes(size), size + 9, end, False, False)
        return first + sum(size + 9 for size in others)


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [(WINDOW_FLOOR + 1,), (32_768,), (0, 32_768), (1000, 32_768, 30_000), (10_000, 10_000)],
)
def test_complete_answer_gives_its_whole_window_back(
    sizes: tuple[int, ...], is_paused: bool
) -> None:
    """Every byte of a complete answer is given back, its last frame included."""
    stage = Stage(is_paused=is_paused)
    cost = stage.answer(*sizes)
    assert stage.relay.is_over
    assert stage.session.consumed == cost


def test_small_answer_costs_no_call() -> None:
    """An answer in one frame below the floor needs nothing given back: no window counts it."""
    stage = Stage()
    stage.answer(WINDOW_FLOOR)
    assert stage.relay.is_over
    assert stage.session.consumed == 0


@pytest.mark.parametrize("sizes", [(40_000,), (10_000, 30_000)])
def test_answer_shorter_than_announced_is_reset_and_cut(sizes: tuple[int, ...]) -> None:
    """An answer that ends early is cut, and its stream is reset, which gives the window back."""
    stage = Stage()
    stage.answer(*sizes, fields=[(b"content-length", b"50000")])
    assert stage.session.resets == [ResetCode.PROTOCOL_ERROR]
    assert stage.writer.is_cut
