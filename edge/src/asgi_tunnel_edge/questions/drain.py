"""``drain``: let sessions take nothing new, and end once they are empty; their apps dial anew."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from .matching import matching, names_in

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]


async def answer(edge: LiveEdge, request: dict[str, Any]) -> dict[str, Any]:
    """Drain the sessions that ``names`` means; say how many, and what is in flight on them."""
    entries = matching(edge.directory, names_in(request))
    in_flight = sum(entry.session.in_flight for entry in entries)
    drained = sum(edge.directory.renew_one(entry) for entry in entries)
    return {"sessions": len(entries), "drained": drained, "in_flight": in_flight}
