"""A connection that has said all is read on while that helps its visitor, and no longer."""

from __future__ import annotations

from asgi_tunnel_edge.http1.linger import LINGER_BYTES, MAX_LINGER, Linger


def test_it_goes_on_while_bytes_come_and_not_for_ever() -> None:
    """Two looks without a byte between them, or 30 seconds, are the end."""
    linger = Linger(100.0, is_websocket=False)
    assert not linger.goes_on(102.0)
    for now in (104.0, 110.0, 100.0 + MAX_LINGER - 0.1):
        assert not linger.drop(10 * LINGER_BYTES)
        assert linger.goes_on(now)
        assert not linger.goes_on(now)
    linger.drop(1)
    assert not linger.goes_on(100.0 + MAX_LINGER)


def test_behind_a_websocket_bytes_are_the_bound() -> None:
    """What follows its close is not read for a response."""
    linger = Linger(100.0, is_websocket=True)
    assert not linger.drop(LINGER_BYTES)
    assert linger.drop(1)
