"""``log``: the newest lines of the access log, wherever it is written."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]


async def answer(edge: LiveEdge, request: dict[str, Any]) -> dict[str, Any]:
    """Return lines behind a place in the log.

    Args:
        edge: The running one.
        request: ``after``: by the process's id, as text, the ``next`` of the reply before; a
            process that is not there gives all that it keeps.

    Returns:
        As :meth:`..observers.recent.RecentLines.after`.
    """
    places = request.get("after")
    place = places.get(str(os.getpid())) if isinstance(places, dict) else None
    edge.access_log.flush()  # what has come since its last turn, too
    return edge.access_log.recent.after(place if isinstance(place, int) else 0)
