"""``connected``: which tokens have a tunnel to this process, for the one that looks for all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]

MAX_TOKENS: Final = 40_000
"""Of a reply, which has to fit into one message to the parent (1 MiB)."""


async def answer(edge: LiveEdge, _request: dict[str, Any]) -> dict[str, Any]:
    """Return the ids of those tokens, and whether memory is short."""
    entries = edge.directory.entries
    tokens = {entry.token.id for entry in entries if entry.session.is_attached}
    return {"tokens": list(tokens)[:MAX_TOKENS], "is_overloaded": edge.context.is_overloaded}
