"""What all HTTP/1.1 connections of one edge share."""

from __future__ import annotations

from ..admission.tunnels import TunnelAcceptor
from ..connections.limiter import ConnectionLimiter
from ..connections.table import ConnectionTable
from ..context import EdgeContext
from ..dispatch import Dispatcher
from ..identity.proxies import Proxies

__all__ = ["HTTP1Front"]


class HTTP1Front:
    """Made once by ``server``, held by each connection.

    Args:
        context: Of the edge.
        limiter: Turns new connections away.
        table: Where connections are counted.
        dispatcher: Decides who serves a request.
        tunnels: Takes the connections of apps; None: they are not taken here.
        proxies: Who is believed about visitors; None: nobody.
    """

    __slots__ = ("context", "dispatcher", "limiter", "proxies", "table", "tunnels")

    def __init__(
        self,
        context: EdgeContext,
        *,
        limiter: ConnectionLimiter,
        table: ConnectionTable,
        dispatcher: Dispatcher,
        tunnels: TunnelAcceptor | None,
        proxies: Proxies | None = None,
    ) -> None:
        self.context = context
        self.limiter = limiter
        self.table = table
        self.dispatcher = dispatcher
        self.tunnels = tunnels
        self.proxies = proxies
