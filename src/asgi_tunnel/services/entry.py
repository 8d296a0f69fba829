"""A service that runs: what serves its requests, how many are in progress, and its end."""

from __future__ import annotations

import asyncio
from typing import Final

from ..asgi.types import ASGIApp
from .files import Folder
from .fixed import Redirect, Status
from .hosted import HostedApp
from .proxy.proxy import Proxy
from .service import AppTarget, FolderTarget, ProxyTarget, RedirectTarget, Service

_SHOWN: Final = 200  # characters of a name, and of what stands in the file


class Entry:
    """One service of the table in force.

    Args:
        service: What it is.

    Attributes:
        app: Serves its calls.
        proxy: The same, where the service is a server of its own.
    """

    def __init__(self, service: Service) -> None:
        self.service = service
        self._hosted: HostedApp | None = None
        self.proxy: Proxy | None = None
        target = service.target
        self.app: ASGIApp
        if isinstance(target, AppTarget):
            self.app = self._hosted = HostedApp(target, service.name)
        elif isinstance(target, ProxyTarget):
            self.app = self.proxy = Proxy(service, target, self)
        elif isinstance(target, FolderTarget):
            self.app = Folder(target)
        elif isinstance(target, RedirectTarget):
            self.app = Redirect(target)
        else:
            self.app = Status(target)
        self._in_flight = 0
        self._idle = asyncio.Event()
        self._idle.set()

    def begin_exchange(self) -> None:
        """An exchange is in progress from here."""
        self._in_flight += 1
        self._idle.clear()

    def end_exchange(self) -> None:
        """It is over."""
        self._in_flight -= 1
        if not self._in_flight:
            self._idle.set()

    def describe(self) -> dict[str, object]:
        """Return what it is and does now, for people."""
        state = "ready"
        if self._hosted is not None:
            state = self._hosted.state.name.lower()
        elif self.proxy is not None and not self.proxy.was_reached:
            state = "not reached"
        service = self.service
        return {
            "name": service.name[:_SHOWN],
            "to": service.to[:_SHOWN],
            "state": state,
            "in_flight": self._in_flight,
        }

    @property
    def has_startup(self) -> bool:
        """Whether there is anything to start or to look up."""
        return self._hosted is not None or (self.proxy is not None and self.proxy.has_name)

    async def start(self) -> None:
        """Return when it takes requests, or will not for now.  Cancelling it only ends the wait."""
        if self._hosted is not None:
            self._hosted.start()
            await self._hosted.wait_tried()
        elif self.proxy is not None:
            await self.proxy.start()

    async def stop(self) -> None:
        """Run an app's shutdown; close the connections that nothing uses."""
        if self._hosted is not None:
            await self._hosted.stop()
        elif self.proxy is not None:
            self.proxy.close()

    async def leave(self, timeout: float) -> None:
        """Stop when nothing is in progress, at the latest after ``timeout`` seconds.

        A proxy's connections in use stay as long as their exchanges.
        """
        try:
            async with asyncio.timeout(timeout):
                await self._idle.wait()
        except TimeoutError:
            pass
        finally:
            await self.stop()
