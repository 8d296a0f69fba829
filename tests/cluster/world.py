"""The whole: a network, servers, edges, apps and visitors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.cluster import tokens
from tests.cluster.authority import make_authority
from tests.cluster.edges import DOMAIN, HOST, ClusterEdge
from tests.cluster.network import Machine, Network, free_port, network
from tests.cluster.services import NatsServer, nats_cluster, postgresql_server
from tests.cluster.visitors import Spec
from tests.e2e.harness import BIN, Process, Token, spawn, wait_until

from asgi_tunnel_edge.settings.config import EdgeConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from edge.tests.postgres import PostgresServer

ROOT: Final = Path(__file__).parents[2]
PORT: Final = 8443
"""On machines that are namespaces, where nobody else has one."""

APP: Final = "tests.cluster.app:app"


@dataclass
class Crowd:
    """A process with many light apps.

    Attributes:
        process: Itself.
        lines: What it writes down each quarter of a second.
        apps: How many it has.
    """

    process: Process
    lines: Path
    apps: int

    def now(self) -> tuple[int, int]:
        """Return how many apps have a connection now, and how many connections there are."""
        assert self.process.is_alive(), self.process.output[-3000:]
        lines = self.lines.read_text().splitlines() if self.lines.exists() else []
        if not lines:
            return 0, 0
        _, apps, connections, _ = lines[-1].split()
        return int(apps), int(connections)


@dataclass
class World:
    """What faults happen to.

    Attributes:
        folder: For everything's files.
        net: The network.
        edges: Those that run, and those that a fault has ended.
        home: The machine of the apps.
        connections: Of each app.
        counted: To which apps write each POST that they have executed.
        crowds: Processes with many light apps each.
    """

    folder: Path
    net: Network
    edges: list[ClusterEdge]
    home: Machine
    connections: int
    stack: ExitStack
    counted: Path
    tokens: list[Token] = field(default_factory=list)
    crowds: list[Crowd] = field(default_factory=list)
    real: list[Process] = field(default_factory=list)
    bus: str = ""
    workers: int = 1
    postgresql: PostgresServer | None = None
    nats: list[NatsServer] = field(default_factory=list)
    _runs: int = 0

    @property
    def port(self) -> int:
        """Of all edges."""
        return self.edges[0].port

    def _make_tokens(self, count: int) -> None:
        """Make a token for each app; before the edges start, which then read them all at once."""
        config = EdgeConfig.load(self.edges[0].folder)
        names = [f"app{number}" for number in range(count)]
        self.tokens += tokens.make(config, names)

    def _environment(self) -> dict[str, str]:
        return {
            "ASGI_TUNNEL_CA_FILE": str(self.folder / "ca.pem"),
            "ASGI_TUNNEL_PINS": str(self.folder / "pins"),
            "CLUSTER_COUNTED": str(self.counted),
            "PYTHONPATH": str(ROOT),
        }

    def start_crowd(self, count: int, *, processes: int = 1) -> None:
        """Start the first ``count`` apps in few processes; returns when all are connected."""
        for number in range(processes):
            some = self.tokens[number:count:processes]
            file = self.folder / f"tokens{number}"
            file.write_text("\n".join(one.token for one in some) + "\n")
            lines = self.folder / f"crowd{number}.lines"
            command = [*self.home.prefix, sys.executable, "-m", "tests.cluster.light"]
            command += [str(file), str(self.connections), str(lines)]
            process = spawn(
                command, self.folder, env=self._environment(), cwd=ROOT, stdin=subprocess.PIPE
            )
            self.crowds.append(Crowd(process, lines, len(some)))
        self.wait_for_apps(timeout=120 + count / 20)

    def wait_for_apps(self, *, timeout: float = 60.0) -> None:
        """Return when all light apps have all their connections."""
        try:
            wait_until(
                lambda: all(
                    one.now() == (one.apps, one.apps * self.connections) for one in self.crowds
                ),
                timeout=timeout,
            )
        except AssertionError:
            found = [f"{one.now()} of {one.apps} apps" for one in self.crowds]
            raise AssertionError(
                f"not all apps are connected in {timeout:.0f} s: {found}"
            ) from None

    def start_real_apps(self, first: int, count: int) -> None:
        """Start apps as users do, each a process of its own, from the token ``first`` on."""
        env = {**self._environment(), "ASGI_TUNNEL_CONNECTIONS": str(self.connections)}
        env["ASGI_TUNNEL_STATUS"] = "off"
        for token in self.tokens[first : first + count]:
            command = [*self.home.prefix, str(BIN / "asgi-tunnel"), "run", APP]
            command += ["--app-dir", str(ROOT)]
            env["ASGI_TUNNEL_TOKEN"] = token.token
            self.real.append(spawn(command, self.folder, env=env, cwd=self.folder))
            if len(self.real) % 4 == 0:  # two cores start four at a time
                self.real[-1].wait_for("is live", timeout=120)
        for process in self.real:
            process.wait_for("is live", timeout=120)

    @contextmanager
    def visitors(
        self, *, rate: float = 135.0, posts: float = 0.2, streams: int = 10, count: int = 24
    ) -> Iterator[Visits]:
        """Visitors at work; they have begun when the block starts, and finish at its end."""
        self._runs += 1
        name = f"run{self._runs}"
        spec = Spec(
            addresses=[edge.machine.address for edge in self.edges],
            port=self.port,
            hostnames=[token.hostnames[0] for token in self.tokens],
            ca=str(self.folder / "ca.pem"),
            rate=rate,
            posts=posts,
            streams=streams,
            visitors=count,
            name=name,
        )
        file, lines = self.folder / f"{name}.json", self.folder / f"{name}.lines"
        file.write_text(json.dumps(asdict(spec)))
        command = [sys.executable, "-m", "tests.cluster.visitors", str(file), str(lines)]
        process = spawn(command, self.folder, cwd=ROOT, stdin=subprocess.PIPE)
        try:
            wait_until(lambda: _has_begun(lines, process), timeout=60, what="visitors are served")
            yield Visits(name, lines)
        finally:
            assert process.popen.stdin is not None
            process.popen.stdin.close()
            try:
                process.popen.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
                raise
        assert process.popen.returncode == 0, process.output[-3000:]


@dataclass(frozen=True)
class Visits:
    """What visitors write down.

    Attributes:
        name: Which the ids of their POSTs begin with.
        lines: Their file.
    """

    name: str
    lines: Path


def _has_begun(lines: Path, process: Process) -> bool:
    assert process.is_alive(), process.output[-3000:]
    return lines.exists() and lines.stat().st_size > 2000


@contextmanager
def world(
    folder: Path,
    *,
    edges: int,
    connections: int = 2,
    bus: str = "",
    workers: int = 1,
    apps: int = 0,
    limits: str = "",
    may_have_cables: bool = True,
) -> Iterator[World]:
    """Edges that run, and no app yet.

    Args:
        folder: An empty one.
        edges: How many; one needs no bus.
        connections: Of each app.
        bus: ``postgresql``, ``nats``, or nothing for one edge.
        workers: Of each edge.
        apps: How many tokens there are; no app runs yet.
        limits: Lines for ``[limits]``.
        may_have_cables: As of :func:`.network.network`.
    """
    with ExitStack() as stack:
        net = stack.enter_context(network(may_have_cables=may_have_cables))
        machines = [net.add("abcdefgh"[number]) for number in range(edges)]
        home = net.add("home")
        addresses = [one.address for one in machines]
        net.resolve(home, HOST, addresses)
        make_authority(folder, [HOST, DOMAIN, f"*.{DOMAIN}"], addresses)
        port = PORT if net.has_cables else free_port(machines[0].address)
        tables = {"guards": f'exempt = ["{net.start}.0/24"]'}
        if limits:
            tables["limits"] = limits
        one = World(folder, net, [], home, connections, stack, folder / "counted", bus=bus)
        one.workers = workers
        for machine in machines:
            settings: dict[str, object] = {"workers": workers}
            one.edges.append(ClusterEdge(machine, folder / machine.name, port, settings, tables))
        stack.callback(_end_all, one)
        for edge in one.edges:
            edge.init(folder, HOST if net.has_cables else addresses[0])
        if bus:
            _join(one)
        one._make_tokens(apps)
        for edge in one.edges:
            edge.spawn()
        for edge in one.edges:
            edge.wait()
        yield one


def _join(one: World) -> None:
    """Start the servers, and make one cluster of the edges."""
    one.postgresql = postgresql_server(one.net.own)
    url = bus = one.postgresql.create()
    if one.bus == "nats":
        one.nats = nats_cluster(one.folder, one.net.own)
        bus = "nats://" + ",".join(server.address for server in one.nats)
    secret = ""
    for edge in one.edges:
        secret = edge.join(secret, store=url, bus=bus)


def _end_all(one: World) -> None:
    if one.postgresql is not None:
        one.postgresql.remove()
    for server in one.nats:
        server.kill()
    for process in (*one.real, *(crowd.process for crowd in one.crowds)):
        if process.is_alive():
            process.kill()
    for edge in one.edges:
        edge.end()


def now() -> float:
    """Return the clock that all processes of this machine share."""
    return time.monotonic()


def is_busy() -> bool:
    """Whether this machine has more to do than it has cores."""
    return os.getloadavg()[0] > 1.5 * (os.cpu_count() or 1)
