"""What the edge keeps: tokens, their hostnames, bans and who changed what, in one SQLite file.

``Store`` changes it, for the command line. ``SnapshotWatcher`` reads it, for a running edge, which
never waits for it. SQL and SQLAlchemy stand in this package only.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from .snapshot import load_snapshot_file, save_snapshot_file
from .watcher import SnapshotWatcher

if TYPE_CHECKING:
    from .store import Store

__all__ = ["SnapshotWatcher", "Store", "load_snapshot_file", "save_snapshot_file"]


if not TYPE_CHECKING:

    def __getattr__(name: str) -> object:
        """Load ``Store`` when somebody wants to change something: SQLAlchemy takes 0.4 s."""
        if name == "Store":
            from .store import Store

            return Store
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
