"""When a process gives its core away."""

from __future__ import annotations

from asgi_tunnel.preemption import KEEN, RECENT, SAVED, SHARE, PreemptionPoint

TICK = 0.004
"""Seconds for which a process that computes has the core."""


class Machine:
    """A core and its clock: ``sched_yield`` that takes as long as others want the core."""

    def __init__(self, others: float) -> None:
        self.others = others
        self.now = 100.0
        self.given = 0

    def clock(self) -> float:
        """Return the time."""
        return self.now

    def give_away(self) -> None:
        """Let the others have it."""
        self.given += 1
        self.now += self.others

    def transfer(self, point: PreemptionPoint, *, turns: int, turn: float = 0.0001) -> float:
        """Move bulk while somebody clicks on; return the share of the time that others had."""
        begin, given = self.now, self.given
        for _ in range(turns):
            point.expect()
            self.now += turn
            point.offer()
        return (self.given - given) * self.others / (self.now - begin)


def new_point(machine: Machine) -> PreemptionPoint:
    """Return one on a made-up machine."""
    return PreemptionPoint(machine.give_away, machine.clock)


def test_core_is_offered_only_after_a_small_exchange() -> None:
    """Bulk alone keeps it; for a moment after a click it does not."""
    machine = Machine(0.0)
    point = new_point(machine)
    point.offer()
    assert machine.given == 0
    point.expect()
    point.offer()
    assert machine.given == 1
    machine.now += KEEN
    point.offer()
    assert machine.given == 1


def test_exchange_that_is_handed_on_beside_bulk_gives_the_core_at_once() -> None:
    """Its next stop need not wait for the end of a turn; without bulk the loop sleeps anyway."""
    machine = Machine(0.0)
    point = new_point(machine)
    machine.now += 1.0
    point.expect()
    point.hand_on()
    assert machine.given == 0
    point.offer()  # a turn of bulk
    point.hand_on()
    assert machine.given == 2
    machine.now += RECENT
    point.hand_on()
    assert machine.given == 2


def test_who_hands_something_on_gets_the_core_in_each_turn() -> None:
    """Processes that sleep again soon cost nothing that they would not have had."""
    machine = Machine(0.0002)
    machine.transfer(new_point(machine), turns=1_000)
    assert machine.given == 1_000


def test_who_computes_does_not_get_the_core_in_each_turn() -> None:
    """Beside a process that takes a tick each time, a transfer keeps nearly all of its time."""
    machine = Machine(TICK)
    point = new_point(machine)
    others = machine.transfer(point, turns=100_000)
    assert 0 < others <= SHARE + (SAVED + TICK) / 10  # of ten seconds
    machine.others = 0.0
    machine.now += 1.0
    given = machine.given
    machine.transfer(point, turns=100)
    assert machine.given == given + 100


def test_system_without_the_call_does_without() -> None:
    """Neither Windows nor a sandbox that forbids it breaks a transfer."""
    machine = Machine(0.0)

    def refuse() -> None:
        machine.given += 1
        raise PermissionError

    for give_away in (None, refuse):
        point = PreemptionPoint(give_away, machine.clock)
        machine.transfer(point, turns=10)
    assert machine.given == 1
