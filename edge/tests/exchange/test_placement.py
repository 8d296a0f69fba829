"""How an exchange finds an upstream, waits, and is tried again: no sockets, no sessions."""

from __future__ import annotations

from typing import cast

import pytest

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.head import ResponseHead
from asgi_tunnel.session import Session
from asgi_tunnel_edge.exchange.http import HTTPExchange
from asgi_tunnel_edge.exchange.placement import CROWDED, FULL, MAX_TRIES, OFFLINE
from asgi_tunnel_edge.exchange.websocket import WebSocketExchange

from .fakes import ARRIVAL, FakeRoute, FakeUpstream, ListWriter, context_of, head_of, request_of

pytestmark = pytest.mark.plain  # stand-ins for the writer and the route

HOLD = 10.0
KEY = b"dGhlIHNhbXBsZSBub25jZQ=="


class Stage:
    """An exchange whose request was sent on an upstream that is away now, if it had one."""

    def __init__(
        self,
        method: bytes = b"GET",
        length: int = 0,
        *,
        kind: str = "http",
        upstream: FakeUpstream | None = None,
    ) -> None:
        self.route = FakeRoute(upstream)
        self.writer = ListWriter()
        route = self.route.as_route()
        self.exchange: HTTPExchange | WebSocketExchange
        if kind == "http":
            request = request_of(method, length=length)
            self.exchange = HTTPExchange(self.writer, request, head_of(method), route, ())
        else:
            request = request_of(websocket_key=KEY)
            self.exchange = WebSocketExchange(self.writer, request, head_of(), route, context_of())
        self.exchange.start()
        self.route.ready = None


def lose(
    method: bytes = b"GET", length: int = 0, *, kind: str = "http"
) -> tuple[Stage, FakeUpstream]:
    """Return a stage and the upstream that is away."""
    lost = FakeUpstream()
    return Stage(method, length, kind=kind, upstream=lost), lost


KINDS = pytest.mark.parametrize("kind", ["http", "websocket"])


@KINDS
def test_it_waits_for_an_upstream(kind: str) -> None:
    """Without an upstream it holds; the first one gets it."""
    stage = Stage(kind=kind)
    assert stage.writer.names == ["hold"]
    upstream = FakeUpstream()
    stage.route.wake(upstream)
    assert upstream.opened == 1
    assert stage.writer.names == ["hold", "release"]


@KINDS
def test_a_wait_ends(kind: str) -> None:
    """When the hold is over the visitor hears that the app is not connected."""
    stage = Stage(kind=kind)
    stage.exchange.time_out()
    assert stage.writer.replied == OFFLINE
    assert not stage.route.waiting


@KINDS
def test_who_gives_way_hears_when_to_come_back(kind: str) -> None:
    """503 with Retry-After, and the connection is closed; an upstream that comes is not its."""
    stage = Stage(kind=kind)
    assert stage.route.paths == [(ARRIVAL.peer_host.decode(),)]
    waiter = stage.route.waiting.pop()
    waiter.give_way()
    assert stage.writer.replied == CROWDED
    assert (CROWDED.status, CROWDED.closes) == (503, True)
    assert CROWDED.retry_after
    assert stage.writer.names == ["hold", "release", "reply"]
    assert not stage.writer.keeps_alive
    upstream = FakeUpstream()
    waiter.resume(cast(Session, upstream))
    assert not upstream.opened


def test_other_refusals_keep_the_connection() -> None:
    """Who has waited in vain may ask again at once, over the same connection."""
    stage = Stage()
    stage.exchange.time_out()
    assert stage.writer.keeps_alive


@KINDS
def test_a_visitor_that_leaves_waits_no_longer(kind: str) -> None:
    """Its place is free again."""
    stage = Stage(kind=kind)
    stage.exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
    assert not stage.route.waiting


@pytest.mark.parametrize("code", [ResetCode.REFUSED, ResetCode.SESSION_LOST])
def test_another_upstream_is_tried(code: ResetCode) -> None:
    """A request without effect and without a body is asked again elsewhere."""
    stage, _ = lose()
    other = stage.route.ready = FakeUpstream()
    stage.exchange.on_reset(code, "")
    assert other.opened == 1
    assert not stage.writer.calls


@pytest.mark.parametrize("code", [ResetCode.REFUSED, ResetCode.SESSION_LOST])
def test_nothing_is_tried_again_when_the_edge_ends(code: ResetCode) -> None:
    """The other session is about to be cut too; the visitor hears that its request is lost."""
    stage, _ = lose()
    other = stage.route.ready = FakeUpstream()
    stage.route.is_closed = True
    stage.exchange.on_reset(code, "")
    assert other.opened == 0
    assert stage.writer.replied is not None
    assert stage.writer.names == ["reply"]


def test_without_another_upstream_it_waits_again() -> None:
    """The next upstream gets it."""
    stage, _ = lose()
    stage.exchange.on_reset(ResetCode.SESSION_LOST, "")
    assert stage.writer.names == ["hold"]
    upstream = FakeUpstream()
    stage.route.wake(upstream)
    assert upstream.opened == 1


