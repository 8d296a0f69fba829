"""The dashboard of one running edge: made, started and stopped by ``server``."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING

from ..endpoints.local_app import LocalApp
from ..history import History
from ..inspection import Inspectors
from ..observers.limited import LimitedVisitors
from ..observers.traces import TraceRing
from ..pages.brand import Brand
from ..replies import BY_SHARE
from ..storage.encryption import SecretBox
from .watching import Watches

if TYPE_CHECKING:
    from collections.abc import Callable

    from asgi_tunnel.asgi.types import ASGIApp

    from ..context import EdgeContext
    from ..directory import LocalDirectory
    from ..guards import Guards
    from ..login import Entrance
    from ..questions import LiveEdge
    from ..route import Route
    from ..settings.config import EdgeConfig, ListenAddress
    from ..shown import ShownCertificates
    from ..storage import SnapshotWatcher
    from ..supervision import ParentLink
    from .context import DashboardContext
    from .live import Live, Moment
    from .local import LocalDispatcher

__all__ = ["Dashboard"]

_log = logging.getLogger("asgi_tunnel_edge.dashboard")


class Dashboard:
    """See the module.

    Args:
        config: Of the edge; it has ``[dashboard]``.
        edge: Returns the running edge, as questions see it.
        context: Of the edge; tells of exchanges.
        directory: Gets the hostname, which no token's app serves then.
        watcher: Reads the store.
        certificates: That the edge shows; None: TLS is off.
        visitor_url: Returns where visitors find a hostname.
        link: Asks the edge's other serving processes; None: there are none.

    Attributes:
        traces: Where the time of the newest exchanges went.
        watches: Inspectors that pages watch.
    """

    def __init__(  # noqa: PLR0913 - the parts of an edge that pages show, each by its name
        self,
        config: EdgeConfig,
        *,
        edge: Callable[[], LiveEdge],
        context: EdgeContext,
        directory: LocalDirectory,
        watcher: SnapshotWatcher,
        certificates: ShownCertificates | None,
        visitor_url: Callable[[str], str],
        link: ParentLink | None = None,
    ) -> None:
        self._config = config
        self._edge = edge
        self._edge_context = context
        self._directory = directory
        self._watcher = watcher
        self._certificates = certificates
        self._visitor_url = visitor_url
        self._link = link
        self.traces = TraceRing()
        self.watches = Watches()
        self._live: Live
        self._history = History(config.history_path, directory.registered_name)
        self._limited = LimitedVisitors(BY_SHARE)
        self._app: LocalApp
        self._context: DashboardContext

    @property
    def route(self) -> Route:
        """To the pages."""
        return self._app.route

    async def start(self) -> None:
        """Make the pages, and serve them under their hostname. Cancelling it leaves nothing.

        Raises:
            StorageError: The key of forms cannot be read.
            EdgeConfigError: The logo cannot be used.
        """
        config = self._config
        key = await asyncio.to_thread(SecretBox(config.acme_key_path).derive, "dashboard forms")
        self._app = LocalApp(await asyncio.to_thread(self._make_app, key))
        await self._app.start()
        self._edge_context.attach(self._history.counter)
        self._edge_context.traces = self.traces
        self._edge_context.attach(self._limited)
        self._history.start()
        if config.dashboard.hostname is not None:
            self._directory.serve(config.dashboard.hostname, self._app.route)

    def announce(self, address: ListenAddress | None) -> None:
        """Say where the pages are.

        Args:
            address: Of this machine; None: they have none of their own.
        """
        hostname = self._config.dashboard.hostname
        if hostname is not None:
            _log.info("the dashboard is at %s", self._visitor_url(hostname))
        if address is not None:
            _log.info("the dashboard is at http://localhost:%d on this machine", address.port)

    async def stop(self) -> None:
        """End the pages and all streams, and write the last numbers."""
        await self._live.stop()
        await self._app.stop()
        await self._history.stop()

    def dispatcher(self, guards: Guards, entrance: Entrance) -> LocalDispatcher:
        """Return what decides about requests to the address of this machine.

        Args:
            guards: Turn visitors away.
            entrance: Decides who passes the door.
        """
        from .local import LocalDispatcher

        return LocalDispatcher(self._edge_context, guards, entrance, self.route)

    def _make_app(self, key: bytes) -> ASGIApp:
        # Starlette takes 0.1 s to load: only edges that have a dashboard or a door do it.
        from .app import make_app
        from .audit import AuditLog
        from .context import DashboardContext
        from .csrf import CsrfGuard
        from .live import Live
        from .pages import find_pages
        from .roles import Roles
        from .serving import Guarded
        from .site import Site

        config = self._config
        self._live = Live(self._look)
        csrf = CsrfGuard(key)
        context = DashboardContext(
            config=config,
            edge=self._edge,
            watcher=self._watcher,
            certificates=self._certificates,
            visitor_url=self._visitor_url,
            site=Site(Brand.of(config.pages, config.data_dir)),
            csrf=csrf,
            audit=AuditLog(config.database),
            live=self._live,
            history=self._history,
            inspectors=Inspectors(self._edge_context.next_request_id),
            watches=self.watches,
            traces=self.traces,
            limited=self._limited,
            pages=find_pages(),
            link=self._link,
        )
        self._context = context
        roles = Roles(config.dashboard, lambda: self._directory.snapshot.tokens)
        return make_app(context, Guarded(roles, csrf))

    async def _look(self, last: Moment | None) -> Moment | None:
        """Return what the edge does now; None: it stops, and pages should ask its successor."""
        if self._edge_context.is_stopping:
            return None
        return await self._context.look(last)
