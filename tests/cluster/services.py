"""The servers that edges share, on the bridge's own address: PostgreSQL, and three NATS servers."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from edge.tests.postgres import MISSING, PostgresServer, find_programs
from tests.cluster.network import free_port
from tests.e2e.harness import BIN, Process, spawn

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["NatsServer", "nats_cluster", "postgresql_server"]

NATS: Final = 3


def postgresql_server(host: str) -> PostgresServer:
    """Return a server that runs; ended with this process at the latest."""
    programs = find_programs()
    if programs is None:
        raise SystemExit(MISSING)
    server = PostgresServer(programs, host=host)
    server.start()
    return server


@dataclass
class NatsServer:
    """One of the three."""

    folder: Path
    name: str
    host: str
    port: int
    routes: str
    cluster_port: int
    process: Process | None = None

    def start(self) -> None:
        """Start it; it finds the others by itself."""
        text = f"""
            server_name: {self.name}
            listen: "{self.host}:{self.port}"
            ping_interval: "2s"
            ping_max: 2
            cluster {{
              name: cluster
              listen: "{self.host}:{self.cluster_port}"
              routes: [{self.routes}]
              ping_interval: "2s"
            }}
        """
        file = self.folder / f"nats-{self.name}.conf"
        file.write_text(text)
        self.process = spawn([str(BIN / "nats-server"), "-c", str(file)], self.folder)
        self.process.wait_for("Server is ready")

    def kill(self) -> None:
        """End it without a word."""
        assert self.process is not None
        self.process.kill()

    @property
    def address(self) -> str:
        """HOST:PORT for its clients."""
        return f"{self.host}:{self.port}"


def nats_cluster(folder: Path, host: str) -> list[NatsServer]:
    """Return three servers that run and know each other."""
    ports = [free_port(host) for _ in range(2 * NATS)]
    routes = ", ".join(f'"nats://{host}:{port}"' for port in ports[NATS:])
    servers = [
        NatsServer(folder, f"n{number}", host, ports[number], routes, ports[NATS + number])
        for number in range(NATS)
    ]
    for server in servers:
        server.start()
    return servers
