"""``status``: what one serving process has and does now."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]


async def answer(edge: LiveEdge, _request: dict[str, Any]) -> dict[str, Any]:
    """Count sessions with a connection, visitors' connections, requests and WebSockets.

    Where there are other nodes: the connections to them, and what was sent over these.
    """
    sessions = [entry.session for entry in edge.directory.entries]
    return {
        "tunnels": sum(one.is_attached for one in sessions),
        "connections": len(edge.table.connections),
        "exchanges": sum(one.in_flight for one in sessions),
        "is_draining": edge.context.is_stopping,
        "is_overloaded": edge.context.is_overloaded,
        "is_database_read": edge.watcher is None or not edge.watcher.is_failing,
        **edge.nodes(),
    }
