"""Runs the benchmark: ``python -m benchmarks [--quick] [--only NAME]... [--system NAME]...``."""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import page
from benchmarks.drivers.launch import DriverError
from benchmarks.model import FULL, QUICK, Running, Scale, Scene, System, Workload
from benchmarks.process import BrokenSystemError, MachineTime
from benchmarks.report import STOLEN, Kind, Measured, Report, Result, Row, number, render
from benchmarks.scenes import SCENES
from benchmarks.systems import SYSTEMS, caddy, nginx, ours
from benchmarks.workloads import WORKLOADS

_FAULTS = (BrokenSystemError, DriverError, OSError, subprocess.SubprocessError)
"""What a broken system raises: it is reported, and the others are still measured."""


_REVERSE_PROXIES = (nginx.SYSTEM, nginx.TLS, caddy.TLS)

MAX_STOLEN = 0.02
"""Share of a round's CPU time that other machines may take. With 3 % the slowest hundredth of small
requests beside an upload took 5 ms instead of 2, with 30 % half a second."""

PAUSE = 5.0
"""Seconds before a round is measured again: what takes the CPU time mostly does so for longer than
a round."""


class UsageError(Exception):
    """The command line asks for something that is not there; says what there is."""


def main(arguments: list[str]) -> int:
    """Measure, write the reports and return the exit code.

    Returns:
        0; 1 when one of our systems is broken, a peer is only reported; 2 when the command line is
        wrong.
    """
    options = _parse(arguments)
    try:
        workloads, scenes = select(options.only, is_quick=options.quick)
        systems = _select_systems(options.system)
        scale = _scale(options)
    except UsageError as error:
        print(f"benchmarks: {error}", file=sys.stderr)
        return 2
    report = _new_report(systems, arguments)
    for name, one in report.systems.items():
        if one.missing:
            print(f"{name}: {one.missing}", flush=True)
    present = [system for system in systems if not report.systems[system.name].missing]
    for workload in workloads:
        report.results.append(_run_workload(workload, present, scale))
        _write(report, options.out)
    for scene in scenes:
        report.results.append(_run_scene(scene, scale))
        _write(report, options.out)
    _plot(report, options.out)
    if options.write:
        try:
            page.write(report)
        except ValueError as error:
            print(f"benchmarks: {error}", file=sys.stderr)
            return 2
    print(f"\nwritten: {options.out}/bench.json, bench.md, bench.svg")
    is_broken = False
    for result in report.results:
        for name, why in result.failures.items():
            print(f"benchmarks: failed: {result.name}: {name}: {why}", file=sys.stderr)
            is_broken = is_broken or name.startswith("asgi-tunnel")
    return 1 if is_broken else 0


def _parse(arguments: list[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only to see that it works")
    parser.add_argument("--only", action="append", default=[], metavar="NAME")
    parser.add_argument("--system", action="append", default=[], metavar="NAME")
    parser.add_argument("--rounds", type=int, help="instead of the scale's own")
    parser.add_argument("--seconds", type=float, help="of one load, instead of the scale's own")
    what = (
        f"put the tables of HTTPS and services into {page.PAGE.relative_to(page.PAGE.parents[1])}"
    )
    parser.add_argument("--write", action="store_true", help=what)
    parser.add_argument("--out", type=Path, default=Path("build"), metavar="DIR")
    return parser.parse_args(arguments)


def _scale(options: argparse.Namespace) -> Scale:
    """Return what was asked for.

    Raises:
        UsageError: Nothing would be measured.
    """
    scale = QUICK if options.quick else FULL
    rounds = scale.rounds if options.rounds is None else options.rounds
    seconds = scale.seconds if options.seconds is None else options.seconds
    if rounds < 1 or seconds <= 0:
        raise UsageError("--rounds and --seconds have to be more than 0.")
    return replace(scale, seconds=seconds, rounds=rounds)


def select(names: list[str], *, is_quick: bool = False) -> tuple[list[Workload], list[Scene]]:
    """Return the workloads and scenes of these names; all, without a name.

    Args:
        names: Given by the user.
        is_quick: Without a name, leave those out that a quick run is not for.

    Raises:
        UsageError: There is none of that name.
    """
    known = [*(one.name for one in WORKLOADS), *(one.name for one in SCENES)]
    _check(names, known, "workload or scene")
    is_left_out = {one.name for one in WORKLOADS if is_quick and not one.is_quick}
    wanted = names or [name for name in known if name not in is_left_out]
    return (
        [one for one in WORKLOADS if one.name in wanted],
        [one for one in SCENES if one.name in wanted],
    )


def _select_systems(names: list[str]) -> list[System]:
    _check(names, [one.name for one in SYSTEMS], "system")
    return [one for one in SYSTEMS if not names or one.name in names]


def _check(names: list[str], known: list[str], what: str) -> None:
    for name in names:
        if name not in known:
            raise UsageError(f"there is no {what} {name!r}; there is {', '.join(known)}.")


def _new_report(systems: list[System], arguments: list[str]) -> Report:
    return Report(
        made=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        command=" ".join(["python -m benchmarks", *arguments]),
        machine=_machine(),
        systems={system.name: _measured(system) for system in systems},
    )


def _measured(system: System) -> Measured:
    missing = system.missing()
    if system.is_direct:
        kind = Kind.DIRECT
    elif system in ours.SYSTEMS:
        kind = Kind.OURS
    else:
        # No tunnels: they need the app on their own machine.
        kind = Kind.REFERENCE if system in _REVERSE_PROXIES else Kind.PEER
    return Measured(kind, "" if missing else system.version(), missing, system.is_tls)


def _machine() -> dict[str, str]:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(":")[2].strip() for line in lines if "model name" in line), "")
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    load = Path("/proc/loadavg").read_text().split()[0]
    return {
        "processor": model or platform.machine(),
        "cores": str(os.cpu_count()),
        "memory": f"{memory / 2**30:.0f} GiB",
        "kernel": f"{platform.system()} {platform.release()}",
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "load before the run": load,
    }


