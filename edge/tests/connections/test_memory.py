from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from asgi_tunnel_edge.connections.memory import (
    CEILING,
    PATIENCE,
    RELIEF,
    MemoryBudget,
    choose_culprits,
    choose_stalled,
)

if TYPE_CHECKING:
    import pytest

LIMIT = 1000


@dataclass
class Held:
    """A visitor or a session of so many bytes."""

    name: str
    buffered: int
    stall_deadline: float = math.inf


def test_new_work_is_refused_above_the_limit_until_there_is_relief() -> None:
    """Between the limit and the share that counts as relief, what was decided last holds."""
    budget = MemoryBudget(LIMIT)
    relief = int(LIMIT * RELIEF)
    sums = [0, relief + 1, LIMIT, LIMIT + 1, LIMIT, relief + 1, relief, relief + 1, LIMIT + 1]
    assert [budget.look(used, 0.0) for used in sums] == [
        False, False, False, True, True, True, False, False, True,
    ]  # fmt: skip


def test_each_change_is_one_line_of_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Four looks a second are not four lines a second."""
    budget = MemoryBudget(LIMIT)
    with caplog.at_level("INFO", "asgi_tunnel_edge.connections"):
        for used in (LIMIT + 1, LIMIT + 2, LIMIT, 0, 0):
            budget.look(used, 0.0)
    assert [one.levelname for one in caplog.records] == ["WARNING", "INFO"]


def test_nothing_running_is_ended_below_the_ceiling() -> None:
    """Up to the ceiling only new work suffers; above it, what is over the limit has to go."""
    budget = MemoryBudget(LIMIT)
    ceiling = int(LIMIT * CEILING)
    budget.look(ceiling, 0.0)
    assert budget.excess == 0
    budget.look(ceiling + 1, 0.0)
    assert budget.excess == ceiling + 1 - int(LIMIT * RELIEF)


def test_nobody_is_refused_for_long_for_the_sake_of_slow_readers() -> None:
    """After a while of refusing, as much as gives relief has to go; sessions stay."""
    budget = MemoryBudget(LIMIT)
    budget.look(LIMIT + 1, 10.0)
    budget.look(LIMIT, 10.0 + PATIENCE - 0.1)
    assert budget.excess == 0
    budget.look(LIMIT, 10.0 + PATIENCE)
    assert budget.excess == LIMIT - int(LIMIT * RELIEF)
    budget.look(0, 10.0 + PATIENCE + 1)
    budget.look(LIMIT + 1, 10.0 + PATIENCE + 2)
    assert budget.excess == 0


def test_who_has_read_nothing_for_longest_is_ended_first() -> None:
    """Visitors who read are spared, and so are those who stall when enough others went."""
    reader, late, early = Held("reader", 900), Held("late", 300, 7.0), Held("early", 100, 5.0)
    assert choose_stalled([reader, late, early], 100) == [early]
    assert choose_stalled([reader, late, early], 101) == [early, late]
    assert choose_stalled([reader, late, early], 9000) == [early, late]
    assert choose_stalled([reader, late, early], 0) == []


def test_the_largest_holder_is_found_among_many_small_members() -> None:
    """Seventeen sessions of one token go before one larger session of another."""
    crowd = [Held(f"crowd{number}", 100 + number) for number in range(17)]
    single = Held("single", 900)
    holders = {"crowd": crowd, "single": [single], "idle": [Held("idle", 0)]}
    assert choose_culprits(holders, 0) == []
    assert choose_culprits(holders, 116) == [("crowd", crowd[16])]
    chosen = [member for _, member in choose_culprits(holders, 1200)]
    assert chosen[:9] == crowd[:7:-1]
    assert single in chosen
    assert sum(member.buffered for member in chosen) >= 1200


def test_nobody_is_ended_who_holds_nothing() -> None:
    """However much is asked for."""
    holders = {"a": [Held("one", 5), Held("two", 0)], "b": [Held("three", 0)]}
    assert [name for name, _ in choose_culprits(holders, 9000)] == ["a"]
