"""The seam to whatever observes exchanges: the access log, and what will count or inspect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from .access_log import Entry

if TYPE_CHECKING:
    from asgi_tunnel.protocol.head import RequestHead

    from ..request import Request

__all__ = ["ExchangeObserver", "ExchangeTracer", "notify"]


class ExchangeObserver(Protocol):
    """Is called for each exchange; may neither block nor raise."""

    def closed(self, entry: Entry) -> None:
        """An exchange is over, or the edge itself has replied to a request."""


class ExchangeTracer(ExchangeObserver, Protocol):
    """Is asked, too, what an app hears of a request's trace; as above."""

    def opened(self, request: Request, head: RequestHead) -> RequestHead:
        """A request goes to an app; return its head as the app gets it."""


def notify(observers: Sequence[ExchangeObserver], entry: Entry) -> None:
    """Tell all observers of an entry."""
    for observer in observers:
        observer.closed(entry)
