"""Who wants to hear which events of other nodes, and says some: parts of an edge, by kind.

Made by ``server`` for every edge. Where there is no bus, nothing is said and nothing is heard, so
no part has to ask whether there is one. Kinds: docs/reference/bus.md.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .bus import Bus, Event

__all__ = ["Events", "Hearing"]

_log = logging.getLogger("asgi_tunnel_edge.bus")

Hearing = Callable[["Event", str], None]
"""Gets an event, and the id of the node that has said it."""


class Events:
    """See the module.

    Attributes:
        bus: Carries them; None: this node has no others.
    """

    def __init__(self) -> None:
        self.bus: Bus | None = None
        self._hearing: dict[str, list[Hearing]] = {}

    def on(self, kind: str, callback: Hearing) -> None:
        """Let ``callback`` hear the events of a kind, in the event loop."""
        self._hearing.setdefault(kind, []).append(callback)

    def broadcast(self, event: Event) -> None:
        """Tell all other nodes, where there are some. Arguments as :meth:`.bus.Bus.broadcast`."""
        if self.bus is not None:
            self.bus.broadcast(event)

    def happened(self, event: Event, node_id: str) -> None:
        """See :class:`.bus.BusListener`; kinds that nobody knows are of another version."""
        for callback in self._hearing.get(str(event.get("kind")), ()):
            try:
                callback(event, node_id)
            except (KeyError, TypeError, ValueError) as error:
                _log.warning("an event of the kind %s has another form (%s)", event["kind"], error)
