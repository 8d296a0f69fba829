"""Serves the dashboard on an address of this machine, and nothing else there.

Only the name ``localhost`` is served: a site whose name was made to lead to this machine (DNS
rebinding) is not. An address as 127.0.0.1 leads there: logins belong to a name, and passkeys need
one. A program that shows a service token, which no browser does by itself, may use the address.
"""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING, Final

from ..access.cookies import ID_FIELD
from ..directory import LocalDirectory
from ..dispatch import UNKNOWN, Dispatcher
from ..replies import Reply
from ..settings.dashboard import LOCAL_NAME
from ..tokens import Snapshot

if TYPE_CHECKING:
    from asgi_tunnel.protocol.head import Arrival

    from ..context import EdgeContext
    from ..exchange.writer import Exchange, ResponseWriter
    from ..guards import Guards, VisitorAddress
    from ..login import Entrance
    from ..request import Request
    from ..route import Route

__all__ = ["LocalDispatcher"]

_CREDENTIALS: Final = frozenset({b"authorization", ID_FIELD})


class LocalDispatcher(Dispatcher):
    """See the module.

    Args:
        context: Of the edge.
        guards: Turn visitors away.
        entrance: Decides who passes the door.
        route: To the dashboard.
    """

    def __init__(
        self, context: EdgeContext, guards: Guards, entrance: Entrance, route: Route
    ) -> None:
        directory = LocalDirectory(Snapshot.of(0, []))
        directory.serve(LOCAL_NAME, route)
        super().__init__(context, directory, guards, entrance=entrance)

    def dispatch(
        self, request: Request, arrival: Arrival, visitor: VisitorAddress, writer: ResponseWriter
    ) -> Reply | Exchange:
        """See :class:`..dispatch.Dispatcher`."""
        if request.hostname is None and _is_loopback(request.host):
            if not any(name in _CREDENTIALS for name, _ in request.fields):
                return _to_the_name(request)
            request = request._replace(hostname=LOCAL_NAME)
        if request.host and request.hostname != LOCAL_NAME:
            return UNKNOWN
        return super().dispatch(request, arrival, visitor, writer)


def _is_loopback(host: bytes) -> bool:
    """Whether a Host field is an address of this machine, perhaps with a port."""
    text = host.decode("latin-1")
    address = text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
    try:
        return ipaddress.ip_address(address).is_loopback
    except ValueError:
        return False


def _to_the_name(request: Request) -> Reply:
    port = request.host.rpartition(b"]")[2].rpartition(b":")[2]
    where = b"http://" + LOCAL_NAME.encode() + (b":" + port if port.isdigit() else b"")
    return Reply(
        307,
        "the dashboard of this machine is at localhost",
        fields=[(b"location", where + (request.target if request.target[:1] == b"/" else b"/"))],
        closes=False,
    )
