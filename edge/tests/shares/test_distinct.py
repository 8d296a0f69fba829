"""Different things are counted, and who has sent many is not forgotten for who sent few."""

from __future__ import annotations

from asgi_tunnel_edge.shares.distinct import DistinctCounter


def test_different_things_count_and_repeats_do_not() -> None:
    """Up to one more than are told apart."""
    counter: DistinctCounter[str] = DistinctCounter(window=60.0, most=3, size=10)
    assert [counter.add("a", what, 0.0) for what in ("x", "y", "x", "z", "w", "y")] == [
        *(1, 2, 2, 3, 4, 3),
    ]
    assert counter.add("b", "x", 0.0) == 1


def test_a_while_begins_with_the_first_one() -> None:
    """What is older than the window is forgotten, all at once."""
    counter: DistinctCounter[str] = DistinctCounter(window=60.0, most=3, size=10)
    counter.add("a", b"x", 0.0)
    assert counter.add("a", b"y", 60.0) == 2
    assert counter.add("a", b"z", 60.1) == 1
    counter.forget("a")
    assert counter.add("a", b"y", 60.2) == 1
    counter.forget("nobody")


def test_a_flood_of_other_groups_does_not_help_who_has_sent_many() -> None:
    """T71: the first one in the table stays, though a thousand times its size comes after it."""
    counter: DistinctCounter[int] = DistinctCounter(window=60.0, most=5, size=100)
    for number in range(4):
        counter.add(-1, str(number), 0.0)
    for group in range(100_000):
        counter.add(group, "x", 0.0 + group / 10_000)
    assert len(counter) == 100
    assert counter.add(-1, "new", 11.0) == 5


def test_who_is_over_goes_first() -> None:
    """A group whose while has ended makes room, however much it sent."""
    counter: DistinctCounter[str] = DistinctCounter(window=60.0, most=5, size=2)
    for what in ("x", "y", "z"):
        counter.add("old", what, 0.0)
    counter.add("young", "x", 59.0)
    counter.add("new", "x", 61.0)
    assert counter.add("young", "y", 61.0) == 2
    assert counter.add("old", "y", 61.0) == 1
