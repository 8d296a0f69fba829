"""What questions may look at: the parts of a running edge, as ``server`` has put them together."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from ..connections.table import ConnectionTable
    from ..context import EdgeContext
    from ..directory import LocalDirectory
    from ..metrics.exposition import Exposition
    from ..metrics.families import Values
    from ..observers.access_log import AccessLog
    from ..observers.live_counts import LiveCounts
    from ..peers.inspected import RemoteProcess
    from ..settings.config import EdgeConfig, ListenAddress
    from ..storage import SnapshotWatcher

__all__ = ["LiveEdge"]


async def nowhere(_hostnames: Sequence[str]) -> list[RemoteProcess]:
    """Return that an app has no process at another node."""
    return []


@dataclass(frozen=True, slots=True, kw_only=True)
class LiveEdge:
    """See the module."""

    config: EdgeConfig
    context: EdgeContext
    directory: LocalDirectory
    table: ConnectionTable
    counts: LiveCounts
    access_log: AccessLog
    addresses: tuple[ListenAddress, ...]  #: where it listens
    watcher: SnapshotWatcher | None = None  #: follows the store
    nodes: Callable[[], dict[str, Any]] = dict  #: says what passes between it and other nodes
    processes: Callable[[Sequence[str]], Awaitable[list[RemoteProcess]]] = nowhere
    """Finds the processes of an app at other nodes, by the hostnames of its token."""
    exposition: Exposition | None = None  #: of all processes; None: metrics are off
    numbers: Callable[[], Awaitable[Values]] | None = None  #: of this process; None: the same
