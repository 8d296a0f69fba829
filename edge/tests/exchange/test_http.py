"""What an exchange gives back to its upstream and says to its writer, without sockets."""

from __future__ import annotations

import gc
from typing import Any

import pytest

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.head import ResponseHead
from asgi_tunnel.protocol.limits import WINDOW_FLOOR
from asgi_tunnel_edge.exchange.http import HTTPExchange

from .fakes import FakeRoute, FakeUpstream, ListWriter, Log, head_of, request_of

pytestmark = pytest.mark.plain  # stand-ins for the writer and the route


class Stage:
    """An exchange between two fakes, its request sent."""

    def __init__(self, method: bytes = b"GET", *, length: int = 0, is_paused: bool = False) -> None:
        self.upstream = FakeUpstream()
        self.writer = ListWriter(is_paused=is_paused)
        self.log = Log()
        route = FakeRoute(self.upstream).as_route()
        self.exchange = HTTPExchange(
            self.writer, request_of(method, length=length), head_of(method), route, (self.log,)
        )
        self.exchange.start()

    def respond(self, first: int, *others: int) -> int:
        """Let the app respond in one frame and others; return what they cost in all."""
        self.exchange.on_head(ResponseHead(200, []), bytes(first), not others)
        for place, size in enumerate(others, 1):
            self.exchange.on_data(bytes(size), size + 9, place == len(others), False, False)
        return first + sum(size + 9 for size in others)


@pytest.mark.parametrize("is_paused", [False, True])
@pytest.mark.parametrize(
    "sizes",
    [(WINDOW_FLOOR + 1,), (32_768,), (0, 32_768), (1000, 32_768, 30_000), (10_000, 10_000)],
)
def test_complete_response_gives_its_whole_window_back(
    sizes: tuple[int, ...], is_paused: bool
) -> None:
    """Every byte of a complete response is given back, its last frame included."""
    stage = Stage(is_paused=is_paused)
    cost = stage.respond(*sizes)
    assert stage.exchange.is_over
    assert stage.upstream.consumed == cost
    assert stage.writer.names[-1] == "finish"


def test_small_response_costs_no_call() -> None:
    """A response in one frame below the floor needs nothing given back: no window counts it."""
    stage = Stage()
    stage.respond(WINDOW_FLOOR)
    assert stage.exchange.is_over
    assert stage.upstream.consumed == 0


def test_a_slow_visitor_delays_the_window() -> None:
    """While the writer is paused nothing is given back; all of it is, once it is not."""
    stage = Stage(is_paused=True)
    stage.exchange.on_head(ResponseHead(200, []), bytes(30_000), False)
    stage.exchange.on_data(bytes(30_000), 30_009, False, False, False)
    assert stage.upstream.consumed == 0
    stage.exchange.writable()
    assert stage.upstream.consumed == 60_009


@pytest.mark.parametrize("has_started", [False, True])
def test_a_response_that_is_refused_is_502_or_cut(has_started: bool) -> None:
    """What the writer refuses becomes a 502 while nothing was sent, and a cut afterwards."""
    stage = Stage()
    stage.writer.refuses = "its Content-Length is no single number"
    stage.writer.started = has_started
    stage.respond(10)
    assert stage.upstream.resets == [ResetCode.PROTOCOL_ERROR]
    if has_started:
        assert stage.writer.names == ["abort"]
    else:
        assert stage.writer.replied is not None
        assert stage.writer.replied.status == 502


def test_data_that_is_refused_cuts() -> None:
    """A body that breaks its announcement cannot look complete."""
    stage = Stage()
    stage.exchange.on_head(ResponseHead(200, []), b"", False)
    stage.writer.refuses = "the answer is longer than announced"
    stage.exchange.on_data(b"x", 10, True, False, False)
    assert stage.writer.names == ["start", "data", "abort"]
    assert stage.log.entries[0].outcome == "the answer is longer than announced"


def test_trailers_end_a_response() -> None:
    """Trailers complete the exchange."""
    stage = Stage()
    stage.exchange.on_head(ResponseHead(200, []), b"a", False)
    stage.exchange.on_trailers([(b"x-sum", b"1")])
    assert stage.writer.names == ["start", "trailers", "finish"]


def test_an_early_response_cancels_the_rest_of_the_request() -> None:
    """An app that responds before the body is complete gets no more of it."""
    stage = Stage(b"POST", length=100)
    stage.respond(10)
    assert stage.upstream.resets == [ResetCode.CANCELLED]
    assert stage.writer.names[-1] == "finish"


@pytest.mark.parametrize(
    ("act", "status"),
    [
        (lambda one: one.on_close(1000, ""), 502),
        (lambda one: one.on_reset(ResetCode.CANCELLED, "why"), 502),
        (lambda one: one.on_head(ResponseHead(101, []), b"", False), 502),
    ],
    ids=["CLOSE", "RESET", "101"],
)
def test_an_app_that_breaks_the_rules_before_a_response(act: Any, status: int) -> None:
    """Nothing was sent, so the visitor gets 502, and the log one entry."""
    stage = Stage()
    act(stage.exchange)
    assert stage.writer.replied is not None
    assert stage.writer.replied.status == status
    assert [entry.status for entry in stage.log.entries] == [status]


def test_a_visitor_that_leaves_is_noted_once() -> None:
    """The stream is reset, and later words of the app change nothing."""
    stage = Stage()
    stage.exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
    stage.exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
    stage.exchange.on_data(b"late", 13, True, False, False)
    assert stage.upstream.resets == [ResetCode.CANCELLED]
    assert [(entry.status, entry.outcome) for entry in stage.log.entries] == [(499, "visitor left")]
    assert not stage.writer.calls


def test_an_exchange_leaves_no_garbage() -> None:
    """What served a request is freed when it is over, and not by the garbage collector."""
    gc.collect()
    gc.disable()
    try:
        for _ in range(50):
            Stage().respond(100)
        assert gc.collect() < 50
    finally:
        gc.enable()
