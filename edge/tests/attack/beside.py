"""Who an attack must not disturb: a visitor, and the tunnel of another tenant; both timed."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

from tests.e2e.harness import Edge, Process, Token, running_app, running_edge, slowdown, spawn
from websockets.exceptions import WebSocketException
from websockets.sync.client import connect

from asgi_tunnel.protocol.handshake import HandshakeReader, Welcome
from asgi_tunnel_edge.cluster.membership import init_cluster, join_cluster
from asgi_tunnel_edge.settings.config import EdgeConfig

from .attacker import hello, trusting, upgrade

ATTACKER = Path(__file__).with_name("attacker.py")
GOOD = "127.0.0.9"
"""The address of who does nothing wrong."""

ENOUGH = 10
"""Requests of the visitor that are judged, at the least."""

PATIENCE = 20.0
"""Seconds that they may take on a loaded machine, beside the attack's own."""
PROCESSES = 4
"""In which more attackers than this run, at a lower priority: one for each would be busy with
starting, and would take the cores that an attack over a network leaves to edge and visitor."""


@dataclass
class World:
    """An edge on which no address is exempt, an app, and an attacker's token.

    Attributes:
        edges: Where who does nothing wrong goes, in turn; attackers go to the first one.
    """

    edge: Edge
    app: Process
    good: Token
    bad: Token
    folder: Path
    is_secure: bool
    other: Token | None = None  # of a tenant whose connectors come and go
    edges: Sequence[Edge] = ()
    _turn: Iterator[int] = field(default_factory=count)

    @property
    def _port(self) -> int:
        edges = self.edges or [self.edge]
        return edges[next(self._turn) % len(edges)].port

    def get(self, source: str = GOOD, host: str = "good.example.test", timeout: float = 10) -> int:
        """One request over a connection of its own; return its status."""
        address = (source, 0)
        if self.is_secure:
            client: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1",
                self._port,
                context=trusting(),
                timeout=timeout,
                source_address=address,
            )
        else:
            client = http.client.HTTPConnection(
                "127.0.0.1", self._port, timeout=timeout, source_address=address
            )
        try:
            client.request("GET", "/", headers={"Host": host})
            response = client.getresponse()
            response.read()
            return response.status
        finally:
            client.close()

    def greet(self, token: Token, source: str = GOOD) -> float:
        """Open a session and leave it; return the seconds up to WELCOME."""
        start = time.perf_counter()
        with self.socket(source) as sock, sock.makefile("rb") as reading:
            sock.sendall(upgrade(token.token))
            head = reading.readline()
            while line := reading.readline().strip():
                head += line
            assert head.split()[1:2] == [b"101"], head
            sock.sendall(hello("beside"))
            _, size = reading.read(2)
            if size == 126:
                size = int.from_bytes(reading.read(2), "big")
            found = HandshakeReader().feed(reading.read(size))
            assert found is not None
            assert isinstance(found[0], Welcome), found[0]
            return time.perf_counter() - start

    @contextmanager
    def socket(self, source: str = GOOD) -> Iterator[socket.socket]:
        """A connection, through TLS where the edge speaks it."""
        address = ("127.0.0.1", self._port)
        plain = socket.create_connection(address, timeout=10, source_address=(source, 0))
        with trusting().wrap_socket(plain) if self.is_secure else plain as sock:
            yield sock


@contextmanager
def world(
    folder: Path,
    *,
    tls: str,
    limits: str = "",
    proxies: str = "",
    has_ipv6: bool = False,
    has_other: bool = False,
    workers: int = 1,
    store: str = "",
) -> Iterator[World]:
    """A new edge: what one attack has left must not help the next one.

    Args:
        folder: For its files.
        tls: As ``init --tls``.
        limits: Lines for its ``[limits]``.
        proxies: Lines for its ``[proxies]``.
        has_ipv6: The edge listens on both families.
        has_other: There is a third token.
        workers: Processes of an edge.
        store: URL of a PostgreSQL database; two edges meet there.
    """
    host = "[::]" if has_ipv6 else "127.0.0.1"
    guards = "exempt = []\nrate = 0.0"
    top = f"workers = {workers}\n"
    secrets: list[str] = []
    with ExitStack() as stack:
        edge = stack.enter_context(
            running_edge(
                folder,
                tls=tls,
                host=host,
                limits=limits,
                proxies=proxies,
                guards=guards,
                first=top + cluster_lines(store, "a"),
                prepare=lambda data: join(data, store, secrets),
            )
        )
        edges = [edge]
        if store:
            beside = folder / "beside"
            beside.mkdir()
            edges.append(
                stack.enter_context(
                    running_edge(
                        beside,
                        tls=tls,
                        limits=limits,
                        guards=guards,
                        first=top + cluster_lines(store, "b"),
                        prepare=lambda data: join(data, store, secrets),
                    )
                )
            )
        if has_ipv6:  # tokens then name the domain, which no resolver knows
            toml = edge.folder / "edge.toml"
            scheme = "http" if tls == "off" else "https"
            line = f'public_url = "{scheme}://127.0.0.1:{edge.port}"\n'
            toml.write_text(line + toml.read_text())
        good, bad = edge.create_token("good"), edge.create_token("bad")
        other = edge.create_token("other") if has_other else None
        # The app dials from 127.0.0.1, which no attack comes from.
        with running_app(
            folder, good, "app:app", app_dir=Path(__file__).parent, ready="is live"
        ) as process:
            yield World(edge, process, good, bad, folder, tls != "off", other, edges)
        for one in edges:
            output = one.running.output
            assert "Traceback" not in output, output
            # The good visitor's own lines are as many as it is quick.
            others = [line for line in output.splitlines() if f" {GOOD} " not in line]
            assert sum(map(len, others)) < 500_000, "the log was flooded"


