"""Bars of an exchange: in order, to scale, and never outside of the drawing."""

from __future__ import annotations

import pytest
from edge.tests.observers.test_traces import trace

from asgi_tunnel_edge.dashboard.waterfall import SCALE, THINNEST, waterfall_of


def test_parts_follow_each_other() -> None:
    """The tunnel is on both sides of the app; what took no time is left out."""
    one = trace(edge=0.1, hold=0.0, tunnel=0.2, app=0.6, response=0.1)
    bars = waterfall_of(one)
    assert [bar.name for bar in bars] == ["Edge", "Tunnel", "App", "Tunnel", "Response"]
    assert [bar.left for bar in bars] == pytest.approx([0, 100, 200, 800, 900])
    assert [bar.width for bar in bars] == pytest.approx([100, 100, 600, 100, 100])
    assert sum(bar.seconds for bar in bars) == pytest.approx(one.seconds)


def test_a_handshake_comes_first_and_a_body_at_the_same_time() -> None:
    """TLS is not part of the exchange's own time; an upload lies below the others."""
    one = trace(tls=0.5, edge=0.1, hold=0.1, tunnel=0.3, app=None, response=0.0, body=0.25)
    bars = {bar.name: bar for bar in waterfall_of(one)}
    assert list(bars) == ["TLS", "Edge", "Hold", "Tunnel and app", "Request body"]
    assert bars["TLS"].left == 0
    assert bars["Request body"].left == bars["Edge"].left == pytest.approx(500)
    assert bars["Request body"].width == pytest.approx(250)


@pytest.mark.parametrize("share", [0.0, 1e-9, 0.5])
def test_nothing_is_too_thin_or_outside(share: float) -> None:
    """A part of a microsecond can be seen, also where it is the last one."""
    one = trace(edge=share, hold=0.0, tunnel=1.0, app=0.0, response=1e-6)
    for bar in waterfall_of(one):
        assert bar.width >= THINNEST
        assert 0 <= bar.left <= SCALE - bar.width
