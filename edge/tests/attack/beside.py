"""Who an attack must not disturb: a visitor, and the tunnel of another tenant; both timed."""

from __future__ import annotations

import http.client
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from tests.e2e.harness import Edge, Process, Token, running_app, running_edge, spawn

from asgi_tunnel.protocol.handshake import HandshakeReader, Welcome

from .attacker import hello, trusting, upgrade

ATTACKER = Path(__file__).with_name("attacker.py")
GOOD = "127.0.0.9"
"""The address of who does nothing wrong."""

ENOUGH = 10
"""Requests of the visitor that are judged, at the least."""

PATIENCE = 20.0
"""Seconds that they may take on a loaded machine, beside the attack's own."""


@dataclass
class World:
    """An edge on which no address is exempt, an app, and an attacker's token."""

    edge: Edge
    app: Process
    good: Token
    bad: Token
    folder: Path
    is_secure: bool

    def get(self, source: str = GOOD, host: str = "good.example.test", timeout: float = 10) -> int:
        """One request over a connection of its own; return its status."""
        address = (source, 0)
        if self.is_secure:
            client: http.client.HTTPConnection = http.client.HTTPSConnection(
                "127.0.0.1",
                self.edge.port,
                context=trusting(),
                timeout=timeout,
                source_address=address,
            )
        else:
            client = http.client.HTTPConnection(
                "127.0.0.1", self.edge.port, timeout=timeout, source_address=address
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
        address = ("127.0.0.1", self.edge.port)
        plain = socket.create_connection(address, timeout=10, source_address=(source, 0))
        sock = trusting().wrap_socket(plain) if self.is_secure else plain
        with sock, sock.makefile("rb") as reading:
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
def world(folder: Path, *, tls: str, limits: str = "", proxies: str = "") -> Iterator[World]:
    """A new edge: what one attack has left must not help the next one.

    Args:
        folder: For its files.
        tls: As ``init --tls``.
        limits: Lines for its ``[limits]``.
        proxies: Lines for its ``[proxies]``.
    """
    guards = "exempt = []\nrate = 0.0"
    with running_edge(folder, tls=tls, limits=limits, proxies=proxies, guards=guards) as edge:
        good, bad = edge.create_token("good"), edge.create_token("bad")
        # The app dials from 127.0.0.1, which no attack comes from.
        with running_app(
            folder, good, "app:app", app_dir=Path(__file__).parent, ready="is live"
        ) as app:
            yield World(edge, app, good, bad, folder, tls != "off")
        output = edge.running.output
        assert "Traceback" not in output, output
        assert len(output) < 500_000, "the log was flooded"


@contextmanager
def attack(world: World, name: str, *sources: str) -> Iterator[list[Process]]:
    """One attacker for each address, until the block ends."""
    arguments = [str(world.edge.port)]
    processes = []
    for source in sources:
        command = [sys.executable, str(ATTACKER), name, *arguments, source, world.bad.token]
        env = {"ATTACK_TLS": "1" if world.is_secure else "0"}
        process = spawn(command, world.folder, stdin=subprocess.PIPE, env=env)
        processes.append(process)
    try:
        for process in processes:
            process.wait_for("{")
        yield processes
    finally:
        for process in processes:
            assert process.popen.stdin is not None
            process.popen.stdin.close()
            process.popen.wait(timeout=10)


@dataclass
class Beside:
    """What happened to the others during an attack."""

    seconds: list[float] = field(default_factory=list)  # of each good request
    failed: list[str] = field(default_factory=list)
    greetings: list[float] = field(default_factory=list)  # of the other tenant's tunnels

    def check(self, *, p99: float = 1.0) -> None:
        """All that is promised."""
        assert not self.failed, self.failed[:5]
        assert len(self.seconds) >= ENOUGH
        assert sorted(self.seconds)[int(len(self.seconds) * 0.99)] <= p99, sorted(self.seconds)[-5:]
        assert self.greetings
        assert max(self.greetings) <= 2.0, self.greetings


def watch(world: World, seconds: float) -> Beside:
    """Visit, and open the other tenant's tunnel, for a while."""
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

    thread = threading.Thread(target=visit)
    thread.start()
    try:
        start = time.monotonic()
        while (passed := time.monotonic() - start) < seconds or (
            len(beside.seconds) < ENOUGH and passed < seconds + PATIENCE
        ):
            try:
                beside.greetings.append(world.greet(world.good))
            except Exception as error:  # noqa: BLE001 - whatever it is, it is the finding
                beside.failed.append(f"greeting: {error!r}")
            done.wait(0.2)
    finally:
        done.set()
        thread.join()
    return beside
