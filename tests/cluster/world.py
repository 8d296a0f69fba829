"""The whole: a network, servers, edges, apps and visitors."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.e2e.harness import BIN, Process, Token, spawn, wait_until

from .authority import make_authority
from .edges import DOMAIN, HOST, ClusterEdge
from .network import Machine, Network, free_port, network
from .services import NatsServer, nats_cluster, postgresql_server
from .visitors import Spec

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

ROOT: Final = Path(__file__).parents[2]
PORT: Final = 8443
"""On machines that are namespaces, where nobody else has one."""

APP: Final = "tests.cluster.app:app"


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
        crowd: Of the light apps: the process and its lines.
    """

    folder: Path
    net: Network
    edges: list[ClusterEdge]
    home: Machine
    connections: int
    stack: ExitStack
    counted: Path
    tokens: list[Token] = field(default_factory=list)
    crowd: Process | None = None
    crowd_lines: Path | None = None
    crowd_apps: int = 0
    real: list[Process] = field(default_factory=list)
    bus: str = ""
    postgresql: PostgresServer | None = None
    nats: list[NatsServer] = field(default_factory=list)
    _runs: int = 0

    @property
    def port(self) -> int:
        """Of all edges."""
        return self.edges[0].port

    def make_tokens(self, count: int) -> None:
        """Make a token for each app."""
        for number in range(count):
            text = self.edges[0].command("token", "create", f"app{number}", "--json")
            self.tokens.append(Token(**json.loads(text)))

    def _environment(self) -> dict[str, str]:
        return {
            "ASGI_TUNNEL_CA_FILE": str(self.folder / "ca.pem"),
            "ASGI_TUNNEL_PINS": str(self.folder / "pins"),
            "CLUSTER_COUNTED": str(self.counted),
            "PYTHONPATH": str(ROOT),
        }

    def start_crowd(self, count: int) -> None:
        """Start the first ``count`` apps in one process; returns when all have all connections."""
        tokens = self.folder / "tokens"
        tokens.write_text("\n".join(one.token for one in self.tokens[:count]) + "\n")
        self.crowd_lines = self.folder / "crowd-lines"
        command = [*self.home.prefix, sys.executable, "-m", "tests.cluster.light"]
        command += [str(tokens), str(self.connections), str(self.crowd_lines)]
        self.crowd = spawn(
            command, self.folder, env=self._environment(), cwd=ROOT, stdin=subprocess.PIPE
        )
        self.crowd_apps = count
        self.wait_for_apps(timeout=120 + count / 20)

    def wait_for_apps(self, *, timeout: float = 60.0) -> None:
        """Return when all light apps have all their connections."""
        wanted = f"{self.crowd_apps} {self.crowd_apps * self.connections}"
        wait_until(
            lambda: self._crowd_now() == wanted,
            timeout=timeout,
            what=f"all apps are there: {wanted}, not {self._crowd_now()}",
        )

    def _crowd_now(self) -> str:
        assert self.crowd is not None
        assert self.crowd_lines is not None
        assert self.crowd.is_alive(), self.crowd.output[-3000:]
        if not self.crowd_lines.exists():
            return ""
        lines = self.crowd_lines.read_text().splitlines()
        return lines[-1].split(" ", 1)[1] if lines else ""

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
        for machine in machines:
            settings: dict[str, object] = {"workers": workers}
            one.edges.append(ClusterEdge(machine, folder / machine.name, port, settings, tables))
        stack.callback(_end_all, one)
        for edge in one.edges:
            edge.init(folder, HOST if net.has_cables else addresses[0])
        if bus:
            _join(one)
        for edge in one.edges:
            edge.start()
        yield one


def _join(one: World) -> None:
    """Start the servers, and make one cluster of the edges."""
    one.postgresql = postgresql_server(one.net.own)
    url = bus = one.postgresql.create()
    if one.bus == "nats":
        one.nats = nats_cluster(one.folder, one.net.own)
        bus = "nats://" + ",".join(server.address for server in one.nats)
    for edge in one.edges:
        edge.join(store=url, bus=bus)


def _end_all(one: World) -> None:
    if one.postgresql is not None:
        one.postgresql.remove()
    for server in one.nats:
        server.kill()
    for process in (*one.real, *([one.crowd] if one.crowd else [])):
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
