"""What several serving processes bring, and what they cost.

    python -m benchmarks.workers [--rounds 3] [--seconds 4] [--workers 1 2]

Small GETs over HTTPS on 64 kept connections (wrk, one thread), to one app by the edge of one
process, and of several; with k = 2 connections of the app, which the edge spreads, and with k = 1,
so that what comes to the other processes has to cross. In turn; printed are the medians:

- requests a second, of this machine: wrk, the app and the edge share its cores, so this one shows a
  gain only where there are more cores than they need,
- the CPU that the edge's processes take for a request, parent and all, and the app's,
- the share of requests that crossed from one process to another, as `status` counts them,
- p50 and p99 as wrk has them,
- what the edge takes of a core while nothing comes.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from benchmarks.model import HOSTNAME
from benchmarks.process import ROOT, BrokenSystemError, cpu_seconds
from benchmarks.scenes import edge as own

if TYPE_CHECKING:
    from collections.abc import Iterator

    from benchmarks.process import Process

CONNECTIONS = 64
IDLE = 3.0
"""Seconds in which nothing comes."""


class Case(NamedTuple):
    """One arrangement."""

    workers: int
    connections: int  #: of the app

    def __str__(self) -> str:
        return f"{self.workers} processes, k = {self.connections}"


class Found(NamedTuple):
    """What one round has shown."""

    rate: float
    p50: float  # microseconds, as p99
    p99: float
    edge: float  # microseconds of CPU a request, as app
    app: float
    crossed: float  # share of the requests
    idle: float  # share of a core
    errors: float


@contextmanager
def serving(case: Case) -> Iterator[tuple[Path, Process, Process]]:
    """The folder of an edge with one app, both as their processes."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        data = own.init(folder, tls="internal", settings=f"workers = {case.workers}")
        env = {"ASGI_TUNNEL_CONNECTIONS": str(case.connections)}
        with own.edge(data) as edge:
            edge.wait_until(lambda: len(status(data)) == case.workers, "all processes")
            token = own.create_token(data)
            with own.app(folder, token, env=env) as app:
                edge.wait_until(
                    lambda: sum(one["tunnels"] for one in status(data)) == case.connections,
                    "the app's connections",
                )
                yield data, edge, app


def status(data: Path) -> list[dict[str, int]]:
    """What each serving process says of itself; empty before they do."""
    if not (data / "edge.control").exists():
        return []
    found: list[dict[str, int]] = json.loads(own.command(data, "status", "--json"))["workers"]
    return found


def load(data: Path, seconds: int) -> dict[str, float]:
    """Drive for so long; return what wrk says."""
    url = f"https://127.0.0.1:{own.port(data)}/"
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{seconds}s", "--timeout", "10s"]
    command += ["-H", f"Host: {HOSTNAME}", "-s", str(ROOT / "benchmarks/drivers/load.lua"), url]
    done = subprocess.run(
        [*command, "--", "GET", "0"],
        capture_output=True,
        text=True,
        check=False,
        timeout=seconds + 60,
    )
    lines = done.stdout.strip().splitlines()
    if done.returncode or not lines:
        raise BrokenSystemError(f"wrk ended with {done.returncode}: {done.stderr or done.stdout}")
    result: dict[str, float] = json.loads(lines[-1])
    return result


def measure(case: Case, seconds: int) -> Found:
    """One round."""
    with serving(case) as (data, edge, app):
        load(data, 1)
        time.sleep(1.0)
        before = cpu_seconds(edge.pid)
        time.sleep(IDLE)
        idle = (cpu_seconds(edge.pid) - before) / IDLE
        crossed = sum(one.get("forwarded", 0) for one in status(data))
        edge_before, app_before = cpu_seconds(edge.pid), cpu_seconds(app.pid)
        found = load(data, seconds)
        requests = found["requests"]
        edge_cpu = (cpu_seconds(edge.pid) - edge_before) / requests * 1e6
        app_cpu = (cpu_seconds(app.pid) - app_before) / requests * 1e6
        crossed = sum(one.get("forwarded", 0) for one in status(data)) - crossed
        return Found(
            requests / found["microseconds"] * 1e6,
            found["p50_us"],
            found["p99_us"],
            edge_cpu,
            app_cpu,
            crossed / requests,
            idle,
            found["errors"],
        )


def main() -> None:
    """Measure all arrangements in turn, and print their medians."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rounds", type=int, default=3, help="of each")
    parser.add_argument("--seconds", type=int, default=4, help="of load in one")
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2], help="processes")
    options = parser.parse_args()
    cases = [Case(workers, k) for workers in options.workers for k in (2, 1)]
    found: dict[Case, list[Found]] = {case: [] for case in cases}
    for _ in range(options.rounds):
        for case in cases:
            one = measure(case, options.seconds)
            sys.stderr.write(f"{case}: {one}\n")
            found[case].append(one)
    lines = [f"{'':22}    req/s  p50 us  p99 us  edge us  app us  crossed   idle  errors"]
    for case, rounds in found.items():
        one = Found(*map(statistics.median, zip(*rounds, strict=True)))
        lines.append(
            f"{case!s:22} {one.rate:8.0f} {one.p50:7.0f} {one.p99:7.0f} {one.edge:8.1f} "
            f"{one.app:7.1f} {one.crossed:8.1%} {one.idle:6.2%} {one.errors:7.0f}"
        )

    sys.stdout.write("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
