"""Who watches over whom: each node looks after the next one in the order of the ids.

So each is watched by one, whatever their number; who sees that its neighbour is gone tells all, and
then watches the one after it. When both die at the same time, the one before them finds out one
after the other.
"""

from __future__ import annotations

from collections.abc import Iterable

__all__ = ["successor"]


def successor(own: str, others: Iterable[str]) -> str | None:
    """Return whom a node watches over; None: it is alone."""
    names = sorted(others)
    return next((one for one in names if one > own), names[0] if names else None)
