"""Rates that hold for all serving processes together, though each counts by itself.

Each process tells the others what it has taken from whom, some times a second and only while
somebody takes something; they take the same from their own tables (docs/limits.md says how far that
is from the truth). The event ``spent`` has for each table its keys, and the seconds of debt or the
marks of things. Put together by ``server``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from operator import itemgetter
from typing import TYPE_CHECKING, Any, Final

from .bus.bus import MAX_EVENT
from .shares.spent import SpentTable

if TYPE_CHECKING:
    from .bus.bus import Event
    from .bus.events import Events

__all__ = ["CLUSTER_INTERVAL", "INTERVAL", "MAX_KEYS", "Spending"]

INTERVAL: Final = 0.1
"""Seconds after which what was taken is told. N processes let N times as much pass as one would in
that time, and no more."""

CLUSTER_INTERVAL: Final = 1.0
"""The same between edges on other machines: an event there costs a commit, or a broker's work."""

MAX_KEYS: Final = 128
"""Keys in one word: of each limiter in turn, those that owe the most first."""

_ROOM: Final = MAX_EVENT - 96  # bytes for keys: what is around them takes less

_SEPARATOR: Final = "\0"  # between the parts of a key


class Spending:
    """See the module.

    Args:
        events: To the other nodes and from them.
        interval: Seconds.
    """

    def __init__(self, events: Events, *, interval: float = INTERVAL) -> None:
        self._events = events
        self._interval = interval
        self._tables: dict[str, SpentTable] = {}
        self._hearing: dict[str, Callable[[str, float], None]] = {}
        self._timer: asyncio.TimerHandle | None = None
        events.on("spent", self._hear)

    def share(self, name: str, charge: Callable[[str, float], None]) -> SpentTable:
        """Return where a limiter notes what it takes.

        Args:
            name: Of the limiter; the same in all processes.
            charge: Takes what others have taken: a key, and seconds.
        """
        table = self._tables[name] = SpentTable(self._begin)
        self._hearing[name] = charge
        return table

    def share_marks(
        self, name: str, add: Callable[[list[str], int], None]
    ) -> Callable[[Iterable[str], int], None]:
        """Return where a counter of different things notes them.

        Args:
            name: Of the counter; the same in all processes.
            add: Adds one that another process was sent: the parts of its group's key, and its mark.
        """

        def charge(key: str, _seconds: float) -> None:
            *parts, mark = key.split(_SEPARATOR)
            add(parts, int(mark, 16))

        table = self.share(name, charge)

        def note(parts: Iterable[str], mark: int) -> None:
            table.note(_SEPARATOR.join([*parts, f"{mark:x}"]), 0.0)

        return note

    def stop(self) -> None:
        """Tell nobody any more."""
        if self._timer is not None:
            self._timer.cancel()

    def _begin(self) -> None:
        if self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(self._interval, self._tell)

    def _tell(self) -> None:
        self._timer = None
        taken: list[tuple[int, tuple[str, str, float]]] = []
        for name, table in self._tables.items():
            of_table = [(name, key, seconds) for key, seconds in table.take().items()]
            of_table.sort(key=lambda one: -abs(one[2]))
            taken += enumerate(of_table[:MAX_KEYS])
        # In turn: who fills one of them hides nothing of the others, such as probes, which owe 0.
        taken.sort(key=itemgetter(0))
        told: dict[str, dict[str, float]] = {}
        room = _ROOM
        for _, (name, key, seconds) in taken[:MAX_KEYS]:
            value = round(seconds, 4)
            # As JSON: quotes, a colon, a comma; each letter that has to be escaped takes six.
            size = len(key) + 5 * key.count(_SEPARATOR) + len(repr(value)) + 4
            size += 0 if name in told else len(name) + 6
            if not key.isascii() or size > room:
                continue
            room -= size
            told.setdefault(name, {})[key] = value
        if told:
            self._events.broadcast({"kind": "spent", "taken": told})

    def _hear(self, event: Event, _node_id: str) -> None:
        taken: dict[str, dict[str, Any]] = event["taken"]
        for name, amounts in taken.items():
            charge = self._hearing.get(name)
            if charge is not None:
                for key, seconds in amounts.items():
                    charge(key, float(seconds))
