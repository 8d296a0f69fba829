"""What a dashboard shows as it happens: looked at once for all who watch, by one task.

Nobody who watches can hold it up: each has a place for the newest moment and no more, so who does
not read misses some, and memory does not grow. It looks only while somebody does.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["BusyError", "Feed", "Live", "Moment", "event"]

_log = logging.getLogger("asgi_tunnel_edge.dashboard")

EVERY: Final = 2.0
"""Seconds between two looks: a look takes some milliseconds of the event loop."""

MAX_FEEDS: Final = 64
"""Pages that may watch at the same time. A look is rendered for each: a millisecond."""


class BusyError(Exception):
    """As many pages watch as may."""

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_FEEDS} pages watch this edge already. Close one of them, and load this one anew."
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Moment:
    """What an edge does at one moment.

    Attributes:
        at: Seconds since 1970.
        seconds: Since the moment before; 0: there was none.
        traffic: As the question ``traffic`` is answered.
        before: What ``traffic`` was at the moment before.
        sessions: As ``tunnels`` describes them.
    """

    at: float
    seconds: float
    traffic: dict[str, Any]
    before: dict[str, Any] = field(default_factory=dict)
    sessions: tuple[dict[str, Any], ...] = ()


class Feed:
    """What one page watches.

    Args:
        leave: Called once it is closed.
    """

    def __init__(self, leave: Callable[[Feed], None]) -> None:
        self._leave = leave
        self._newest: Moment | None = None
        self._is_over = False
        self._news = asyncio.Event()

    def put(self, moment: Moment) -> None:
        """Keep a moment in the place of one that was not read."""
        self._newest = moment
        self._news.set()

    def end(self) -> None:
        """Nothing comes any more."""
        self._is_over = True
        self._news.set()

    async def next(self) -> Moment | None:
        """Return the newest moment that was not read, or None at the end.

        Cancelling it loses nothing.
        """
        await self._news.wait()
        moment, self._newest = self._newest, None
        if not self._is_over:
            self._news.clear()
        return moment

    def close(self) -> None:
        """Watch no more; may be called twice."""
        self._leave(self)


class Live:
    """See the module.

    Args:
        look: Returns the next moment, given the one before; None: the edge stops.
        every: Seconds between two looks.
    """

    def __init__(
        self,
        look: Callable[[Moment | None], Awaitable[Moment | None]],
        *,
        every: float = EVERY,
    ) -> None:
        self._look = look
        self._every = every
        self._feeds: dict[Feed, None] = {}
        self._last: Moment | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def watching(self) -> int:
        """How many pages watch."""
        return len(self._feeds)

    def open(self) -> Feed:
        """Watch from now on.

        Raises:
            BusyError: As many do as may.
        """
        if len(self._feeds) >= MAX_FEEDS:
            raise BusyError
        feed = Feed(self._left)
        self._feeds[feed] = None
        if self._last is not None:
            feed.put(self._last)
        if self._task is None:
            self._task = asyncio.get_running_loop().create_task(self._run(), name="dashboard-live")
        return feed

    async def stop(self) -> None:
        """End all streams; may be called twice."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait({task})
        self._end()

    def _left(self, feed: Feed) -> None:
        self._feeds.pop(feed, None)
        if not self._feeds and self._task is not None:
            self._task.cancel()
            self._task, self._last = None, None

    def _end(self) -> None:
        for feed in list(self._feeds):
            feed.end()
        self._feeds.clear()

    async def _run(self) -> None:
        while True:
            try:
                moment = await self._look(self._last)
            except Exception:  # noqa: BLE001
                # The task's outer edge: pages stay as they are, and the next look may succeed.
                _log.exception("looking at the edge for its dashboard failed")
                moment = self._last
            if moment is None:
                self._task, self._last = None, None
                self._end()
                return
            self._last = moment
            for feed in self._feeds:
                feed.put(moment)
            await asyncio.sleep(self._every)


def event(text: str, *, name: str = "part") -> bytes:
    """Return an event of a stream (HTML standard section 9.2.5): a line of data for each line."""
    lines = "".join(f"data: {line}\n" for line in text.splitlines())
    return f"event: {name}\n{lines}\n".encode()
