"""What one token may take of what all tokens share.

``[limits]`` of ``edge.toml`` says it for every token; the store may say something else for one
(``asgi-tunnel-edge token limit``). Where a limit is enforced, the effective values are looked up
by :class:`TokenLimiter`, each time anew: the store changes while the edge runs.

A new quota is one more field of both classes, and a column of the store: the title of a field says
what it bounds, in the help of the commands too.

Where an edge has several serving processes, each has its part of every pool (:func:`share_of`):
none of them can know at once what the others have.
"""

from __future__ import annotations

import logging
import re
from typing import Annotated, Final, NamedTuple

from msgspec import Meta, Struct
from msgspec.structs import replace

from asgi_tunnel.protocol.limits import OVERHEAD_RATE

from .descriptors import RESERVE
from .errors import EdgeConfigError, shown
from .settings.config import Limits

__all__ = [
    "MAX_PENDING_PER_TOKEN",
    "MEMORY_SHARE",
    "QUOTA_NAMES",
    "TokenLimiter",
    "TokenLimits",
    "TokenQuotas",
    "fitting_limits",
    "format_quota",
    "option_of",
    "parse_quota",
    "share_of",
]

_log = logging.getLogger("asgi_tunnel_edge.server")

MAX_PENDING_PER_TOKEN: Final = 64
"""Connections of one token between the WebSocket handshake and HELLO: its oldest is ended for its
newest. Eight processes of 8 connections."""

MEMORY_SHARE: Final = 0.25
"""Share of ``max_buffered_bytes`` that the sessions of one token may keep. An app that takes what
it is sent keeps what is on the line: 64 MiB is a second of 500 Mbit/s."""

TUNNELS_OF_WORKER: Final = 4
"""Tunnel connections that a token may have at each of several serving processes, if it may have as
many at all: those of one app, and those that take their places, may all come to one process."""

_POOLS: Final = (
    "max_connections",
    "max_connections_per_address",
    "max_buffered_bytes",
    "max_tunnels",
    "max_visitors_per_token",
)
"""Of ``[limits]``: what each of several serving processes has a part of."""

_MIN_MEMORY: Final = 1024 * 1024
"""Bytes: below it one upload on a fast line would end its session."""

_MAX: Final = 2**31
_MAX_MEMORY: Final = 2**50

_UNITS: Final = {"": 1, "KiB": 1024, "MiB": 1024**2, "GiB": 1024**3}
_SIZE: Final = re.compile(r"([0-9]{1,16})(KiB|MiB|GiB|)")
_COUNT: Final = re.compile(r"[0-9]{1,10}")


def _count(title: str) -> Meta:
    return Meta(title=title, ge=1, le=_MAX)


def _size(title: str) -> Meta:
    return Meta(title=title, ge=_MIN_MEMORY, le=_MAX_MEMORY)


