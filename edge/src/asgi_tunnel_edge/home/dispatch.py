"""Gives every request to the one app there is."""

from __future__ import annotations

from asgi_tunnel.protocol.head import Arrival

from ..context import EdgeContext
from ..directory import LocalDirectory
from ..dispatch import Dispatcher
from ..exchange.http import HTTPExchange
from ..exchange.websocket import WebSocketExchange
from ..exchange.writer import Exchange, ResponseWriter
from ..guards import Guards, VisitorAddress
from ..replies import Reply
from ..request import Request
from ..route import Route
from ..tokens import Snapshot

__all__ = ["HomeDispatcher"]


class HomeDispatcher(Dispatcher):
    """See the module.

    Args:
        context: Of this process.
        guards: For the base class; they turn nobody away here.
        route: To the app.
    """

    def __init__(self, context: EdgeContext, guards: Guards, route: Route) -> None:
        super().__init__(context, LocalDirectory(Snapshot.of(0, [])), guards)
        self._route = route

    def dispatch(
        self, request: Request, arrival: Arrival, visitor: VisitorAddress, writer: ResponseWriter
    ) -> Reply | Exchange:
        """See :class:`..dispatch.Dispatcher`."""
        reply = self.refuse(request)
        if reply is not None:
            return reply
        context = self.context
        head = self.head(request, arrival, request.hostname or "")
        if request.websocket_key is not None:
            return WebSocketExchange(writer, request, head, self._route, context)
        return HTTPExchange(writer, request, head, self._route, context.observers)
