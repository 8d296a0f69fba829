"""All operations of the API: a new one stands in the table of its module, and nowhere else."""

from __future__ import annotations

from typing import Final

from .bans import BANS
from .certificates import CERTIFICATES
from .edge import EDGE
from .hosts import HOSTS
from .inbox import INBOX
from .operation import Operation
from .people import PEOPLE
from .sharing import SHARING
from .tokens import TOKENS
from .tunnels import TUNNELS

__all__ = ["OPERATIONS"]

OPERATIONS: Final[tuple[Operation, ...]] = (
    *EDGE,
    *TOKENS,
    *HOSTS,
    *TUNNELS,
    *INBOX,
    *SHARING,
    *PEOPLE,
    *BANS,
    *CERTIFICATES,
)
