"""Which bus a serving process has, by its settings."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Final

from ..errors import EdgeConfigError
from ..settings.cluster import worker_count

if TYPE_CHECKING:
    from ..settings.config import EdgeConfig
    from .bus import Bus, Node
    from .parent import Link

__all__ = ["open_bus"]

_DRIVERS: Final = {"postgresql": "psycopg", "nats": "nats"}  # by the name of the extra


def open_bus(config: EdgeConfig, node: Node, link: Link | None) -> Bus | None:
    """Return the bus, which joins when it is started; None: this process has no others.

    Args:
        config: Of the edge.
        node: This process.
        link: To the parent; None: there is none.

    Raises:
        EdgeConfigError: The driver of the service is not installed.
    """
    service = None if config.bus is None else _open_service(config.bus, node)
    if link is None or (link.workers or worker_count(config.workers)) == 1:
        return service
    from .parent import ParentBus

    workers = ParentBus(link, node)
    if service is None:
        return workers
    from .edge import EdgeBus

    return EdgeBus(workers, service)


def _open_service(url: str, node: Node) -> Bus:
    extra = "postgresql" if url.startswith("postgresql:") else "nats"
    try:
        importlib.import_module(_DRIVERS[extra])
    except ImportError:
        why = f"needs the package {_DRIVERS[extra]}, which is not installed"
        fix = f"run `pip install 'asgi-tunnel-edge[{extra}]'`"
        raise EdgeConfigError("bus", why, fix) from None
    if extra == "postgresql":
        from .postgresql import PostgresqlBus

        return PostgresqlBus(url, node)
    from .nats import NatsBus

    return NatsBus(url, node)
