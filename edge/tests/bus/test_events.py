from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from asgi_tunnel_edge.bus.bus import Bus
from asgi_tunnel_edge.bus.events import Events

if TYPE_CHECKING:
    import pytest


class Carrier:
    """A bus that only notes."""

    def __init__(self) -> None:
        self.said: list[Any] = []

    def broadcast(self, event: Any) -> None:
        """Note it."""
        self.said.append(event)


def test_kinds(caplog: pytest.LogCaptureFixture) -> None:
    """Each hears its own kind; one of another form, or of an unknown kind, harms nobody."""
    events = Events()
    events.broadcast({"kind": "used"})  # to nobody
    heard: list[Any] = []
    events.on("used", lambda event, node: heard.append((event["what"], node)))
    events.on("used", lambda event, node: heard.append(node))
    events.happened({"kind": "used", "what": 1}, "b")
    events.happened({"kind": "other"}, "b")
    events.happened({"kind": "used"}, "c")
    events.happened({}, "c")
    assert heard == [(1, "b"), "b", "c"]
    assert "an event of the kind used has another form" in caplog.text
    carrier = Carrier()
    events.bus = cast(Bus, carrier)
    events.broadcast({"kind": "used"})
    assert carrier.said == [{"kind": "used"}]
