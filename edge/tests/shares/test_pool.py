"""No group keeps the others out of a bounded pool."""

from __future__ import annotations

import random

import pytest

from asgi_tunnel_edge.shares.pool import FairPool, Refused


def filled(pool: FairPool[str], **members: int) -> list[str]:
    """Enter members of each group by turns; return their names in the order of entering."""
    names = [
        f"{group}{number}"
        for number in range(max(members.values()))
        for group, count in members.items()
        if number < count
    ]
    for name in names:
        assert pool.enter(name, (name[0],)).refused is None
    return names


def test_the_oldest_of_the_largest_group_gives_way() -> None:
    """A newcomer always gets in; who has the most pays for it, oldest first."""
    pool: FairPool[str] = FairPool(6, (10,))
    filled(pool, a=4, b=2)
    assert pool.enter("c0", ("c",)).victim == "a0"
    assert pool.enter("c1", ("c",)).victim == "a1"
    assert pool.enter("a9", ("a",)).victim in ("a2", "b0", "c0")
    assert len(pool) == 6


def test_a_single_member_is_safe_beside_a_larger_group() -> None:
    """However often an attacker replaces its own, it replaces nobody else's."""
    pool: FairPool[str] = FairPool(8, (10,))
    filled(pool, g=1, a=7)
    for number in range(1000):
        victim = pool.enter(f"n{number}", ("a",)).victim
        assert victim is not None
        assert victim != "g0"
    assert "g0" in pool


def test_a_group_may_have_a_share_of_its_own() -> None:
    """Given with the newcomer; a lower one is met one newcomer at a time."""
    pool: FairPool[str] = FairPool(10, (4,), replaces_own=True)
    filled(pool, a=4, b=4)
    assert pool.enter("a4", ("a",), share=5).victim is None
    assert pool.enter("a5", ("a",), share=2).victim == "a0"
    assert pool.count("a") == 5
    assert pool.enter("b4", ("b",)).victim == "b0"


def test_a_group_has_its_share() -> None:
    """Above it the newcomer is refused, or takes the place of the oldest of its own."""
    strict: FairPool[str] = FairPool(10, (2,))
    filled(strict, a=2)
    assert strict.enter("a2", ("a",)).refused is Refused.SHARE
    replacing: FairPool[str] = FairPool(10, (2,), replaces_own=True)
    filled(replacing, a=2)
    assert replacing.enter("a2", ("a",)).victim == "a0"
    assert replacing.count("a") == 2


def test_each_level_has_a_share_of_its_own() -> None:
    """Many small networks of one large one are counted together too."""
    pool: FairPool[int] = FairPool(100, (2, 4, 8))
    for number in range(8):
        path = (f"64/{number // 2}", f"56/{number // 4}", "48/0")
        assert pool.enter(number, path).refused is None
    assert pool.enter(8, ("64/9", "56/9", "48/0")).refused is Refused.SHARE
    assert pool.enter(9, ("64/0", "56/0", "48/0")).refused is Refused.SHARE
    assert pool.enter(10, ("64/x", "56/x", "48/x")).refused is None


def test_who_cannot_go_stays() -> None:
    """The next group is looked at; where nobody can go the newcomer is refused."""
    busy = {"a0", "a1", "a2"}
    pool: FairPool[str] = FairPool(4, (10,), can_go=lambda member: member not in busy)
    filled(pool, a=3, b=1)
    assert pool.enter("c0", ("c",)).victim == "b0"
    busy.add("c0")
    assert pool.enter("d0", ("d",)).refused is Refused.FULL
    assert "d0" not in pool


def test_leaving_makes_room_once() -> None:
    """A member may be taken out twice, and leaves nothing behind."""
    pool: FairPool[str] = FairPool(2, (2,))
    filled(pool, a=2)
    assert pool.leave("a0")
    assert not pool.leave("a0")
    pool.leave("a1")
    assert (len(pool), pool.groups) == (0, 0)


@pytest.mark.parametrize("seed", range(5))
def test_any_order_of_events_keeps_the_counts_right(seed: int) -> None:
    """Against a plain list: sizes, shares, and victims of a largest group."""
    rng = random.Random(seed)
    pool: FairPool[int] = FairPool(20, (9,))
    members: dict[int, str] = {}
    for number in range(3000):
        if members and rng.random() < 0.3:
            gone = rng.choice(list(members))
            del members[gone]
            assert pool.leave(gone)
        sizes = {key: list(members.values()).count(key) for key in "abcd"}
        key = rng.choice("aaaabcd")
        entry = pool.enter(number, (key,))
        if sizes[key] >= 9:
            assert entry.refused is Refused.SHARE
            continue
        if len(members) == 20:
            assert entry.victim is not None
            assert sizes[members.pop(entry.victim)] == max(sizes.values())
        else:
            assert entry.victim is None
        members[number] = key
        assert len(pool) == len(members)
