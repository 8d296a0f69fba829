"""Joins the counter and the file: writes once a minute, in a thread, and answers what was when.

A file that cannot be written costs a line in the log and those minutes: the edge goes on.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import Final, NamedTuple

from .counter import HistoryCounter
from .file import HOUR, MINUTE, HistoryFile
from .tally import Tally

__all__ = ["SPANS", "History", "Point", "Span"]

_log = logging.getLogger("asgi_tunnel_edge.history")

SAY_EVERY: Final = 3600.0
"""Seconds between two lines about a file that cannot be written."""


class Span(NamedTuple):
    """A length of time that is shown in one picture."""

    name: str
    title: str
    seconds: int
    step: int  #: seconds of one point: 60 to 200 points fit a picture
    row: int  #: seconds of the rows that it is made of


SPANS: Final = (
    Span("hour", "Hour", HOUR, MINUTE, MINUTE),
    Span("day", "Day", 24 * HOUR, 10 * MINUTE, MINUTE),
    Span("week", "Week", 7 * 24 * HOUR, HOUR, HOUR),
    Span("months", "60 days", 60 * 24 * HOUR, 12 * HOUR, HOUR),
)
"""What may be asked for."""


class Point(NamedTuple):
    """What some hostnames had together in one step."""

    start: int  #: seconds since 1970
    tally: Tally


class History:
    """See the module.

    Args:
        path: Of the file.
        name_of: Returns the registered name of a hostname; None: no token has it.
        now: Seconds since 1970.

    Attributes:
        counter: Hears of exchanges.
    """

    def __init__(
        self,
        path: Path,
        name_of: Callable[[str], str | None],
        *,
        now: Callable[[], float] = time.time,
    ) -> None:
        self.counter = HistoryCounter(name_of)
        self._file = HistoryFile(path)
        self._path = path
        self._now = now
        self._minute = self._this_minute()
        self._said_at = -SAY_EVERY
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Write once a minute from now on."""
        self._minute = self._this_minute()
        self._task = asyncio.get_running_loop().create_task(self._run(), name="history")

    async def stop(self) -> None:
        """Write what was counted, and no more. Cancelling it loses a minute."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.wait({task})
        await self.write()

    async def write(self) -> None:
        """Add what was counted to the file. Cancelling it may lose that."""
        minute, tallies = self._minute, self.counter.take()
        self._minute = self._this_minute()
        if not tallies:
            return
        try:
            await asyncio.to_thread(self._file.add, minute, tallies)
        except (OSError, sqlite3.Error) as error:
            self._say(error)

    async def points(self, span: Span, hostnames: Collection[str] | None = None) -> list[Point]:
        """Return what some hostnames had together, oldest first; a step without any has none.

        Cancelling it loses nothing.

        Args:
            span: How far back, and in which steps.
            hostnames: Registered names; None: all, and those that no token has.
        """
        found: dict[int, Tally] = {}
        for start, _, tally in await self._rows(span, hostnames):
            step = start - start % span.step
            found.setdefault(step, Tally()).add(tally)
        return [Point(start, tally) for start, tally in sorted(found.items())]

    async def totals(
        self, span: Span, hostnames: Collection[str] | None = None
    ) -> dict[str, Tally]:
        """Return what each hostname had in all of a span. Arguments as for :meth:`points`."""
        found: dict[str, Tally] = {}
        for _, name, tally in await self._rows(span, hostnames):
            found.setdefault(name, Tally()).add(tally)
        return found

    async def _rows(
        self, span: Span, hostnames: Collection[str] | None
    ) -> list[tuple[int, str, Tally]]:
        since = int(self._now()) - span.seconds
        since -= since % span.step
        try:
            rows = await asyncio.to_thread(self._file.read, span.row, since, hostnames)
        except (sqlite3.Error, ValueError) as error:
            self._say(error)
            rows = []
        rows += [
            (self._minute, name, Tally().add(tally))
            for name, tally in self.counter.tallies.items()
            if hostnames is None or name in hostnames
        ]
        return rows

    async def _run(self) -> None:
        while True:
            now = self._now()
            await asyncio.sleep(MINUTE - now % MINUTE)
            await self.write()

    def _this_minute(self) -> int:
        now = int(self._now())
        return now - now % MINUTE

    def _say(self, error: Exception) -> None:
        now = time.monotonic()
        if now - self._said_at >= SAY_EVERY:
            self._said_at = now
            _log.warning(
                "%s cannot be used (%s); the dashboard's numbers over time miss these minutes, and "
                "everything else goes on: look at the disk, or remove the file",
                self._path,
                error,
            )
