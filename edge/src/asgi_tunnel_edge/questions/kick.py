"""``kick``: end sessions now; their apps may dial again."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from asgi_tunnel.protocol.codes import GoawayCode

from .matching import matching, names_in

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]

RETRY_AFTER: Final = 1.0
"""Seconds that a kicked app is asked to stay away: enough to see that it is gone."""


async def answer(edge: LiveEdge, request: dict[str, Any]) -> dict[str, Any]:
    """End the sessions that ``names`` means; say how many there were, and how many streams.

    What is in flight on them ends: a GET without a response goes to another session of the token,
    everything else gets 502 or is cut.
    """
    entries = matching(edge.directory, names_in(request))
    in_flight = sum(entry.session.in_flight for entry in entries)
    for entry in entries:
        entry.session.terminate(
            GoawayCode.KICKED, "the edge's operator has ended it", retry_after=RETRY_AFTER
        )
    return {"sessions": len(entries), "in_flight": in_flight}