def cluster_lines(store: str, node: str) -> str:
    """Return the settings by which an edge meets others; nothing without a store."""
    if not store:
        return ""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return (
        f'store = "{store}"\nbus = "{store}"\nnode = "{node}"\npeer_listen = "127.0.0.1:{port}"\n'
    )


def join(folder: Path, store: str, secrets: list[str]) -> None:
    """Let an edge make the cluster, or join it.

    Args:
        folder: Of the edge.
        store: Empty: it is alone.
        secrets: Gets the one for joining from the first edge.
    """
    if not store:
        return
    config = EdgeConfig.load(folder)
    if secrets:
        join_cluster(config, secrets[0])
    else:
        secrets.append(init_cluster(config))


@contextmanager
def attack(world: World, name: str, *sources: str) -> Iterator[list[Process]]:
    """One attacker for each address, until the block ends."""
    with attacks(world, [(name, source) for source in sources]) as processes:
        yield processes


@contextmanager
def attacks(world: World, those: Sequence[tuple[str, str]]) -> Iterator[list[Process]]:
    """Attackers, each by its attack's name and its address; all are at work in the block."""
    env = {"ATTACK_TLS": "1"} if world.is_secure else {}
    if len(those) > PROCESSES:
        env["ATTACK_CROWD"] = "1"
    shares = [those[number::PROCESSES] for number in range(min(PROCESSES, len(those)))]
    processes: list[Process] = []
    try:
        for share in shares:
            command = [sys.executable, str(ATTACKER), str(world.edge.port), world.bad.token]
            command += [f"{name}@{source}" for name, source in share]
            processes.append(spawn(command, world.folder, stdin=subprocess.PIPE, env=env))
        for process in processes:
            process.wait_for("{", timeout=120)
        yield processes
    finally:
        for process in processes:
            assert process.popen.stdin is not None
            process.popen.stdin.close()
        for process in processes:
            process.popen.wait(timeout=20)


@dataclass
class Beside:
    """What happened to the others during an attack."""

    seconds: list[float] = field(default_factory=list)  # of each good request
    failed: list[str] = field(default_factory=list)
    greetings: list[float] = field(default_factory=list)  # of the other tenant's tunnels
    echoes: list[float] = field(default_factory=list)  # of a WebSocket that stays open

    @property
    def p99(self) -> float:
        """Seconds within which 99 of 100 good requests were served."""
        return _p99(self.seconds) if self.seconds else 10.0

    def check(self, *, p99: float = 1.0, calm: Beside | None = None) -> None:
        """All that is promised.

        Args:
            p99: Seconds, where a core is free.
            calm: What it was like before the attack: on a machine that has much else to do, a
                request may take five times as long as then.
        """
        patience = slowdown()
        most = p99 * patience
        if calm is not None:
            most = max(most, 5 * _p99(calm.seconds))
        assert not self.failed, self.failed[:5]
        assert len(self.seconds) >= ENOUGH
        assert _p99(self.seconds) <= most, sorted(self.seconds)[-5:]
        if self.echoes:
            assert _p99(self.echoes) <= most, sorted(self.echoes)[-5:]
        assert self.greetings
        assert max(self.greetings) <= 2.0 * max(most, patience), self.greetings


def _p99(seconds: Sequence[float]) -> float:
    return sorted(seconds)[int(len(seconds) * 0.99)]


def watch(world: World, seconds: float, *, tenant: Token | None = None) -> Beside:
    """Visit, and open the other tenant's tunnel, for a while.

    Args:
        world: Of the attack.
        seconds: How long.
        tenant: Whose tunnel is opened; by default the good visitor's own one.
    """
    beside, done = Beside(), threading.Event()

    def visit() -> None:
        while not done.wait(0.03):
            start = time.perf_counter()
            try:
                status = world.get()
            except OSError as error:
                beside.failed.append(repr(error))
            else:
                beside.seconds.append(time.perf_counter() - start)
                if status != 200:
                    beside.failed.append(str(status))

    with _thread(visit, done):
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds or (
            len(beside.seconds) < ENOUGH and passed < seconds + PATIENCE
        ):
            try:
                beside.greetings.append(world.greet(tenant or world.good))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                beside.failed.append(f"greeting: {error!r}")
            done.wait(0.2)
    return beside


@contextmanager
def conversation(world: World, beside: Beside) -> Iterator[None]:
    """One WebSocket from begin to end of the block, with an echo each tenth of a second."""
    done = threading.Event()
    scheme = "wss" if world.is_secure else "ws"
    address = ("127.0.0.1", world.edge.port)
    plain = socket.create_connection(address, timeout=10, source_address=(GOOD, 0))
    with connect(
        f"{scheme}://good.example.test/echo",
        sock=plain,
        ssl=trusting() if world.is_secure else None,
        open_timeout=10,
        ping_interval=None,
    ) as websocket:

        def talk() -> None:
            while not done.wait(0.1):
                text, start = str(len(beside.echoes)), time.perf_counter()
                try:
                    websocket.send(text)
                    echo = websocket.recv(timeout=10)
                except (OSError, WebSocketException) as error:
                    beside.failed.append(f"WebSocket: {error!r}")
                    return
                beside.echoes.append(time.perf_counter() - start)
                if echo != text:
                    beside.failed.append(f"WebSocket: {echo!r} for {text!r}")

        with _thread(talk, done):
            yield


@contextmanager
def _thread(target: Callable[[], None], done: threading.Event) -> Iterator[None]:
    thread = threading.Thread(target=target)
    thread.start()
    try:
        yield
    finally:
        done.set()
        thread.join()
