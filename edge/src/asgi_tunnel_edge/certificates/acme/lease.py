"""One process at a time: the lease of a CA's directory, held while something is ordered."""

from __future__ import annotations

import asyncio
import secrets
from typing import TYPE_CHECKING, Final

from asgi_tunnel_edge.errors import StorageError

if TYPE_CHECKING:
    import logging
    from collections.abc import Coroutine

    from .client import Now, Sleep
    from .records import AcmeStorage

__all__ = ["LEASE", "Lease"]

LEASE: Final = 60.0
"""Seconds that a lease lasts; renewed each third of it. After a crash the next waits so long."""


class Lease:
    """The lease of one directory, for this process.

    Args:
        storage: Where it is kept; called in a thread.
        directory: The URL of the CA's directory.
        now: Seconds since 1970.
        sleep: Waits between two renewals.
        log: Hears that it is lost.
    """

    def __init__(
        self,
        storage: AcmeStorage,
        directory: str,
        *,
        now: Now,
        sleep: Sleep,
        log: logging.Logger,
    ) -> None:
        self._storage = storage
        self._directory = directory
        self._now = now
        self._sleep = sleep
        self._log = log
        self._holder = secrets.token_hex(8)

    async def run(self, work: Coroutine[None, None, None]) -> bool:
        """Do the work under the lease; end it when the lease is lost.

        Cancelling it cancels the work, and gives the lease back.

        Returns:
            False where another process has the lease; then nothing was done.

        Raises:
            StorageError: The lease cannot be taken; and whatever the work raises.
        """
        try:
            has_lease = await self._acquire()
        except BaseException:
            work.close()
            raise
        if not has_lease:
            work.close()
            return False
        working = asyncio.ensure_future(work)
        beating = asyncio.ensure_future(self._beat())
        try:
            await asyncio.wait({working, beating}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for task in (working, beating):
                task.cancel()
            await asyncio.wait({working, beating})
            await asyncio.to_thread(self._storage.release_lease, self._directory, self._holder)
        if not working.cancelled():
            working.result()
        return True

    async def _acquire(self) -> bool:
        now = self._now()
        return await asyncio.to_thread(
            self._storage.acquire_lease, self._directory, self._holder, now=now, until=now + LEASE
        )

    async def _beat(self) -> None:
        """Renew the lease until it is lost."""
        while True:
            await self._sleep(LEASE / 3)
            try:
                if not await self._acquire():
                    self._log.warning(
                        "another process orders certificates now; it goes on with them"
                    )
                    return
            except StorageError as error:
                self._log.warning(
                    "the lease for ordering certificates cannot be renewed: %s", error
                )
                return
