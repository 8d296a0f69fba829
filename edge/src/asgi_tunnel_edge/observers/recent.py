"""Keeps the newest lines of the access log, for who follows it by the control socket.

The log itself may go to a file, to standard output, or be rotated meanwhile. The lines are those
that were made for it, taken over several times a second, so an exchange pays nothing for it. Filled
by :class:`.access_log.AccessLog`; asked by :mod:`..questions`.
"""

from __future__ import annotations

import itertools
from collections import deque
from collections.abc import Collection
from typing import Any, Final

__all__ = ["RecentLines"]

MAX_LINES: Final = 2000
"""Lines that are kept, 0.3 MB of them (9 MB where each holds a target that is as long as it may be
and has to be escaped): what a full load makes in half a second, between two looks."""

PAGE_SIZE: Final = 256 * 1024
"""Bytes of lines after which a reply has no further one: 2 ms of the event loop."""


class RecentLines:
    """See the module.

    Args:
        size: How many lines are kept; the oldest gives way.
    """

    def __init__(self, size: int = MAX_LINES) -> None:
        self._lines: deque[bytes] = deque(maxlen=size)
        self._count = 0  # of all that have come

    def extend(self, lines: Collection[bytes]) -> None:
        """Take lines over, each with its end."""
        self._lines.extend(lines)
        self._count += len(lines)

    def after(self, place: int) -> dict[str, Any]:
        """Return lines, oldest first.

        Args:
            place: How many of all that have come were seen; 0: none.

        Returns:
            ``lines``, as text without their ends; ``lost``: how many behind ``place`` are not kept
            any more; ``next``: the place behind the last one; ``more``: how many are left there.
        """
        first = self._count - len(self._lines)  # that is kept
        place = max(min(place, self._count), 0)  # of a process that had the same id before
        start = max(place, first)
        lines: list[str] = []
        size = 0
        for line in itertools.islice(self._lines, start - first, None):
            lines.append(line.decode("ascii", "replace").rstrip("\n"))
            size += len(line)
            if size > PAGE_SIZE:
                break
        end = start + len(lines)
        return {
            "lines": lines,
            "lost": start - place if place else 0,
            "next": end,
            "more": self._count - end,
        }
