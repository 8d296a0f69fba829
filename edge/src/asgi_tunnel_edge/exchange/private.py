"""An exchange with a page whose address holds a secret: an invitation, a link, a login's code.

Nobody who hears of it, neither a log nor a metric, gets more of the address than the page's name.
"""

from __future__ import annotations

from typing import Final

from .http import HTTPExchange

__all__ = ["PrivateHTTPExchange"]

_PAGES: Final = 5
"""Parts before what may be secret: ``/.well-known/asgi-tunnel/access/NAME/...``."""


class PrivateHTTPExchange(HTTPExchange):
    """See the module."""

    __slots__ = ()

    def _end(self, status: int) -> None:
        parts = self._head.target.partition(b"?")[0].split(b"/")
        self._head = self._head._replace(target=b"/".join(parts[:_PAGES]))
        super()._end(status)
