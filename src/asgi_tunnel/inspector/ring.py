"""The newest exchanges, as many as fit into a number of bytes: the oldest one gives way."""

from __future__ import annotations

from collections import deque
from itertools import islice

from .journal import Journal

__all__ = ["Kept", "Ring"]


class Kept:
    """What a ring holds.

    Attributes:
        seq: One above that of the one before.
        held: Bytes of memory that are counted for it.
        is_dropped: It has given way, and holds nothing any more.
    """

    __slots__ = ("held", "is_dropped", "seq")

    def __init__(self, seq: int) -> None:
        self.seq = seq
        self.held = 0
        self.is_dropped = False

    def drop(self) -> None:
        """Hold nothing from now on."""
        self.is_dropped = True


class Ring:
    """See the module.

    Args:
        max_bytes: That are held at the most.

    Attributes:
        held: Bytes that are held now.
        next_seq: Of what is added next.
        lost: How many have given way.
        journal: Of what has changed.
    """

    __slots__ = ("_kept", "held", "journal", "lost", "max_bytes", "next_seq")

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.held = 0
        self.next_seq = 1
        self.lost = 0
        self.journal = Journal()
        self._kept: deque[Kept] = deque()

    def __len__(self) -> int:
        return len(self._kept)

    def add(self, one: Kept) -> None:
        """Add the one with the number ``next_seq``."""
        self.next_seq = one.seq + 1
        self._kept.append(one)
        self.held += one.held
        if self.held > self.max_bytes:
            self._make_room()
        self.journal.note(one.seq)

    def recount(self, one: Kept, held: int) -> None:
        """Count another number of bytes for one; it may give way itself."""
        if one.is_dropped:
            return
        self.held += held - one.held
        one.held = held
        if self.held > self.max_bytes:
            self._make_room()

    def find(self, seq: int) -> Kept | None:
        """Return one by its number; None: it was never there, or has given way."""
        kept = self._kept
        if not kept:
            return None
        at = seq - kept[0].seq  # they follow one another without a gap
        return kept[at] if 0 <= at < len(kept) else None

    def newest(self, before: int) -> list[Kept]:
        """Return all whose number is below ``before``, the newest one first."""
        kept = self._kept
        skipped = max(self.next_seq - before, 0)
        return list(islice(reversed(kept), skipped, None))

    def clear(self) -> None:
        """Hold nothing; numbers go on."""
        for one in self._kept:
            one.drop()
        self._kept.clear()
        self.held = 0

    def _make_room(self) -> None:
        kept = self._kept
        while kept and self.held > self.max_bytes:
            oldest = kept.popleft()
            self.held -= oldest.held
            oldest.drop()
            self.lost += 1
