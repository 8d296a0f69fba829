"""``traffic``: what passes now: counts that only grow, of which two replies give a rate."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]


async def answer(edge: LiveEdge, _request: dict[str, Any]) -> dict[str, Any]:
    """Say what each hostname had since somebody began to look, and what all have now.

    Returns:
        ``hostnames``: those with the newest requests, each as in
        :meth:`..observers.live_counts.LiveCounts.look`; ``moved``: bytes over all tunnels.
    """
    entries = edge.directory.entries
    sessions = [entry.session for entry in entries]
    return {
        "hostnames": edge.counts.look(),
        "tunnels": sum(one.is_attached for one in sessions),
        "waiting": sum(not one.is_attached for one in sessions),
        "connections": len(edge.table.connections),
        "in_flight": sum(one.in_flight for one in sessions),
        "moved": edge.directory.moved_by_ended + sum(one.moved for one in sessions),
        "is_overloaded": edge.context.is_overloaded,
    }
