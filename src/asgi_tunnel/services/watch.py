"""Follows the file of the services: looks at its time, size and number, and reads what is new."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Final

from ..errors import ConfigError
from .file import load_file
from .service import Service

INTERVAL: Final = 1.0
"""Seconds between two looks: 20 us each, and nobody waits longer for a new service."""

Seen = tuple[int, int, int] | None


class FileWatch:
    """Watches one file.

    Args:
        path: Absolute.
        interval: Seconds between two looks; by default ``INTERVAL``.
    """

    def __init__(self, path: Path, *, interval: float | None = None) -> None:
        self.path = path
        self._interval = INTERVAL if interval is None else interval
        self._seen = self._look()

    async def changes(self) -> AsyncIterator[tuple[tuple[Service, ...] | None, str]]:
        """Give the services after each change, or None and why they cannot be used.

        A file that is gone counts as a change once; editors take it away for a moment, so it is
        only noted when it stays away for a second look.
        """
        while True:
            await asyncio.sleep(self._interval)
            now = self._look()
            if now is None and self._seen is not None:
                await asyncio.sleep(self._interval)
                now = self._look()
            if now == self._seen:
                continue
            self._seen = now
            try:
                services = await asyncio.to_thread(load_file, self.path)
            except ConfigError as error:
                yield None, str(error)
            else:
                yield services, ""

    def _look(self) -> Seen:
        try:
            found = self.path.stat()
        except OSError:
            return None
        return found.st_mtime_ns, found.st_size, found.st_ino
