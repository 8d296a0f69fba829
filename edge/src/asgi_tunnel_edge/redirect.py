"""Decides about requests to the port for plain HTTP: challenges of a CA, and a redirect.

Nothing else is served there: no app gets a request that was sent in the clear, and no app opens its
tunnel there.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from asgi_tunnel.protocol.head import Arrival

from .context import EdgeContext
from .directory import Directory
from .dispatch import UNKNOWN, Dispatcher
from .endpoints.endpoint import Endpoint
from .exchange.writer import Exchange, ResponseWriter
from .guards import Guards, VisitorAddress
from .replies import Reply
from .request import Request

__all__ = ["Redirector"]

_SAFE: Final = frozenset({b"GET", b"HEAD"})


class Redirector(Dispatcher):
    """See the module.

    Args:
        context: Of the edge.
        directory: Knows no hostname that is served here; for the base class.
        guards: Say who is banned.
        endpoints: What is served in the clear, asked in order.
        https_url: Makes the URL of a hostname: ``https://shop.example.org``, without a path.
        is_served: Whether a hostname is served over TLS.
    """

    def __init__(
        self,
        context: EdgeContext,
        directory: Directory,
        guards: Guards,
        endpoints: Sequence[Endpoint],
        *,
        https_url: Callable[[str], str],
        is_served: Callable[[str], bool],
    ) -> None:
        super().__init__(context, directory, guards, endpoints)
        self._https_url = https_url
        self._is_served = is_served

    def dispatch(
        self, request: Request, arrival: Arrival, visitor: VisitorAddress, writer: ResponseWriter
    ) -> Reply | Exchange:
        """See :class:`.dispatch.Dispatcher`; 301 for GET and HEAD, 308 keeps the other methods."""
        local = self.claim(request, arrival, writer)
        if local is not None:
            return local
        hostname = request.hostname
        if hostname is None or not self._is_served(hostname) or request.target[:1] != b"/":
            return UNKNOWN
        location = self._https_url(hostname).encode() + request.target
        status = 301 if request.method in _SAFE else 308
        return Reply(
            status,
            "this is served over https only",
            fields=[(b"location", location)],
            closes=status == 308,  # its body need not come twice
            reason="https-only",
        )
