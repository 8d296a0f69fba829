"""Says which exchanges have begun or changed, to whoever looks on.

A viewer has no queue that somebody would fill: it has a place in one list for all, which is
bounded, and reads on from there when it has room. Who does not read costs nothing and misses what
was written over meanwhile.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

__all__ = ["Journal"]

MAX_CHANGES: Final = 4096
"""Changes that a viewer may be behind: 2,048 exchanges, each with its begin and its end."""


class Journal:
    """See the module.

    Attributes:
        count: Changes so far; a viewer that begins now reads on from there.
        viewers: Who looks on; while there is nobody, nothing is written.
    """

    __slots__ = ("_changed", "_seqs", "count", "viewers")

    def __init__(self) -> None:
        self.count = 0
        self.viewers = 0
        self._seqs: deque[int] = deque(maxlen=MAX_CHANGES)
        self._changed: asyncio.Future[None] | None = None

    def note(self, seq: int) -> None:
        """An exchange has begun, or changed."""
        if not self.viewers:
            return
        self.count += 1
        self._seqs.append(seq)
        changed, self._changed = self._changed, None
        if changed is not None and not changed.done():
            changed.set_result(None)

    def read(self, place: int, most: int) -> tuple[list[int], int, int]:
        """Return what was written since a place, the next place, and how much was missed.

        Args:
            place: Of the viewer.
            most: Changes to return; of what is older than that nothing is returned.
        """
        behind = self.count - place
        size = min(behind, most, len(self._seqs))
        if size <= 0:
            return [], self.count, max(behind, 0)
        first = len(self._seqs) - size
        found = [seq for at, seq in enumerate(self._seqs) if at >= first]
        return found, self.count, behind - size

    async def changed(self, place: int) -> None:
        """Return when something was written since a place.  Cancelling it loses nothing."""
        while self.count == place:
            if self._changed is None:
                self._changed = asyncio.get_running_loop().create_future()
            await asyncio.shield(self._changed)
