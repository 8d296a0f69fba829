"""What one serving process has taken from allowances that all of them share, until it is told.

Each limiter notes what it takes; :mod:`..spending` tells the other processes, which take it from
their own tables. A process that is alone notes nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from hashlib import blake2b
from typing import Final, Protocol

__all__ = ["MAX_NOTED", "Spending", "SpentTable", "mark_of"]

MAX_NOTED: Final = 4096
"""Keys noted between two words: what is above is not told, of those who each took a little."""

_MARK: Final = 8  # bytes: two of a hundred things are one by chance once in 10**15 times


class SpentTable:
    """What one limiter has taken since it was told last.

    Args:
        on_first: Called when there is something to tell again.

    Attributes:
        amounts: Seconds of debt, by key; or 0 for a thing that was sent.
    """

    __slots__ = ("_on_first", "amounts")

    def __init__(self, on_first: Callable[[], None]) -> None:
        self._on_first = on_first
        self.amounts: dict[str, float] = {}

    def note(self, key: str, seconds: float) -> None:
        """Something was taken."""
        amounts = self.amounts
        if not amounts:
            self._on_first()
        if key in amounts or len(amounts) < MAX_NOTED:
            amounts[key] = amounts.get(key, 0.0) + seconds

    def take(self) -> dict[str, float]:
        """Return what is to be told, and begin anew."""
        amounts, self.amounts = self.amounts, {}
        return amounts


class Spending(Protocol):
    """What limiters ask to be shared by; :class:`..spending.Spending`."""

    def share(self, name: str, charge: Callable[[str, float], None]) -> SpentTable:
        """Return where a limiter notes what it takes; ``charge`` gets what others take."""

    def share_marks(
        self, name: str, add: Callable[[list[str], int], None]
    ) -> Callable[[Iterable[str], int], None]:
        """Return where a counter notes different things; ``add`` gets those of others."""


def mark_of(what: bytes | str) -> int:
    """Return a number for a thing that is the same in all processes."""
    data = what if isinstance(what, bytes) else what.encode("utf-8", "surrogatepass")
    digest = blake2b(data, digest_size=_MARK, person=b"asgi-tunnel").digest()
    return int.from_bytes(digest, "big")
