"""`make cluster`: do each fault to several edges, count what visitors saw, and keep the table.

One run has one bus; without ``--bus`` there is one run for each. The short form has one bus, light
apps only and four faults, and ends within a minute.
"""

from __future__ import annotations

import argparse
import datetime as dt
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.cluster.crowd import storm
from tests.cluster.faults import FAULTS, Fault, is_possible, run_fault
from tests.cluster.page import PAGE, RESULTS, read_results, render, with_section, write_results
from tests.cluster.world import ROOT, World, world
from tests.e2e.harness import slowdown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.cluster.counting import Counts

BUSES: Final = ("postgresql", "nats")
EDGES: Final = 3
APPS: Final = 60
QUICK_APPS: Final = 12
RATE: Final = 135.0
STREAMS: Final = 10


def main() -> int:
    """Return 0 when every fault cost no more than it may."""
    parser = argparse.ArgumentParser(prog="python -m tests.cluster", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="the short form, for CI")
    parser.add_argument("--bus", choices=BUSES, action="append", help="only this one")
    parser.add_argument("--only", action="append", default=[], help="part of a fault's name")
    parser.add_argument("--edges", type=int, default=EDGES, help="1: no bus")
    parser.add_argument("--workers", type=int, default=1, help="of each edge")
    parser.add_argument("--connections", type=int, default=2, help="of each app")
    parser.add_argument("--apps", type=int, default=None, help="how many")
    parser.add_argument(
        "--tunnels", type=int, default=0, help="in the place of faults: a crowd, and its storm"
    )
    parser.add_argument("--light", action="store_true", help="no app is a process of its own")
    parser.add_argument("--loopback", action="store_true", help="as where there are no namespaces")
    parser.add_argument("--write", action="store_true", help=f"keep the figures, for {PAGE}")
    parser.add_argument("--keep", action="store_true", help="keep the folder with all logs")
    options = parser.parse_args()
    buses = options.bus or list(BUSES[:1] if options.quick else BUSES)
    bad = 0
    for bus in buses if options.edges > 1 else [""]:
        folder = Path(tempfile.mkdtemp(prefix="cluster-"))
        try:
            bad += (run_storm if options.tunnels else run)(folder, bus, options)
        finally:
            if options.keep:
                print(f"logs: {folder}")
            else:
                _remove(folder)
    if options.write:
        page = ROOT / PAGE
        page.write_text(with_section(page.read_text(), render(read_results(ROOT / RESULTS))))
    return 1 if bad else 0


def _remove(folder: Path) -> None:
    import shutil

    shutil.rmtree(folder, ignore_errors=True)


def run_storm(folder: Path, bus: str, options: argparse.Namespace) -> int:
    """Connect a crowd, end an edge; return 0 when all came back."""
    found = storm(
        folder,
        bus=bus,
        tunnels=options.tunnels,
        edges=options.edges,
        workers=options.workers,
    )
    _say(f"{bus or 'no bus'}: {found}")
    found["date"] = f"{dt.datetime.now(dt.UTC):%Y-%m-%d}"
    for file in (ROOT / "build" / "cluster.json", *([ROOT / RESULTS] if options.write else [])):
        write_results(file, f"storm {bus or 'none'}", {"storm": found})
    return int(found["all_back"] is None)


def run(folder: Path, bus: str, options: argparse.Namespace) -> int:
    """Do all faults with one bus; return how many cost too much."""
    apps = options.apps or (QUICK_APPS if options.quick else APPS)
    began = time.monotonic()
    rows, bad = list[dict[str, Any]](), 0
    with world(
        folder,
        edges=options.edges,
        connections=options.connections,
        bus=bus,
        workers=options.workers,
        apps=apps,
        may_have_cables=not options.loopback,
    ) as one:
        if options.quick or options.light:
            one.start_crowd(apps)
        else:
            one.start_crowd(apps // 3)
            one.start_real_apps(apps // 3, apps - apps // 3)
        _say(f"{bus or 'no bus'}: {options.edges} edges, {apps} apps after {_since(began)}")
        for fault in _chosen(options, one):
            times: dict[str, float] = {}
            if options.quick:
                times = {"before": 1.0, "after": 1.5, "lasts": min(fault.lasts, 4.0)}
            counts = run_fault(fault, one, **times)
            wrong = judge(fault, counts)
            bad += bool(wrong)
            rows.append({"fault": fault.name, **counts.as_json(), "wrong": wrong})
            _say(describe(fault, counts, wrong))
    _say(f"{bus or 'no bus'}: {len(rows)} faults, {bad} cost too much, {_since(began)}")
    results = {
        "date": dt.datetime.now(dt.UTC).strftime("%Y-%m-%d"),
        "world": {
            "edges": options.edges,
            "workers": options.workers,
            "apps": apps,
            "connections": options.connections,
            "rate": RATE,
            "streams": STREAMS,
            "cores": os.cpu_count(),
            "load": os.getloadavg()[2],
        },
        "rows": rows,
    }
    write_results(ROOT / "build" / "cluster.json", bus or "none", results)
    if options.write:
        write_results(ROOT / RESULTS, bus or "none", results)
    return bad


def _chosen(options: argparse.Namespace, one: World) -> Sequence[Fault]:
    wanted = [
        fault
        for fault in FAULTS
        if (fault.is_quick or not options.quick)
        and (not options.only or any(part.lower() in fault.name.lower() for part in options.only))
    ]
    for fault in wanted:
        if not is_possible(fault, one):
            _say(f"  left out: {fault.name} needs {fault.needs or 'more'}")
    return [fault for fault in wanted if is_possible(fault, one)]


def judge(fault: Fault, counts: Counts) -> list[str]:
    """Return what is not as promised."""
    wrong = []
    if counts.failed:
        wrong.append(f"{counts.failed} failed")
    if counts.twice or counts.lost:
        wrong.append(f"{counts.twice} POSTs twice, {counts.lost} lost")
    if counts.unknown and not fault.may_lose:
        wrong.append(f"{counts.unknown} POSTs unknown")
    longest = max([0.0, *counts.sse, *counts.ws])
    if fault.back is not None and longest > fault.back * slowdown():
        wrong.append(f"a stream was back only after {longest:.1f} s")
    if counts.apps is None:
        wrong.append("apps did not come back")
    wrong += [note for note in counts.notes if "out of order" in note]
    return wrong


def describe(fault: Fault, counts: Counts, wrong: Sequence[str]) -> str:
    """Return a line for a person."""
    streams = [
        f"{len(some)} to {max(some):.1f} s" if some else "0" for some in (counts.sse, counts.ws)
    ]
    apps = "never" if counts.apps is None else f"{counts.apps:.1f} s"
    parts = [
        f"{'WRONG' if wrong else 'good':5} {fault.name:34}",
        f"{counts.failed} of {counts.requests} failed {counts.outcomes or ''}",
        f"unknown {counts.unknown}, twice {counts.twice}",
        f"slowest {counts.slowest:.2f} s, p99 {counts.p99:.2f} s",
        f"sse {streams[0]}, ws {streams[1]}, apps {apps}",
        *counts.notes,
        *(f"!! {one}" for one in wrong),
    ]
    return "; ".join(parts)


def _since(began: float) -> str:
    return f"{time.monotonic() - began:.0f} s"


def _say(text: str) -> None:
    print(text, flush=True)


if __name__ == "__main__":
    sys.exit(main())