def _run_workload(workload: Workload, systems: list[System], scale: Scale) -> Result:
    """Start all systems and drive them in turn, round for round: a slow minute hits all alike."""
    print(f"\n{workload.title} ({workload.name})", flush=True)
    result = Result(workload.name, workload.title, workload.figures)
    missing = workload.missing()
    if missing:
        print(f"  not measured: {missing}", flush=True)
        return result
    names = workload.systems
    wanted = [one for one in systems if (one.name in names if names else not one.is_tls)]
    with tempfile.TemporaryDirectory() as name, ExitStack() as stack:
        started = _start(wanted, Path(name), stack, result)
        for _ in range(scale.rounds):
            for running in started:
                if running.name not in result.failures:
                    _drive(workload, running, scale, result)
    return result


def _start(systems: list[System], folder: Path, stack: ExitStack, result: Result) -> list[Running]:
    started = []
    for place, system in enumerate(systems):
        own = folder / str(place)
        own.mkdir()
        try:
            started.append(stack.enter_context(system.start(own)))
        except _FAULTS as error:
            result.failures[system.name] = f"it did not start: {error}"
    return started


def _drive(workload: Workload, running: Running, scale: Scale, result: Result) -> None:
    try:
        row = measure(lambda: workload.run(running, scale), scale.repeats)
    except _FAULTS as error:
        result.failures[running.name] = f"{error}"
        return
    result.rounds.setdefault(running.name, []).append(row)
    _show(result, running.name, row)


def measure(run: Callable[[], Row], repeats: int) -> Row:
    """Measure until other machines left this one its CPU time, and return that round.

    Args:
        run: Measures one round.
        repeats: How often at most it is measured again.

    Returns:
        Its figures, with what was stolen as ``STOLEN``; where no round was the machine's own, those
        of the round of which least was stolen.
    """
    found = None
    for attempt in range(repeats + 1):
        if attempt:
            time.sleep(PAUSE)
        before = MachineTime.now()
        row = run()
        row[STOLEN] = MachineTime.now().stolen_since(before)
        if found is None or row[STOLEN] < found[STOLEN]:
            found = row
        if row[STOLEN] <= MAX_STOLEN:
            break
        print(f"  (others took {row[STOLEN]:.0%} of the CPU time)", flush=True)
    assert found is not None
    return found


def _show(result: Result, system: str, row: dict[str, float]) -> None:
    shown = [
        f"{number(row[key])} {figure.unit}".strip()
        for key, figure in result.figures.items()
        if key in row
    ]
    print(f"  {system:24} {'  '.join(shown)}", flush=True)


def _run_scene(scene: Scene, scale: Scale) -> Result:
    print(f"\n{scene.title} ({scene.name})", flush=True)
    result = Result(scene.name, scene.title, scene.figures)
    missing = scene.missing()
    if missing:
        print(f"  not measured: {missing}", flush=True)
        return result
    with tempfile.TemporaryDirectory() as name:
        try:
            measured = scene.run(Path(name), scale)
        except _FAULTS as error:
            result.failures["asgi-tunnel"] = f"{error}"
            return result
    for system, row in measured.items():
        result.rounds[system] = [row]
        _show(result, system, row)
    return result


def _write(report: Report, out: Path) -> None:
    """Write what there is so far: a run that is cut short leaves its figures."""
    out.mkdir(parents=True, exist_ok=True)
    (out / "bench.json").write_text(json.dumps(report.as_json(), indent=1) + "\n")
    (out / "bench.md").write_text(render(report))


def _plot(report: Report, out: Path) -> None:
    try:
        from benchmarks.plot import plot
    except ImportError:
        print("no plot: pip install -c constraints.txt -r benchmarks/requirements.txt")
        return
    plot(report, out / "bench.svg")


if __name__ == "__main__":
    try:
        code = main(sys.argv[1:])
    except KeyboardInterrupt:
        code = 130
    sys.exit(code)
