"""Cuts an event stream into its events, as they pass."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["EventSplitter"]

_END: Final = re.compile(rb"(?:\r\n|\n|\r(?!\n)){2}")
_LONGEST_END: Final = 4


class EventSplitter:
    """Cuts what an app sends where an empty line ends an event.

    Args:
        limit: Bytes that are kept of an event.

    Attributes:
        held: Bytes of the event that is not complete.
    """

    __slots__ = ("_begun", "_limit", "_size", "_tail", "held")

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._begun = bytearray()
        self._tail = b""  # where an end may have begun
        self._size = 0  # of the event that is not complete, with what is not kept
        self.held = 0

    def split(self, data: bytes) -> list[tuple[str, int]]:
        """Return the events that are complete by now: the text that is kept, and the size."""
        found = []
        joined = self._tail + data
        at = len(self._tail)  # what is before it was kept already
        after = 0  # the last end
        for end in _END.finditer(joined):
            self._keep(joined[at : end.start()])
            kept = bytes(self._begun).strip(b"\r\n")
            if kept:
                found.append((kept.decode("utf-8", "replace"), self._size))
            self._begun.clear()
            self._size = 0
            at = after = end.end()
        self._keep(joined[at:])
        self._tail = joined[max(after, len(joined) - _LONGEST_END + 1) :]
        self.held = len(self._begun)
        return found

    def _keep(self, piece: bytes) -> None:
        self._size += len(piece)
        self._begun += piece[: max(self._limit - len(self._begun), 0)]
