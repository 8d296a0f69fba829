"""A bounded pool in which no group can keep the others out.

Each member belongs to a path of groups, from the narrowest to the widest: the IPv6 address of a
visitor to its /64, its /56 and its /48; a tunnel to its token. A group on each level has a share
of the pool. When the pool is full, the oldest member of the largest group that can go gives way,
and only where nobody can go is the newcomer refused.

It ends nobody itself: who has to go is the return value. Used for connections, TLS handshakes, the
handshakes of tunnels, sessions without a connection, and visitors who wait for an app.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from enum import Enum, auto
from typing import Final, Generic, NamedTuple, TypeVar

__all__ = ["Entry", "FairPool", "Refused"]

Member = TypeVar("Member")

_LOOK: Final = 64
"""Members of one group that are looked at for one that can go: a full pool of members that cannot
go costs every newcomer that much, and no more."""

_GROUPS: Final = 8
"""Groups that are looked at, the largest first."""


class Refused(Enum):
    """Why a newcomer is not taken."""

    SHARE = auto()  #: its group has its share, and nobody in it can go
    FULL = auto()  #: the pool is full, and nobody can go


class Entry(NamedTuple, Generic[Member]):
    """What became of a newcomer."""

    refused: Refused | None  #: None: it is in the pool
    victim: Member | None  #: who has left the pool for it, and has to be ended


class _Group(Generic[Member]):
    """The members of one group, the oldest first."""

    __slots__ = ("key", "members")

    def __init__(self, key: str) -> None:
        self.key = key
        self.members: dict[Member, None] = {}


class FairPool(Generic[Member]):
    """See the module.

    Args:
        size: Members in all.
        shares: Members of one group on each level, from the narrowest to the widest. A path may be
            shorter than this: its last group then counts as the widest.
        can_go: Whether a member may be ended for the sake of another one.
        replaces_own: A group that has its share loses its oldest member to its newest; otherwise
            the newest is refused.
    """

    def __init__(
        self,
        size: int,
        shares: Sequence[int],
        *,
        can_go: Callable[[Member], bool] = lambda _: True,
        replaces_own: bool = False,
    ) -> None:
        self._size = size
        self._shares = tuple(shares)
        self._can_go = can_go
        self._replaces_own = replaces_own
        self._paths: dict[Member, tuple[_Group[Member], ...]] = {}
        self._groups: dict[str, _Group[Member]] = {}
        # The widest groups by their size: those of n members are in `_by_size[n]`.
        self._by_size: list[dict[_Group[Member], None]] = [{}]

    def __len__(self) -> int:
        return len(self._paths)

    def __contains__(self, member: object) -> bool:
        return member in self._paths

    def __iter__(self) -> Iterator[Member]:
        return iter(list(self._paths))

    def count(self, key: str) -> int:
        """How many members a group has."""
        group = self._groups.get(key)
        return 0 if group is None else len(group.members)

    @property
    def first(self) -> Member | None:
        """Who has been in the pool for longest, of all groups; None in an empty one."""
        return next(iter(self._paths), None)

    @property
    def groups(self) -> int:
        """Groups with at least one member, on all levels."""
        return len(self._groups)

    def enter(
        self, member: Member, path: Sequence[str], *, share: int | None = None
    ) -> Entry[Member]:
        """Take a newcomer, if need be in the place of another member.

        Args:
            member: Is in no pool of this kind yet.
            path: Its groups, from the narrowest to the widest; at least one.
            share: Of its narrowest group, where that is not the one for all.
        """
        victim: Member | None = None
        for level, key in enumerate(path):
            group = self._groups.get(key)
            limit = self._shares[level] if level or share is None else share
            if group is not None and len(group.members) >= limit:
                victim = self._oldest(group) if self._replaces_own else None
                if victim is None:
                    return Entry(Refused.SHARE, None)
                break
        if victim is None and len(self._paths) >= self._size:
            victim = self._oldest_of_largest()
            if victim is None:
                return Entry(Refused.FULL, None)
        if victim is not None:
            self.leave(victim)
        self._add(member, path)
        return Entry(None, victim)

    def take(self, key: str | None = None) -> Member | None:
        """Take the oldest member that can go out of the pool: of one group, or of the largest."""
        if key is None:
            member = self._oldest_of_largest()
        else:
            group = self._groups.get(key)
            member = None if group is None else self._oldest(group)
        if member is not None:
            self.leave(member)
        return member

    def leave(self, member: Member) -> bool:
        """A member is gone; False when it was gone already."""
        groups = self._paths.pop(member, None)
        if groups is None:
            return False
        widest = groups[-1]
        self._resize(widest, -1)
        for group in groups:
            del group.members[member]
            if not group.members:
                del self._groups[group.key]
        return True

    def _add(self, member: Member, path: Sequence[str]) -> None:
        groups: list[_Group[Member]] = []
        for key in path:
            group = self._groups.get(key)
            if group is None:
                group = self._groups[key] = _Group(key)
            groups.append(group)
        self._resize(groups[-1], +1)
        for group in groups:
            group.members[member] = None
        self._paths[member] = tuple(groups)

    def _resize(self, widest: _Group[Member], by: int) -> None:
        """Note that a widest group is about to have one member more or less."""
        size = len(widest.members)
        by_size = self._by_size
        if size:
            del by_size[size][widest]
        size += by
        if size == len(by_size):
            by_size.append({})
        if size:
            by_size[size][widest] = None
        while len(by_size) > 1 and not by_size[-1]:
            by_size.pop()

    def _oldest_of_largest(self) -> Member | None:
        looked = 0
        for groups in reversed(self._by_size):
            for group in groups:
                victim = self._oldest(group)
                looked += 1
                if victim is not None or looked == _GROUPS:
                    return victim
        return None

    def _oldest(self, group: _Group[Member]) -> Member | None:
        """The first member that can go; those that cannot are looked at last next time."""
        members = group.members
        for _ in range(min(len(members), _LOOK)):
            member = next(iter(members))
            if self._can_go(member):
                return member
            del members[member]
            members[member] = None
        return None
