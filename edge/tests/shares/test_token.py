"""What one token may have at one time."""

from __future__ import annotations

from asgi_tunnel_edge.shares.token import TokenShare, TokenShares


def test_visitors_are_counted() -> None:
    """T69: a place is taken and given back; without one a visitor is not counted."""
    share = TokenShare(2)
    assert share.enter()
    assert share.enter()
    assert not share.enter()
    share.leave()
    assert share.enter()
    assert share.visitors == 2
    share.max_visitors = 3
    assert share.enter()


def test_without_a_limit() -> None:
    """Pages of the edge's own belong to no token."""
    share = TokenShare()
    assert all(share.enter() for _ in range(10_000))


def test_shares_follow_the_store() -> None:
    """A token has one share as long as it is in the store."""
    shares = TokenShares()
    share = shares.of("a")
    assert shares.of("a") is share
    assert shares.of("b") is not share
    share.follow(max_visitors=1, max_frames=10)
    assert share.enter()
    assert not share.enter()
    assert share.overhead.take(50, 0.0)
    assert not share.overhead.take(1, 0.0)
    shares.keep({"a": None})
    assert shares.of("a") is share
    shares.keep({})
    assert shares.of("a") is not share
