"""What the edge keeps: tokens, their hostnames, bans and who changed what, in one SQLite file.

``Store`` changes it, for the command line. ``load_snapshot`` and ``SnapshotWatcher`` read it, for
a running edge, which never waits for it. SQL and SQLAlchemy stand in this package only.
"""

from __future__ import annotations

from .snapshot import load_snapshot, load_snapshot_file, save_snapshot_file
from .store import Store
from .watcher import SnapshotWatcher

__all__ = [
    "SnapshotWatcher",
    "Store",
    "load_snapshot",
    "load_snapshot_file",
    "save_snapshot_file",
]
