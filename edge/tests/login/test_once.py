from __future__ import annotations

from typing import Any, cast

from asgi_tunnel_edge.bus.bus import Bus
from asgi_tunnel_edge.bus.events import Events
from asgi_tunnel_edge.login.once import UsedOnce


class Carrier:
    """Carries to one other node."""

    def __init__(self, other: Events) -> None:
        self.other = other

    def broadcast(self, event: Any) -> None:
        """Carry it."""
        self.other.happened(event, "a")


def test_two_nodes() -> None:
    """What was used at one is used at the other; another kind of things is not."""
    here, there = Events(), Events()
    here.bus = cast(Bus, Carrier(there))
    one, two, other = UsedOnce("a", size=2), UsedOnce("a", size=2), UsedOnce("b", size=2)
    one.join(here)
    two.join(there)
    other.join(there)
    assert one.use("x", 20.0, 10.0)
    assert not one.use("x", 20.0, 10.0)
    assert "x" in two
    assert not two.use("x", 20.0, 10.0)
    assert "x" not in other
    assert two.use("y", 30.0, 25.0)  # what is over is forgotten
    assert "x" not in two


def test_bound() -> None:
    """Above it the oldest is forgotten."""
    one = UsedOnce("a", size=2)
    assert [one.use(key, 20.0, 10.0) for key in "xyz"] == [True] * 3
    assert [key in one for key in "xyz"] == [False, True, True]
