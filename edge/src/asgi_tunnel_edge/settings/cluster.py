"""What of ``edge.toml`` says how many processes and edges there are, and where they meet."""

from __future__ import annotations

from typing import Annotated, Final, Protocol
from urllib.parse import urlsplit

from msgspec import Meta

from ..errors import EdgeConfigError
from .addresses import parse_listen

__all__ = ["BusUrl", "NodeName", "StoreUrl", "WorkerCount", "check_cluster"]

MAX_WORKERS: Final = 64
"""Each has a connection to each other one; more cores than that are for more machines."""

StoreUrl = Annotated[str, Meta(pattern=r"^postgresql://", description="a URL postgresql://...")]
BusUrl = Annotated[
    str, Meta(pattern=r"^(postgresql|nats)://", description="a URL postgresql://... or nats://...")
]
NodeName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9]([a-z0-9-]{0,30}[a-z0-9])?$",
        description="a name of 1 to 32 letters a to z, digits and hyphens",
    ),
]
WorkerCount = Annotated[
    int, Meta(ge=0, le=MAX_WORKERS, description="a whole number from 0 (one for each core) to 64")
]


class Settings(Protocol):
    """Those of :class:`.config.EdgeConfig` that belong together."""

    @property
    def store(self) -> str | None:
        """See there, as the others."""

    @property
    def is_cluster(self) -> bool:
        """Whether there are other edges."""


def check_cluster(config: Settings, *, file: str) -> None:
    """Check what belongs together.

    Raises:
        EdgeConfigError: Something is set that needs another setting, or has a wrong form.
    """
    for name in ("peer_listen", "peer_address", "edge_address"):
        text = getattr(config, name)
        if text is not None:
            parse_listen(text, setting=name, file=file)
    if config.store is not None and not urlsplit(config.store).path.strip("/"):
        why, fix = "names no database", "write postgresql://user@host/database"
        raise EdgeConfigError("store", why, fix, file=file)
    if config.is_cluster:
        if config.store is None:
            why = "is set, and `store` is not: edges have to share their tokens"
            raise EdgeConfigError("bus", why, 'set store = "postgresql://..."', file=file)
        for name in ("node", "peer_listen"):
            if getattr(config, name) is None:
                why = "is not set, and other edges have to reach this one"
                fix = "run `asgi-tunnel-edge cluster init` or `cluster join`"
                raise EdgeConfigError(name, why, fix, file=file)
    elif config.peer_listen is not None:
        why, fix = "is set, and there is no bus to find others by", 'set bus = "postgresql://..."'
        raise EdgeConfigError("peer_listen", why, fix, file=file)
