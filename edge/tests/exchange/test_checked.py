"""A request waits while something is checked, and is let in or turned away."""

from __future__ import annotations

from typing import Any

import pytest

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel_edge.exchange.checked import CheckedRoute
from asgi_tunnel_edge.exchange.http import HTTPExchange
from asgi_tunnel_edge.replies import Reply

from .fakes import FakeRoute, FakeUpstream, ListWriter, Log, head_of, request_of

pytestmark = pytest.mark.plain

WRONG = Reply(401, "the password is wrong", closes=False)


class Stage:
    """An exchange whose password is being checked."""

    def __init__(self, upstream: Any, *, starts: bool = True) -> None:
        self.route = FakeRoute(upstream)
        whole: Any = self.route
        whole.token_id = "tok_1"
        self.checked = CheckedRoute(whole)
        self.writer = ListWriter()
        self.exchange = HTTPExchange(self.writer, request_of(), head_of(), self.checked, (Log(),))
        self.checked.serve(self.exchange)
        if starts:
            self.exchange.start()


def test_it_waits_until_the_check_is_done() -> None:
    """Then the app gets the request, and is told who it is."""
    upstream = FakeUpstream()
    stage = Stage(upstream)
    assert upstream.heads == []
    assert stage.writer.names == ["hold"]
    stage.checked.open(b"anna")
    assert len(upstream.heads) == 1
    assert stage.exchange.identity == b"anna"


def test_a_check_may_be_done_before_the_exchange_starts() -> None:
    """It waits for nothing then."""
    upstream = FakeUpstream()
    stage = Stage(upstream, starts=False)
    stage.checked.open(b"anna")
    stage.exchange.start()
    assert len(upstream.heads) == 1
    assert stage.exchange.identity == b"anna"


@pytest.mark.parametrize("is_early", [False, True])
def test_who_is_wrong_is_turned_away(is_early: bool) -> None:
    """The app hears nothing of it, whichever comes first."""
    upstream = FakeUpstream()
    stage = Stage(upstream, starts=not is_early)
    stage.checked.refuse(WRONG)
    if is_early:
        stage.exchange.start()
    assert stage.writer.replied == WRONG
    assert upstream.heads == []


def test_an_app_that_is_away_is_waited_for_next() -> None:
    """As a request that needs no check."""
    stage = Stage(None)
    stage.checked.open(b"anna")
    assert len(stage.route.waiting) == 1
    upstream = FakeUpstream()
    stage.route.wake(upstream)
    assert len(upstream.heads) == 1


def test_a_visitor_who_leaves_meanwhile() -> None:
    """Is not let in later."""
    upstream = FakeUpstream()
    stage = Stage(upstream)
    stage.exchange.abandon(ResetCode.CANCELLED, "the visitor left", 499)
    stage.checked.open(b"anna")
    assert upstream.heads == []