def test_upstreams_that_vanish_in_turn() -> None:
    """At most MAX_TRIES upstreams are tried."""
    stage, _ = lose()
    others = [FakeUpstream() for _ in range(MAX_TRIES)]
    for other in others:
        stage.route.ready = other
        stage.exchange.on_reset(ResetCode.SESSION_LOST, "")
    assert [other.opened for other in others] == [1] * (MAX_TRIES - 1) + [0]
    assert stage.writer.replied is not None


@pytest.mark.parametrize(
    ("method", "length", "code", "is_tried"),
    [
        (b"POST", 0, ResetCode.REFUSED, True),
        (b"POST", 0, ResetCode.SESSION_LOST, False),
        (b"POST", 5, ResetCode.REFUSED, False),
        (b"GET", 5, ResetCode.SESSION_LOST, False),
        (b"GET", 0, ResetCode.CANCELLED, False),
    ],
)
def test_what_may_have_had_an_effect_is_not_repeated(
    method: bytes, length: int, code: ResetCode, is_tried: bool
) -> None:
    """Only what no app began, or what has no effect, and no body that is gone."""
    stage, _ = lose(method, length)
    other = stage.route.ready = FakeUpstream()
    stage.exchange.on_reset(code, "")
    assert other.opened == is_tried


def test_another_upstream_takes_over_from_a_stalled_one() -> None:
    """It goes to an upstream that is ready; the first one is told to stop."""
    stage, lost = lose()
    other = stage.route.ready = FakeUpstream()
    stage.exchange.check_stalled(0.3, HOLD)
    assert (other.opened, lost.resets) == (1, [ResetCode.CANCELLED])


@KINDS
def test_a_stalled_upstream_alone(kind: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without another upstream it waits as long as a new request would, then gets 503."""
    stage, lost = lose(kind=kind)
    started = stage.exchange._placement.started
    place = "asgi_tunnel_edge.exchange.placement.time.perf_counter"
    monkeypatch.setattr(place, lambda: started + HOLD - 1)
    stage.exchange.check_stalled(60.0, HOLD)
    assert not stage.writer.calls
    monkeypatch.setattr(place, lambda: started + HOLD)
    stage.exchange.check_stalled(60.0, HOLD)
    assert stage.writer.replied == OFFLINE
    assert lost.resets == [ResetCode.CANCELLED]


@pytest.mark.parametrize(("method", "length"), [(b"POST", 0), (b"POST", 5), (b"GET", 5)])
def test_what_may_have_had_an_effect_waits(method: bytes, length: int) -> None:
    """Anything but a bodiless GET, HEAD or OPTIONS waits for the session to resume."""
    stage, lost = lose(method, length)
    other = stage.route.ready = FakeUpstream()
    stage.exchange.check_stalled(60.0, 0.0)
    assert (other.opened, lost.resets, stage.writer.calls) == (0, [], [])


def test_a_response_that_has_begun_waits() -> None:
    """Once a byte of the response has left, nobody else can go on with it."""
    stage, lost = lose()
    stage.exchange.on_head(ResponseHead(200, []), b"half", False)
    other = stage.route.ready = FakeUpstream()
    stage.exchange.check_stalled(60.0, 0.0)
    assert (other.opened, lost.resets) == (0, [])


@pytest.mark.parametrize("code", [ResetCode.REFUSED, ResetCode.SESSION_LOST])
def test_a_handshake_is_not_repeated(code: ResetCode) -> None:
    """An app may have acted on it: the visitor hears of it at once and asks again itself."""
    stage, _ = lose(kind="websocket")
    other = stage.route.ready = FakeUpstream()
    stage.exchange.on_reset(code, "")
    assert other.opened == 0
    assert stage.writer.replied is not None
    assert stage.writer.replied.status == 503


@KINDS
def test_a_token_has_a_share_of_visitors(kind: str) -> None:
    """T69: one above the share is refused; who waits counts, and a place is given back once."""
    first = Stage(kind=kind)
    share = first.route.share
    assert share.visitors == 1
    share.max_visitors = 1
    second = ListWriter()
    route = first.route.as_route()
    HTTPExchange(second, request_of(), head_of(), route, ()).start()
    assert second.calls[0] == ("reply", FULL)
    assert share.visitors == 1
    first.exchange.time_out()
    first.exchange.abandon(ResetCode.CANCELLED, "", 499)
    assert share.visitors == 0


def test_waits_are_counted() -> None:
    """How many wait now; of those that do not any more, how it ended."""
    stages = [Stage() for _ in range(4)]
    holds = stages[0].route.holds
    for stage in stages[1:]:  # a directory's routes have them in common
        holds.waiting += stage.route.holds.waiting
        stage.route.holds = holds
    assert holds.waiting == 4
    stages[0].route.wake(FakeUpstream())
    stages[1].exchange.time_out()
    stages[2].route.waiting.pop().give_way()
    stages[3].exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
    assert holds.waiting == 0
    assert {name: sum(one.counts) for name, one in holds.ended.items()} == {
        "resumed": 1,
        "timed_out": 1,
        "displaced": 1,
        "left": 1,
    }