class TokenQuotas(Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What differs for one token, as the store has it. None: as for every other token."""

    max_tunnels: Annotated[int, _count("tunnel connections; more: 503")] | None = None
    max_pending: (
        Annotated[int, _count("connections before their HELLO; the oldest is ended")] | None
    ) = None
    max_memory: (
        Annotated[int, _size("bytes kept for its sessions; the largest is ended")] | None
    ) = None
    max_visitors: Annotated[int, _count("visitors' requests in flight; more: 503")] | None = None
    max_frames: (
        Annotated[int, _count("frames a second without content or effect; its session ends")] | None
    ) = None


QUOTA_NAMES: Final = TokenQuotas.__struct_fields__

_NONE: Final = TokenQuotas()


class TokenLimits(NamedTuple):
    """What a token may take now."""

    max_tunnels: int  #: connections
    max_pending: int  #: connections
    max_memory: int  #: bytes
    max_visitors: int  #: requests and WebSockets
    max_frames: int  #: a second, without content or effect


class TokenLimiter:
    """Knows what each token may take.

    Args:
        limits: From ``edge.toml``; of one of several serving processes, its part of them.
        workers: Serving processes that share what the store says of a token.

    Attributes:
        default: For a token without quotas of its own.
    """

    __slots__ = ("_workers", "default")

    def __init__(self, limits: Limits, workers: int = 1) -> None:
        self._workers = workers
        self.default = TokenLimits(
            max_tunnels=limits.max_tunnels_per_token,
            max_pending=MAX_PENDING_PER_TOKEN,
            max_memory=int(limits.max_buffered_bytes * MEMORY_SHARE),
            max_visitors=limits.max_visitors_per_token,
            max_frames=OVERHEAD_RATE,
        )

    def of(self, quotas: TokenQuotas) -> TokenLimits:
        """Return the effective values for a token with these quotas."""
        if quotas == _NONE:
            return self.default
        own = {name: value for name in QUOTA_NAMES if (value := getattr(quotas, name)) is not None}
        if self._workers > 1:
            own = {name: self._part(name, value) for name, value in own.items()}
        return self.default._replace(**own)

    def _part(self, name: str, value: int) -> int:
        if name == "max_frames":  # of each session's frames, which all come to one process
            return value
        part = _divided(value, self._workers)
        return max(part, min(value, TUNNELS_OF_WORKER)) if name == "max_tunnels" else part


def share_of(limits: Limits, workers: int) -> Limits:
    """Return the part of one of several serving processes: an equal one, rounded up.

    Args:
        limits: From ``edge.toml``.
        workers: How many there are.
    """
    if workers == 1:
        return limits
    parts = {name: _divided(getattr(limits, name), workers) for name in _POOLS}
    tunnels = limits.max_tunnels_per_token
    part = max(_divided(tunnels, workers), min(tunnels, TUNNELS_OF_WORKER))
    return replace(limits, max_tunnels_per_token=part, **parts)


def _divided(value: int, workers: int) -> int:
    return -(-value // workers)


def parse_quota(name: str, text: str) -> int | None:
    """Read a quota as it is typed: ``40``, for memory also ``64MiB``; ``default`` is None.

    Args:
        name: One of ``QUOTA_NAMES``.
        text: What was typed.

    Raises:
        EdgeConfigError: It is something else.
    """
    if text == "default":
        return None
    option = option_of(name)
    if name == "max_memory":
        match = _SIZE.fullmatch(text)
        size = int(match[1]) * _UNITS[match[2]] if match else 0
        if _MIN_MEMORY <= size <= _MAX_MEMORY:
            return size
        why = f"expected a size of 1 MiB or more, got {shown(text)}"
        raise EdgeConfigError(option, why, "write for example 64MiB, or default")
    count = int(text) if _COUNT.fullmatch(text) else 0
    if 1 <= count <= _MAX:
        return count
    why = f"expected a whole number, 1 or more, got {shown(text)}"
    raise EdgeConfigError(option, why, "write for example 40, or default")


def option_of(name: str) -> str:
    """Return the option of a quota: ``--max-tunnels``."""
    return f"--{name.replace('_', '-')}"


def format_quota(name: str, value: int) -> str:
    """Write a quota as it may be typed: ``64MiB`` in place of 67108864."""
    if name == "max_memory":
        for unit in ("GiB", "MiB", "KiB"):
            if value % _UNITS[unit] == 0:
                return f"{value // _UNITS[unit]}{unit}"
    return str(value)


def fitting_limits(limits: Limits, available: int | None) -> Limits:
    """Return limits that the system can keep, and say which ones are lower than configured.

    Above them visitors get 503; without a descriptor they would get nothing.

    Args:
        limits: From ``edge.toml``.
        available: How many connections this process can have; None for any number.
    """
    needed = limits.max_connections + limits.max_tunnels
    if available is None or needed <= available:
        return limits
    tunnels = max(min(limits.max_tunnels, available // 2), 1)
    connections = max(min(limits.max_connections, available - tunnels), 1)
    _log.warning(
        "the limit of open files leaves room for %d connections, and edge.toml allows %d: "
        "max_connections is %d and max_tunnels %d for now; raise the limit (LimitNOFILE=%d in the "
        "systemd unit, or ulimit -n) or lower these two",
        available,
        needed,
        connections,
        tunnels,
        1 << (needed + 2 * RESERVE).bit_length(),
    )
    return replace(limits, max_connections=connections, max_tunnels=tunnels)
