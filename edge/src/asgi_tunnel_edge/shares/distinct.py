"""How many different things a group has sent within a while: wrong tokens, or probes.

Different ones only: who repeats one thing is broken, who tries many is looking for something. Of
what was sent only a hash is kept, by which nobody finds it again: Python's own, which has a key
that is new in each process. Where several processes count together, it is one that is the same in
all of them, of 8 bytes.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import Final, Generic, TypeVar

from .spent import mark_of

__all__ = ["DistinctCounter"]

Key = TypeVar("Key", bound=Hashable)

_LOOK: Final = 16
"""Groups that are looked at for the one to forget. Who wants to be forgotten needs the whole table
full of other groups that have each sent as many different things, within the same while."""


class _Sent:
    """What one group has sent."""

    __slots__ = ("marks", "since")

    def __init__(self, since: float) -> None:
        self.since = since
        self.marks: list[int] = []  # few: a list is smaller than a set, and as fast


class DistinctCounter(Generic[Key]):
    """See the module.

    Args:
        window: Seconds that are counted together, from a group's first one on.
        most: Different things that are told apart for one group.
        size: Groups that are remembered.

    Attributes:
        spent: Notes what is counted here, for other processes, with the group's key as text and the
            mark; None: there are none.
    """

    __slots__ = ("_groups", "_most", "_size", "_window", "spent")

    def __init__(self, *, window: float, most: int, size: int) -> None:
        self._window = window
        self._most = most
        self._size = size
        self._groups: OrderedDict[Key, _Sent] = OrderedDict()
        self.spent: Callable[[Key, int], None] | None = None

    def __len__(self) -> int:
        return len(self._groups)

    def add(self, group: Key, what: bytes | str, now: float) -> int:
        """Count one thing; return how many different ones its group has sent.

        Args:
            group: Who sent it.
            what: Any bytes or text.
            now: Monotonic seconds.

        Returns:
            That count, this one included; ``most + 1`` for one more than are told apart.
        """
        if self.spent is None:
            return self.add_mark(group, hash(what), now)
        mark = mark_of(what)
        self.spent(group, mark)
        return self.add_mark(group, mark, now)

    def add_mark(self, group: Key, mark: int, now: float) -> int:
        """Count one thing by its hash, as :meth:`add`."""
        groups = self._groups
        sent = groups.get(group)
        if sent is None or now - sent.since > self._window:
            if sent is not None:
                del groups[group]
            elif len(groups) >= self._size:
                self._forget_one(now)
            sent = groups[group] = _Sent(now)
        if mark in sent.marks:
            return len(sent.marks)
        if len(sent.marks) >= self._most:
            return self._most + 1
        sent.marks.append(mark)
        return len(sent.marks)

    def forget(self, group: Key) -> None:
        """Begin anew with a group."""
        self._groups.pop(group, None)

    def _forget_one(self, now: float) -> None:
        """Forget a group whose while is over, else one that has sent the least."""
        groups = self._groups
        least: Key | None = None
        fewest = self._most + 1
        for _ in range(min(_LOOK, len(groups))):
            group, sent = groups.popitem(last=False)
            if now - sent.since > self._window:
                return
            groups[group] = sent
            if len(sent.marks) < fewest:
                least, fewest = group, len(sent.marks)
        if least is not None:
            del groups[least]
