"""The seam to whatever observes exchanges: the access log, and what will count or inspect."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from .access_log import Entry

__all__ = ["ExchangeObserver", "notify"]


class ExchangeObserver(Protocol):
    """Is called for each exchange; may neither block nor raise."""

    def closed(self, entry: Entry) -> None:
        """An exchange is over, or the edge itself has replied to a request."""


def notify(observers: Sequence[ExchangeObserver], entry: Entry) -> None:
    """Tell all observers of an entry."""
    for observer in observers:
        observer.closed(entry)
