"""Measures small storms on this machine, and compares them with what the simulation says.

``python -m benchmarks.storm``: real edges with TLS are killed, and real connectors come back. All
of it shares this machine's cores, so the simulation gets what opening a tunnel has just cost here
on both sides, times what other programs have left of a core, and the apps' one process is a server
of its own in it.
"""

from __future__ import annotations

import argparse
import random
import shutil
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from asgi_tunnel_edge.listeners.acceptor import HANDSHAKE_SHARES
from benchmarks.drivers.launch import driver
from benchmarks.process import Process, cpu_seconds, free_port, running
from benchmarks.scenes import edge as own
from benchmarks.scenes.idle import create_tokens
from benchmarks.simulation import Costs, Storm, loss, quantile, restart

LOOPBACK: Final = 0.0005
"""Seconds of a round trip here."""

SLOWDOWN_WORK: Final = 0.3
"""Seconds of work by which it is measured what other programs leave of a core."""

AGREES: Final = 2.5
"""The simulation is right to this factor, or to half a second: what other programs of the machine
do in the meantime is not in it."""


@dataclass(frozen=True)
class Measured:
    """One storm.

    Attributes:
        name: For the table.
        back: Seconds in which each connection was back, in order.
        costs: What a connection cost here.
        simulated: The same by the simulation.
    """

    name: str
    back: list[float]
    costs: Costs
    simulated: list[float]

    def agrees(self) -> bool:
        """Whether both have the same median and the same end, as far as can be said here."""
        pairs = [
            (quantile(self.back, share), quantile(self.simulated, share)) for share in (0.5, 0.9)
        ]
        return all(
            abs(one - other) <= 0.5 or 1 / AGREES <= one / max(other, 1e-9) <= AGREES
            for one, other in pairs
        )

    def row(self) -> str:
        """A row of the table."""
        cells = [
            f"{quantile(self.back, share):.2f} / {quantile(self.simulated, share):.2f}"
            for share in (0.5, 0.9, 1.0)
        ]
        cpu = f"{self.costs.open_cpu * 1e3:.2f} | {self.costs.dial_cpu * 1e3:.2f}"
        return f"| {self.name} | {len(self.back)} | {cpu} | {' | '.join(cells)} |"


HEAD = """\
| storm | connections | edge, ms | app, ms | p50, s | p90, s | all, s |
| --- | ---: | ---: | ---: | ---: | ---: | ---: |"""


def measure_restart(folder: Path, apps: int) -> Measured:
    """One edge with a tunnel of each app is killed, and started again at once."""
    port = free_port()
    data = own.init(folder, tls="internal", listen=f"127.0.0.1:{port}")
    tokens = folder / "tokens"
    tokens.write_text("\n".join(create_tokens(data, port, apps)))
    with ExitStack() as stack:
        first = _start(stack, data)
        before = cpu_seconds(first.pid)
        crowd = stack.enter_context(driver("storm", "--tokens", tokens))
        open_cpu = (cpu_seconds(first.pid) - before) / apps
        crowd.begin()
        killed = time.time()
        first.popen.kill()
        first.popen.wait()
        _start(stack, data)
        away = time.time() - killed
        result = crowd.wait()
    costs = _costs(open_cpu, result["dial_cpu"])
    storm = restart(apps, away=away, costs=costs)
    return _measured(f"1 edge, away for {away:.1f} s", result["back"], killed, costs, storm)


def measure_loss(folder: Path, apps: int) -> Measured:
    """One of two edges is killed; the apps have a connection to each."""
    ports = [free_port(), free_port()]
    addresses = [f"127.0.0.1:{port}" for port in ports]
    data = own.init(folder, tls="internal", listen=addresses[0])
    tokens = folder / "tokens"
    tokens.write_text("\n".join(create_tokens(data, ports[0], apps)))
    settings = (data / "edge.toml").read_text()
    second = folder / "second"
    shutil.copytree(data, second)
    for folder_of, address in zip((data, second), addresses, strict=True):
        text = settings.replace(addresses[0], address)
        (folder_of / "edge.toml").write_text(f'edge_address = "{address}"\n{text}')
    with ExitStack() as stack:
        edges = [_start(stack, data, addresses[1]), _start(stack, second, addresses[0])]
        before = sum(cpu_seconds(one.pid) for one in edges)
        crowd = stack.enter_context(driver("storm", "--tokens", tokens, "--connections", 2))
        open_cpu = (sum(cpu_seconds(one.pid) for one in edges) - before) / apps / 2
        crowd.begin()
        killed = time.time()
        edges[1].popen.kill()
        result = crowd.wait()
    costs = _costs(open_cpu, result["dial_cpu"])
    storm = loss(2, apps, costs=costs)
    return _measured("2 edges, one is killed", result["back"], killed, costs, storm)


def _start(stack: ExitStack, data: Path, *others: str) -> Process:
    """Start an edge in one process, which knows others."""
    command = [sys.executable, "-m", "tests.e2e.known_edge", str(data), *others]
    process = stack.enter_context(running("edge", command, data))
    process.wait_for("listening on ")
    return process


def _measured(
    name: str, back: Sequence[float], began: float, costs: Costs, storm: Storm
) -> Measured:
    return Measured(name, sorted(one - began for one in back), costs, storm.back())


def _costs(open_cpu: float, dial_cpu: float) -> Costs:
    """What the simulation gets: one address has a share of the handshakes."""
    slow = slowdown()
    return Costs(open_cpu * slow, dial_cpu * slow, HANDSHAKE_SHARES[0], LOOPBACK)


def slowdown() -> float:
    """Return how much longer than its own work this thread takes now; 1.0 where a core is free."""
    began, own_time = time.monotonic(), time.thread_time()
    while time.thread_time() - own_time < SLOWDOWN_WORK:
        pass
    return max((time.monotonic() - began) / SLOWDOWN_WORK, 1.0)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the table; 1 when a storm is another one than the simulation says."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--apps", type=int, nargs="+", default=[100, 400, 1000])
    options = parser.parse_args(arguments)
    random.seed(1)
    sys.stdout.write(f"{HEAD}\n")
    is_right = True
    for apps in options.apps:
        for measure in (measure_restart, measure_loss):
            with tempfile.TemporaryDirectory() as folder:
                found = measure(Path(folder), apps)
            is_right = is_right and found.agrees()
            sys.stdout.write(f"{found.row()}\n")
            sys.stdout.flush()
    return 0 if is_right else 1


if __name__ == "__main__":
    sys.exit(main())
