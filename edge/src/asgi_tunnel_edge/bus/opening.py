"""Which bus a serving process has, by its settings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ..settings.cluster import worker_count

if TYPE_CHECKING:
    from ..settings.config import EdgeConfig
    from .bus import Bus, Node
    from .parent import Link

__all__ = ["open_bus"]


def open_bus(config: EdgeConfig, node: Node, link: Link | None) -> Bus | None:
    """Return the bus, which joins when it is started; None: this process has no others.

    Args:
        config: Of the edge.
        node: This process.
        link: To the parent; None: there is none.
    """
    if link is None or (link.workers or worker_count(config.workers)) == 1:
        return None
    from .parent import ParentBus

    return ParentBus(link, node)
