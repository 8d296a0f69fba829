"""chisel: a reverse port over ssh inside a WebSocket."""

from __future__ import annotations

from pathlib import Path

from benchmarks.model import System
from benchmarks.systems.peer import End, Ports, find, missing_of, start_of, version_of


def _ends(_folder: Path, ports: Ports) -> tuple[End, ...]:
    chisel = find("chisel")
    server = [chisel, "server", "--host", "127.0.0.1", "--port", str(ports.control), "--reverse"]
    forward = f"R:127.0.0.1:{ports.public}:127.0.0.1:{ports.app}"
    return (
        End("chisel server", server, port=ports.control),
        End("chisel client", [chisel, "client", f"http://127.0.0.1:{ports.control}", forward]),
    )


SYSTEM = System(
    "chisel",
    start_of("chisel", _ends),
    lambda: f"chisel {version_of('chisel', '--version')}; no TLS, its ssh is always there",
    missing_of("chisel"),
)
