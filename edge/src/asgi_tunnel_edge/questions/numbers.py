"""``numbers``: the numbers of one serving process, for the one that shows those of all."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from .live import LiveEdge

__all__ = ["answer"]

MAX_CHARACTERS: Final = 800_000
"""Of a reply, which has to fit into one message to the parent (1 MiB)."""


async def answer(edge: LiveEdge, _request: dict[str, Any]) -> dict[str, Any]:
    """Return ``numbers``: of each value its metric, its labels and itself."""
    if edge.numbers is None:
        return {"numbers": []}
    from ..metrics.gathering import as_plain  # it needs prometheus-client, which was loaded before

    numbers = as_plain(await edge.numbers())
    while sum(len(str(one)) for one in numbers) > MAX_CHARACTERS:
        del numbers[len(numbers) // 2 :]  # what belongs to the edge comes before its hostnames
    return {"numbers": numbers}
