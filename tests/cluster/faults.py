"""The faults, one after the other on the same edges; each is mended before the next one.

Each is a function that does the harm and returns what mends it. It gets the :class:`.world.World`.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from tests.cluster.counting import Counts, apps_back, count
from tests.cluster.world import World, now

__all__ = ["FAULTS", "Fault", "run_fault"]

Mend = Callable[[World], None]


@dataclass(frozen=True)
class Fault:
    """One way to do harm.

    Attributes:
        name: For the table.
        harm: Does it; returns what mends it.
        lasts: Seconds until it is mended.
        needs: What the run must have: "cables", "edges" (more than one), "workers", "bus", "nats".
        is_quick: It is part of the short form.
        may_lose: POSTs may be unknown to their visitors: connections to an edge are cut.
        back: Seconds within which event streams and WebSockets have to be back where a core is
            free; None: any.
    """

    name: str
    harm: Callable[[World], Mend]
    lasts: float = 8.0
    needs: str = "edges"
    is_quick: bool = False
    may_lose: bool = True
    back: float | None = 2.0


def _nothing(world: World) -> Mend:
    """Do no harm, to compare with."""
    return lambda world: None


def _kill(world: World) -> Mend:
    world.edges[0].kill()
    return lambda world: world.edges[0].start()


def _kill_worker(world: World) -> Mend:
    world.edges[0].kill_worker()
    return lambda world: None


def _pull_cable(world: World) -> Mend:
    world.edges[-1].machine.pull_cable()
    return lambda world: world.edges[-1].machine.plug_cable()


def _freeze(world: World) -> Mend:
    edge = world.edges[1 % len(world.edges)]
    edge.freeze()
    return lambda world: edge.thaw()


def _drain(world: World) -> Mend:
    world.edges[0].drain()
    return lambda world: world.edges[0].start()


def _restart_each(world: World) -> Mend:
    for edge in world.edges:
        edge.drain()
        edge.start()
        world.wait_for_apps()
    return lambda world: None


def _upgrade_each(world: World) -> Mend:
    for edge in world.edges:
        edge.upgrade()
        world.wait_for_apps()
    return lambda world: None


def _kill_postgresql(world: World) -> Mend:
    assert world.postgresql is not None
    world.postgresql.kill()
    return lambda world: world.postgresql.start() if world.postgresql else None


def _kill_nats(number: int) -> Callable[[World], Mend]:
    def harm(world: World) -> Mend:
        server = world.nats[number]
        server.kill()
        return lambda world: server.start()

    return harm


def _cut_bus(world: World) -> Mend:
    """The bus is away, and while it is, an edge ends: what a snapshot of who has what is for."""
    mend = (_kill_postgresql if world.bus == "postgresql" else _kill_all_nats)(world)
    time.sleep(2.0)  # so long that everybody has seen it
    world.edges[0].kill()

    def both(world: World) -> None:
        mend(world)
        world.edges[0].start()

    return both


def _kill_all_nats(world: World) -> Mend:
    for server in world.nats:
        server.kill()

    def mend(world: World) -> None:
        for server in world.nats:
            server.start()

    return mend


FAULTS: Final = (
    Fault("nothing", _nothing, needs="", may_lose=False, lasts=5.0),
    Fault("SIGKILL of one worker", _kill_worker, needs="workers"),
    Fault("SIGKILL of an edge", _kill, is_quick=True),
    Fault("cable of an edge pulled", _pull_cable, needs="cables", is_quick=True, lasts=20.0),
    Fault("SIGSTOP of an edge", _freeze, lasts=20.0),
    Fault("drain of an edge", _drain, may_lose=False, is_quick=True),
    Fault("each edge restarted in turn", _restart_each, may_lose=False, lasts=2.0),
    # So long that the processes that were replaced have ended: after `drain_timeout`.
    Fault("each edge upgraded in turn", _upgrade_each, needs="", may_lose=False, lasts=60.0),
    Fault("PostgreSQL killed for 60 s", _kill_postgresql, needs="bus", may_lose=False, lasts=60.0),
    *(
        Fault(
            f"NATS server {number + 1} of 3 killed",
            _kill_nats(number),
            needs="nats",
            may_lose=False,
        )
        for number in range(3)
    ),
    Fault("bus away, then SIGKILL of an edge", _cut_bus, needs="bus", lasts=10.0),
)


def is_possible(fault: Fault, world: World) -> bool:
    """Whether the run has what the fault needs."""
    return {
        "": True,
        "edges": len(world.edges) > 1,
        "workers": world.workers > 1,
        "cables": len(world.edges) > 1 and world.net.has_cables,
        "bus": bool(world.bus),
        "nats": world.bus == "nats",
    }[fault.needs]


def run_fault(
    fault: Fault,
    world: World,
    *,
    before: float = 3.0,
    after: float = 6.0,
    lasts: float | None = None,
) -> Counts:
    """Let visitors come, do the harm, mend it; return what was counted.

    Args:
        fault: Which.
        world: That is whole; it is so again at the end.
        before: Seconds of traffic before the harm.
        after: Seconds of traffic once it is mended.
        lasts: Seconds until it is mended; None: the fault's own.
    """
    with world.visitors() as visits:
        time.sleep(before)  # traffic, the measurement itself
        began = now()
        mend = fault.harm(world)
        wait = (fault.lasts if lasts is None else lasts) - (now() - began)
        time.sleep(max(wait, 0.0))
        mended = now()
        mend(world)
        time.sleep(after)
    world.wait_for_apps()
    counts = count(visits.lines, world.counted, visits.name)
    each = [apps_back(crowd.lines, began, crowd.apps * world.connections) for crowd in world.crowds]
    times = [one for one in each if one is not None]
    if len(times) == len(each):
        counts.apps = max(times, default=0.0)
        if counts.apps > mended - began:
            after_mend = counts.apps - mended + began
            counts.notes.append(f"apps were whole {after_mend:.1f} s after the mend")
    return counts
