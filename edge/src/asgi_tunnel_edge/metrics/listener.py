"""Serves the metrics on an address of their own, and two pages that say how the edge is.

It is another front of HTTP/1.1 with its own table and clocks, whose bounds are small: what asks is
a Prometheus or two and a health check. No hostname leads here, and no request of a visitor: who
reaches the address reads the numbers. Bans and the rate of connections hold here, too.
"""

from __future__ import annotations

import asyncio
import ipaddress
import logging
from typing import TYPE_CHECKING, Any, Final

from ..connections.limiter import ConnectionLimiter
from ..connections.table import ConnectionTable
from ..context import EdgeContext
from ..directory import LocalDirectory
from ..dispatch import Dispatcher
from ..endpoints.endpoint import PathEndpoint
from ..endpoints.health import Health, Ready
from ..endpoints.local_app import LocalApp
from ..endpoints.page import LocalPages, Page, Response
from ..http1.connection import HTTP1Connection
from ..http1.front import HTTP1Front
from ..listeners.plain import PlainAcceptor
from ..settings.config import Limits
from ..tokens import Snapshot

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from ..descriptors import DescriptorWatch
    from ..guards import Guards
    from .exposition import Exposition

__all__ = ["MetricsListener", "warn_if_public"]

_log = logging.getLogger("asgi_tunnel_edge.metrics")

METRICS_PATH: Final = "/metrics"
HEALTH_PATH: Final = "/health"
READY_PATH: Final = "/ready"

BACKLOG: Final = 64
"""Connections that the kernel keeps for us to accept: above the connections that there may be."""

CHECK: Final = 0.25
"""Seconds between two looks at the deadlines."""

LIMITS: Final = Limits(
    max_request_line=2048,
    max_head_bytes=8192,
    max_header_fields=64,
    max_connections=16,
    head_timeout=5.0,
    body_grace=10.0,
)
"""Prometheus keeps one connection open and sends a head of 400 bytes; two of them, health checks
and somebody who looks by hand fit in, and a full table closes who is idle."""


class MetricsListener:
    """See the module.

    Args:
        exposition: Writes the numbers.
        reasons: Why the edge is not ready; empty: it is.
        guards: Who is banned.
        notes: What else is wrong.
    """

    def __init__(
        self,
        exposition: Exposition,
        reasons: Callable[[], Sequence[str]],
        guards: Guards,
        *,
        notes: Callable[[], Sequence[str]] = tuple,
    ) -> None:
        self._loop = asyncio.get_running_loop()
        pages: dict[str, Page] = {
            METRICS_PATH: MetricsPage(exposition),
            HEALTH_PATH: Health(lambda: True),  # the process lives as long as this is answered
            READY_PATH: Ready(reasons, notes=notes, shows_reasons=True),
        }
        self._app = LocalApp(LocalPages(pages))
        self._context = context = EdgeContext(limits=LIMITS, now=self._loop.time)
        self._table = ConnectionTable(
            max_connections=LIMITS.max_connections,
            # All may come from one address. Only a full table lets the newest take the place of
            # who is idle.
            max_per_address=LIMITS.max_connections + 1,
        )
        endpoints = [PathEndpoint(path, self._app.route) for path in pages]
        self._front = HTTP1Front(
            context,
            limiter=ConnectionLimiter(guards, self._loop.time),
            table=self._table,
            dispatcher=Dispatcher(context, LocalDirectory(Snapshot.of(0, [])), guards, endpoints),
            tunnels=None,
        )
        self._sockets: list[socket.socket] = []
        self._acceptor: PlainAcceptor | None = None
        self._timer: asyncio.TimerHandle | None = None

    async def start(self, sockets: Sequence[socket.socket], watch: DescriptorWatch) -> None:
        """Serve from now on; cancelling it leaves the sockets open.

        Args:
            sockets: Listening and non-blocking; closed by :meth:`close`.
            watch: Hears that no descriptor was left.
        """
        self._sockets = list(sockets)
        await self._app.start()
        self._acceptor = PlainAcceptor(self._make, sockets, backlog=BACKLOG, watch=watch)
        await self._acceptor.start()
        self._timer = self._loop.call_later(CHECK, self._look)

    def close(self) -> None:
        """Accept no more, and close what is idle; may be called twice."""
        self._context.is_stopping = True
        if self._acceptor is not None:
            self._acceptor.close()
        for sock in self._sockets:
            sock.close()
        self._table.shut_down()

    async def stop(self) -> None:
        """End all; cancelling it ends it at once."""
        self.close()
        self._table.end()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            await self._app.stop()

    def _make(self) -> asyncio.Protocol:
        return HTTP1Connection(self._front).as_protocol()

    def _look(self) -> None:
        now = self._loop.time()
        for connection in list(self._table.connections):
            connection.check(now)
        self._timer = self._loop.call_later(CHECK, self._look)


class MetricsPage(Page):
    """All metrics, as text.

    Args:
        exposition: Writes them.
    """

    def __init__(self, exposition: Exposition) -> None:
        self._exposition = exposition

    async def respond(self, scope: Any) -> Response:
        """See :class:`..endpoints.page.Page`."""
        accept = b",".join(value for name, value in scope["headers"] if name == b"accept")
        text, content_type = await self._exposition.text(accept.decode("latin-1"))
        return Response(200, text, content_type.encode())


def warn_if_public(host: str) -> None:
    """Say who may read the metrics, where that is not this machine alone.

    Args:
        host: An address or a name to listen on.
    """
    try:
        is_loopback = ipaddress.ip_address(host).is_loopback
    except ValueError:
        is_loopback = host == "localhost"
    if not is_loopback:
        _log.warning(
            "[metrics] listen = %s: everybody who reaches this address reads hostnames and numbers "
            "of this edge; let a firewall keep it to your Prometheus, or listen on 127.0.0.1",
            host,
        )
