"""When a process gives its core away, and when a session sends at once."""

from __future__ import annotations

from asgi_tunnel.pacing import (
    INTERACTIVE_WINDOW,
    QUIET_FRAMES,
    QUIET_TURNS,
    RECENT_BULK,
    YIELD_BUDGET,
    YIELD_SHARE,
    CPUYield,
    Pacing,
    shared_cpu_yield,
)
from asgi_tunnel.protocol.limits import URGENT_FRAMES

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

    def transfer(self, cpu: CPUYield, *, turns: int, turn: float = 0.0001) -> float:
        """Move bulk while somebody clicks on; return the share of the time that others had."""
        begin, given = self.now, self.given
        for _ in range(turns):
            cpu.note_interactive()
            self.now += turn
            cpu.yield_now()
        return (self.given - given) * self.others / (self.now - begin)


def new_cpu(machine: Machine) -> CPUYield:
    """Return one on a made-up machine."""
    return CPUYield(machine.give_away, machine.clock)


def test_core_is_offered_only_after_a_small_exchange() -> None:
    """Bulk alone keeps it; for a moment after a click it does not."""
    machine = Machine(0.0)
    cpu = new_cpu(machine)
    cpu.yield_now()
    assert machine.given == 0
    cpu.note_interactive()
    cpu.yield_now()
    assert machine.given == 1
    machine.now += INTERACTIVE_WINDOW
    cpu.yield_now()
    assert machine.given == 1


def test_exchange_that_is_handed_on_beside_bulk_gives_the_core_at_once() -> None:
    """Its next stop need not wait for the end of a turn; without bulk the loop sleeps anyway."""
    machine = Machine(0.0)
    cpu = new_cpu(machine)
    machine.now += 1.0
    cpu.note_interactive()
    cpu.yield_after_send()
    assert machine.given == 0
    cpu.yield_now()  # a turn of bulk
    cpu.yield_after_send()
    assert machine.given == 2
    machine.now += RECENT_BULK
    cpu.yield_after_send()
    assert machine.given == 2


def test_who_hands_something_on_gets_the_core_in_each_turn() -> None:
    """Processes that sleep again soon cost nothing that they would not have had."""
    machine = Machine(0.0002)
    machine.transfer(new_cpu(machine), turns=1_000)
    assert machine.given == 1_000


def test_who_computes_does_not_get_the_core_in_each_turn() -> None:
    """Beside a process that takes a tick each time, a transfer keeps nearly all of its time."""
    machine = Machine(TICK)
    cpu = new_cpu(machine)
    others = machine.transfer(cpu, turns=100_000)
    assert 0 < others <= YIELD_SHARE + (YIELD_BUDGET + TICK) / 10  # of ten seconds
    machine.others = 0.0
    machine.now += 1.0
    given = machine.given
    machine.transfer(cpu, turns=100)
    assert machine.given == given + 100


def test_system_without_the_call_does_without() -> None:
    """Neither Windows nor a sandbox that forbids it breaks a transfer."""
    machine = Machine(0.0)

    def refuse() -> None:
        machine.given += 1
        raise PermissionError

    for give_away in (None, refuse):
        cpu = CPUYield(give_away, machine.clock)
        machine.transfer(cpu, turns=10)
    assert machine.given == 1


def test_quiet_tunnel_sends_at_once() -> None:
    """A turn with more than two small exchanges makes it busy until eight quiet ones passed."""
    pacing = Pacing(new_cpu(Machine(0.0)))
    assert pacing.is_urgent(1)
    pacing.end_turn(QUIET_FRAMES + 1)
    for _ in range(QUIET_TURNS):
        assert not pacing.is_urgent(1)
        pacing.end_turn(QUIET_FRAMES)
    assert pacing.is_urgent(1)
    pacing.sent_urgently(QUIET_FRAMES)
    pacing.end_turn(1)
    assert not pacing.is_urgent(URGENT_FRAMES - 1)


def test_busy_tunnel_sends_many_at_once() -> None:
    """So the peer works on the first ones while this side still reads the last."""
    pacing = Pacing(new_cpu(Machine(0.0)))
    pacing.end_turn(100)
    assert pacing.is_urgent(URGENT_FRAMES)


def test_only_a_quiet_tunnel_notes_who_clicks() -> None:
    """Among many exchanges, a small response is nobody's click."""
    machine = Machine(0.0)
    cpu = new_cpu(machine)
    pacing = Pacing(cpu)
    pacing.end_turn(100)
    pacing.note_interactive()
    cpu.yield_now()
    assert machine.given == 0
    for _ in range(QUIET_TURNS):
        pacing.end_turn(1)
    pacing.note_interactive()
    cpu.yield_now()
    pacing.sent_urgently(1)
    assert machine.given == 2


def test_process_has_one_budget() -> None:
    """All its sessions and transports have the same cores."""
    assert shared_cpu_yield() is shared_cpu_yield()
