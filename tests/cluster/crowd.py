"""A large crowd of light apps over all edges, and the storm after one edge ends."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.cluster.counting import count
from tests.cluster.edges import descendants
from tests.cluster.world import World, now, world

if TYPE_CHECKING:
    from tests.e2e.harness import Process

__all__ = ["storm"]

LIMITS: Final = """\
max_tunnels = 20000
max_connections = 20000
max_connections_per_address = 20000
"""
"""All apps come from one address here, as no crowd does."""

LONGEST: Final = 180.0
"""Seconds that a storm may take."""


def storm(folder: Path, *, bus: str, tunnels: int, edges: int, workers: int) -> dict[str, Any]:
    """Connect ``tunnels`` connections, end one edge, and see how they come back.

    Args:
        folder: An empty one.
        bus: As of :func:`.world.world`.
        tunnels: Connections of all apps, which have two each.
        edges: How many; the first one is killed.
        workers: Of each.
    """
    apps = tunnels // 2
    began = time.monotonic()
    with world(folder, edges=edges, bus=bus, workers=workers, apps=apps, limits=LIMITS) as one:
        ready = time.monotonic()
        before = [_memory(edge.running) for edge in one.edges]
        one.start_crowd(apps, processes=2)
        connected = time.monotonic()
        memory = [_memory(edge.running) for edge in one.edges]
        with one.visitors(rate=40.0, streams=5, count=12) as visits:
            time.sleep(5.0)  # traffic
            killed = now()
            one.edges[0].kill()
            _wait(one, killed, apps)
            time.sleep(3.0)  # traffic after the storm
        counts = count(visits.lines, one.counted, visits.name)
        any_back, p50, all_back = _back(one, killed)
        return {
            "tunnels": tunnels,
            "edges": edges,
            "workers": workers,
            "prepared": round(ready - began, 1),
            "connected": round(connected - ready, 1),
            "per_tunnel": round((sum(memory) - sum(before)) / tunnels),
            "served_again": any_back,
            "half_back": p50,
            "all_back": all_back,
            **counts.as_json(),
            "apps": apps,
        }


def _wait(one: World, killed: float, apps: int) -> None:
    deadline = time.monotonic() + LONGEST
    while time.monotonic() < deadline:
        if now() - killed > 3.0 and sum(crowd.now()[1] for crowd in one.crowds) >= 2 * apps:
            return
        time.sleep(0.25)


def _back(one: World, killed: float) -> tuple[float | None, float | None, float | None]:
    """Seconds until each app had a connection, half of what was lost was back, and all was."""
    totals: dict[float, list[int]] = {}
    for crowd in one.crowds:
        for line in crowd.lines.read_text().splitlines():
            at, apps, connections, _ = line.split()
            if float(at) >= killed:
                both = totals.setdefault(round((float(at) - killed) * 4) / 4, [0, 0, 0])
                both[0] += int(apps)
                both[1] += int(connections)
                both[2] += 1
    whole = sorted((at, a, c) for at, (a, c, seen) in totals.items() if seen == len(one.crowds))
    wanted = sum(crowd.apps for crowd in one.crowds)
    if not whole:
        return None, None, None
    least = min(c for _, _, c in whole)
    half = least + (2 * wanted - least) / 2
    low = next(index for index, (_, _, c) in enumerate(whole) if c == least)
    after = whole[low:]
    served = max((at for at, a, _ in whole if a < wanted), default=0.0)
    return (
        served if whole[-1][1] >= wanted else None,
        next((at for at, _, c in after if c >= half), None),
        next((at for at, _, c in after if c >= 2 * wanted), None),
    )


def _memory(process: Process) -> int:
    """Resident bytes of all processes of an edge; shared pages are counted for each."""
    total = 0
    for pid in descendants(process.popen.pid):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("VmRSS:"):
                total += int(line.split()[1]) * 1024
    return total
