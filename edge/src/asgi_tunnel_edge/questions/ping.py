"""``ping``: does the event loop of the serving process turn? Asked for the service manager."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]


async def answer(_edge: LiveEdge, _request: dict[str, Any]) -> dict[str, Any]:
    """Say yes."""
    return {}
