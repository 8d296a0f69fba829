"""Where a store is says how it is spoken to."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .dialect import Dialect, Location

__all__ = ["dialect_of"]


def dialect_of(location: Location) -> Dialect:
    """Return how to speak to a store."""
    if isinstance(location, Path):
        from .sqlite import SQLite

        return SQLite(location)
    from .postgresql import PostgreSQL  # its driver is loaded with the first connection

    return PostgreSQL(location)
