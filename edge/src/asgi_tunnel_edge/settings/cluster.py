"""What of ``edge.toml`` says how many processes and edges there are, and where they meet."""

from __future__ import annotations

import os
from typing import Annotated, Final, Protocol
from urllib.parse import urlsplit

from msgspec import Meta

from ..errors import EdgeConfigError
from .addresses import parse_listen

__all__ = [
    "BusUrl",
    "NodeName",
    "StoreUrl",
    "WorkerCount",
    "check_bus",
    "check_cluster",
    "check_store",
    "is_verified",
    "worker_count",
]

MAX_WORKERS: Final = 64
"""Each has a connection to each other one; more cores than that are for more machines."""

StoreUrl = Annotated[str, Meta(pattern=r"^postgresql://", description="a URL postgresql://...")]
BusUrl = Annotated[
    str,
    Meta(
        pattern=r"^(postgresql|nats|tls)://",
        description="a URL postgresql://..., nats://... or tls://...",
    ),
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


def worker_count(workers: int) -> int:
    """Return how many serving processes a setting means: 0 is one for each core of this process."""
    if workers:
        return workers
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return min(max(cores or 1, 1), MAX_WORKERS)


class Settings(Protocol):
    """Those of :class:`.config.EdgeConfig` that belong together."""

    @property
    def store(self) -> str | None:
        """See there, as the others."""

    @property
    def bus(self) -> str | None:
        """See there."""

    @property
    def peer_listen(self) -> str | None:
        """See there."""

    @property
    def is_cluster(self) -> bool:
        """Whether there are other edges."""


def check_store(url: str, *, setting: str, file: str | None = None) -> None:
    """Check what the pattern of :data:`StoreUrl` cannot.

    Raises:
        EdgeConfigError: It names no database, or has a password in it.
    """
    try:
        parts = urlsplit(url)
        has_password = bool(parts.password) or "password=" in parts.query
    except ValueError as error:
        fix = "write postgresql://USER@HOST/DATABASE"
        raise EdgeConfigError(setting, f"is no URL ({error})", fix, file=file) from error
    if not parts.path.strip("/"):
        why, fix = "names no database", "write postgresql://USER@HOST/DATABASE"
        raise EdgeConfigError(setting, why, fix, file=file)
    if has_password:
        why = "has a password in it, which `config show` and the dashboard would show"
        fix = "put it into a file, as ~/.pgpass is one, and add ?passfile=/path/of/it"
        raise EdgeConfigError(setting, why, fix, file=file)


def check_bus(url: str, *, setting: str = "bus", file: str | None = None) -> None:
    """Check what the pattern of :data:`BusUrl` cannot.

    Raises:
        EdgeConfigError: It names no server, or has a password in it.
    """
    if url.startswith("postgresql:"):
        check_store(url, setting=setting, file=file)
        return
    try:
        parts = urlsplit(url)
        has_password = bool(parts.password)
    except ValueError as error:
        fix = "write nats://HOST:PORT"
        raise EdgeConfigError(setting, f"is no URL ({error})", fix, file=file) from error
    if not all(host.strip() for host in parts.netloc.rpartition("@")[2].split(",")):
        why, fix = "names no server", "write nats://HOST:PORT, with commas between several"
        raise EdgeConfigError(setting, why, fix, file=file)
    if has_password:
        why = "has a password in it, which `config show` and the dashboard would show"
        fix = "put it into a file of its own, and add ?passfile=/path/of/it"
        raise EdgeConfigError(setting, why, fix, file=file)


def is_verified(url: str) -> bool:
    """Whether the server of a store is on this machine, or proves by TLS that it is the one."""
    parts = urlsplit(url)
    hosts = [one.rpartition(":")[0] or one for one in parts.netloc.rpartition("@")[2].split(",")]
    is_here = all(host in ("", "localhost", "127.0.0.1", "[::1]") for host in hosts)
    return is_here or "sslmode=verify-full" in parts.query.split("&")


def check_cluster(config: Settings, *, file: str) -> None:
    """Check what belongs together.

    Raises:
        EdgeConfigError: Something is set that needs another setting, or has a wrong form.
    """
    for name in ("peer_listen", "peer_address", "edge_address"):
        text = getattr(config, name)
        if text is not None:
            parse_listen(text, setting=name, file=file)
    if config.store is not None:
        check_store(config.store, setting="store", file=file)
    if config.is_cluster:
        if config.store is None:
            why = "is set, and `store` is not: edges have to share their tokens"
            raise EdgeConfigError("bus", why, 'set store = "postgresql://..."', file=file)
        check_bus(config.bus or "", file=file)
        for name, example in (("node", "a"), ("peer_listen", "10.0.0.1:9443")):
            if getattr(config, name) is None:
                why = "is not set, and other edges have to know and reach this one"
                raise EdgeConfigError(name, why, f'set {name} = "{example}"', file=file)
    elif config.peer_listen is not None:
        why, fix = "is set, and there is no bus to find others by", 'set bus = "postgresql://..."'
        raise EdgeConfigError("peer_listen", why, fix, file=file)
