"""Inspectors that pages watch: each app's process is followed once, however many pages show it.

What a change looks like is fetched and rendered once for all pages with the same address; each of
them waits by itself, so who does not read holds nobody up.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ..inspection import InspectionError

if TYPE_CHECKING:
    from .inspection import AppInspector

__all__ = ["TooManyWatchError", "Watch", "Watches"]

MAX_WATCHERS: Final = 1000
"""Pages that watch inspectors at one time: each is an open connection, some 40 KB, and gets 15 KB
for a change."""

PAUSE: Final = 0.4
"""Seconds between two looks for a page: a busy app is looked at, not held up."""

PAUSE_EACH: Final = 0.002
"""Seconds more for each page that watches the same process: writing to it takes a tenth of that."""

HEARTBEAT: Final = 15.0
"""Seconds without a change after which a page is told that all is well; see :mod:`.serving`."""

MAX_SHARED: Final = 50
"""Renderings that are kept of one process: different searches."""


class TooManyWatchError(Exception):
    """As many pages watch as may."""

    def __init__(self) -> None:
        super().__init__(
            f"{MAX_WATCHERS} pages watch inspectors already. Close one of them, and load this one "
            "anew."
        )


class Watch:
    """One process's inspector, while at least one page watches it; a page enters it.

    Args:
        leave: Called once nobody does.
    """

    def __init__(self, leave: Callable[[], None]) -> None:
        self._leave = leave
        self._task: asyncio.Task[None] | None = None
        self._version = 0  # of what there is to see
        self._is_over = False  # the app has gone
        self._changed = asyncio.Event()
        self._shared: dict[str, tuple[int, asyncio.Future[str]]] = {}
        self.watchers = 0

    def start(self, inspector: AppInspector) -> None:
        """Follow it from now on."""
        self._task = asyncio.get_running_loop().create_task(self._follow(inspector))

    def __enter__(self) -> Watch:
        """Count one page more."""
        self.watchers += 1
        return self

    def __exit__(self, *exc: object) -> None:
        """It has gone; with the last one, the process is not followed any more."""
        self.watchers -= 1
        if not self.watchers:
            if self._task is not None:
                self._task.cancel()
            self._leave()

    async def changes(self) -> AsyncGenerator[bool, None]:
        """Yield True for each change, however many there were since the last, and False at times.

        It ends with the process. Cancelling it, or closing it, loses nothing.
        """
        seen = self._version
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(HEARTBEAT):
                    while seen == self._version and not self._is_over:
                        await self._changed.wait()
            if self._is_over:
                return
            is_new, seen = seen != self._version, self._version
            yield is_new
            if is_new:
                await asyncio.sleep(PAUSE + PAUSE_EACH * self.watchers)

    async def shared(self, key: str, make: Callable[[], Awaitable[str]]) -> str:
        """Return what ``make`` returns, which is asked once for each change and key.

        Cancelling it loses nothing: others may wait for it.

        Raises:
            InspectionError: As ``make`` raises it.
        """
        found = self._shared.get(key)
        if found is None or found[0] != self._version:
            if len(self._shared) >= MAX_SHARED:
                self._shared.clear()
            made = asyncio.ensure_future(make())
            found = self._shared[key] = self._version, made
        return await asyncio.shield(found[1])

    async def _follow(self, inspector: AppInspector) -> None:
        try:
            async with inspector.follow() as pieces:
                async for piece in pieces:
                    if b"event: " in piece:
                        self._version += 1
                        self._wake()
        except InspectionError:
            pass  # pages are told by the end of their streams, and ask again
        finally:
            self._is_over = True
            self._wake()

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


class Watches:
    """See the module; one for a dashboard."""

    def __init__(self) -> None:
        self._watches: dict[object, Watch] = {}

    @property
    def watchers(self) -> int:
        """Pages that watch now."""
        return sum(one.watchers for one in self._watches.values())

    def open(self, inspector: AppInspector) -> Watch:
        """Return what watches a process; entered for as long as the page does.

        Raises:
            TooManyWatchError: As many do as may.
        """
        if self.watchers >= MAX_WATCHERS:
            raise TooManyWatchError
        key = inspector.session
        watch = self._watches.get(key)
        if watch is None:

            def leave() -> None:
                if self._watches.get(key) is watch:
                    del self._watches[key]

            watch = self._watches[key] = Watch(leave)
            watch.start(inspector)
        return watch
