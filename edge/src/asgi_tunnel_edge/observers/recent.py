"""Keeps the newest entries of the access log, for who follows it by the control socket.

The log itself may go to a file, to standard output, or be rotated meanwhile. Asked by
:mod:`..questions`; an :class:`.observer.ExchangeObserver`.
"""

from __future__ import annotations

import itertools
import time
from collections import deque
from typing import Any, Final

from .access_log import Entry

__all__ = ["RecentEntries"]

MAX_ENTRIES: Final = 2000
"""Entries that are kept, 0.7 MB of them: what a full load makes in half a second, between two
questions of who follows."""

PAGE: Final = 500
"""Entries in one reply, 250 KB: 4 ms of the event loop."""

MAX_TARGET: Final = 1024
"""Bytes of a target that are kept, as in the log."""


class RecentEntries:
    """See the module.

    Args:
        size: How many entries are kept; the oldest gives way.
    """

    def __init__(self, size: int = MAX_ENTRIES) -> None:
        self._entries: deque[tuple[float, Entry]] = deque(maxlen=size)
        self._count = 0  # of all that have come

    def closed(self, entry: Entry) -> None:
        """See :class:`.observer.ExchangeObserver`."""
        if len(entry.target) > MAX_TARGET:
            entry = entry._replace(target=entry.target[:MAX_TARGET])
        self._count += 1
        self._entries.append((time.time(), entry))

    def after(self, place: int) -> dict[str, Any]:
        """Return entries as the log has them in JSON, oldest first.

        Args:
            place: How many of all that have come were seen; 0: none.

        Returns:
            ``entries``, at most ``PAGE``; ``lost``: how many behind ``place`` are not kept any
            more; ``next``: the place behind the last one; ``more``: how many are left behind it.
        """
        first = self._count - len(self._entries)  # that is kept
        place = min(place, self._count)  # of a process that had the same id before
        start = max(place, first)
        found = itertools.islice(self._entries, start - first, start - first + PAGE)
        entries = [_fields(at, one) for at, one in found]
        end = start + len(entries)
        return {
            "entries": entries,
            "lost": start - place if place else 0,
            "next": end,
            "more": self._count - end,
        }


def _fields(at: float, entry: Entry) -> dict[str, Any]:
    fields = {
        "time": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(at)),
        "request_id": entry.request_id.decode("latin-1"),
        "peer": entry.peer.decode("latin-1"),
        "hostname": entry.hostname,
        "method": entry.method.decode("latin-1"),
        "target": entry.target.decode("latin-1"),
        "status": entry.status,
        "sent": entry.sent,
        "seconds": round(entry.seconds, 6),
    }
    if entry.outcome:
        fields["outcome"] = entry.outcome
    return fields
