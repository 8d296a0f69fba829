"""Edges as real processes on machines of the network."""

from __future__ import annotations

import json
import os
import signal
import subprocess
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.e2e.harness import BIN, Process, edge_command, spawn, wait_until

from asgi_tunnel_edge.cluster.membership import init_cluster, join_cluster
from asgi_tunnel_edge.settings.config import EdgeConfig

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.cluster.network import Machine

__all__ = ["DOMAIN", "HOST", "ClusterEdge"]

DOMAIN: Final = "example.test"
HOST: Final = f"edge.{DOMAIN}"
"""What tokens name; on the apps' machine it has the addresses of all edges. Where machines are
addresses of this one, tokens name the first of them."""

PEER_PORT: Final = 9443
"""Of the first worker; each other one has the next."""


def descendants(pid: int) -> list[int]:
    """Return a process and what it has started, the first one first."""
    found = [pid]
    with suppress(OSError):
        for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            found += descendants(int(child))
    return found


@dataclass
class ClusterEdge:
    """One edge of several.

    Attributes:
        machine: Where it runs.
        folder: Its own.
        port: Where visitors and apps arrive; the same on all edges.
        settings: Top-level lines of ``edge.toml``.
        tables: Lines for its tables, by their names.
    """

    machine: Machine
    folder: Path
    port: int
    settings: dict[str, object] = field(default_factory=dict)
    tables: dict[str, str] = field(default_factory=dict)
    process: Process | None = None
    _stopped: list[int] = field(default_factory=list)

    @property
    def name(self) -> str:
        """What the others call it."""
        return self.machine.name

    @property
    def running(self) -> Process:
        """Its process."""
        assert self.process is not None
        return self.process

    def init(self, authority: Path, host: str) -> None:
        """Make its folder, with the certificate that all edges have.

        Args:
            authority: The folder with the certificate.
            host: What tokens name.
        """
        listen = f"{self.machine.address}:{self.port}"
        self.command("init", "--domain", DOMAIN, "--listen", listen, "--tls", "files", "--no-check")
        for name in ("certificate.pem", "key.pem"):
            (self.folder / "tls" / name).write_bytes((authority / name).read_bytes())
        self.set(public_url=f"https://{host}:{self.port}", **self.settings)
        text = (self.folder / "edge.toml").read_text()
        for table, more in self.tables.items():
            text = text.replace(f"\n[{table}]\n", f"\n[{table}]\n{more}\n", 1)
        (self.folder / "edge.toml").write_text(text)

    def set(self, **settings: object) -> None:
        """Add top-level lines to ``edge.toml``."""
        text = (self.folder / "edge.toml").read_text()
        lines = "".join(f"{key} = {json.dumps(value)}\n" for key, value in settings.items())
        (self.folder / "edge.toml").write_text(text.replace("\n[tls]\n", f"\n{lines}\n[tls]\n", 1))

    def join(self, secret: str, *, store: str, bus: str) -> str:
        """Make it one of several; return the secret by which the next one joins.

        Args:
            secret: Empty: it is the first one.
            store: URL.
            bus: URL.
        """
        self.set(
            store=store,
            bus=bus,
            node=self.name,
            peer_listen=f"{self.machine.address}:{PEER_PORT}",
            edge_address=f"{self.machine.address}:{self.port}",
        )
        config = EdgeConfig.load(self.folder)
        if not secret:
            return init_cluster(config)
        join_cluster(config, secret)
        return secret

    def start(self) -> None:
        """Start it, and return when it listens."""
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Start it."""
        command = [str(BIN / "asgi-tunnel-edge"), "run", "--data", str(self.folder)]
        self.process = spawn([*self.machine.prefix, *command], self.folder)

    def wait(self) -> None:
        """Return when all its workers listen."""
        workers = self.settings.get("workers", 1)
        assert isinstance(workers, int)
        self.running.wait_for("listening on ", timeout=60, count=workers)

    def command(self, *arguments: str) -> str:
        """Run ``asgi-tunnel-edge ... --data FOLDER`` in this process; return what it printed."""
        return edge_command(*arguments, "--data", str(self.folder))

    def kill(self) -> None:
        """End all its processes at once, as a power cut does; the kernel still closes sockets."""
        self._signal(signal.SIGKILL, descendants(self.running.popen.pid))
        self.running.popen.wait()

    def kill_worker(self) -> None:
        """End one of its serving processes; the parent replaces it."""
        self._signal(signal.SIGKILL, descendants(self.running.popen.pid)[1:2])

    def freeze(self) -> None:
        """Stop all its processes: sockets stay open, and nobody is at home."""
        self._stopped = descendants(self.running.popen.pid)
        self._signal(signal.SIGSTOP, self._stopped)

    def thaw(self) -> None:
        """Let them go on."""
        self._signal(signal.SIGCONT, self._stopped)
        self._stopped = []

    def drain(self) -> None:
        """Let it end as an operator does: what is in progress is finished."""
        code = self.running.stop(timeout=60)
        assert code == 0, f"edge {self.name} ended with {code}:\n{self.running.output[-3000:]}"

    def upgrade(self) -> None:
        """Let processes of the installed version take over from those that serve."""
        before = set(descendants(self.running.popen.pid))
        command = [str(BIN / "asgi-tunnel-edge"), "upgrade", "--data", str(self.folder)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
        assert done.returncode == 0, done.stdout + done.stderr
        pid = self.running.popen.pid
        wait_until(lambda: set(descendants(pid)) - before, timeout=60, what="new processes serve")

    def end(self) -> None:
        """End it, whatever state it is in."""
        if self.process is not None and self.process.is_alive():
            self.thaw()
            self.kill()

    def status(self) -> Any:
        """Return what ``status --json`` says."""
        return json.loads(self.command("status", "--json"))

    @staticmethod
    def _signal(number: int, pids: Iterable[int]) -> None:
        for pid in pids:
            with suppress(ProcessLookupError):
                os.kill(pid, number)
