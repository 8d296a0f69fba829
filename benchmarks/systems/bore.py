"""bore: a TCP connection between its ends for each visitor's connection, never encrypted."""

from __future__ import annotations

from pathlib import Path

from benchmarks.model import System
from benchmarks.systems.peer import End, Ports, find, missing_of, start_of, version_of

_NO_DELAY = "its sockets do without TCP_NODELAY, which has no setting"
_CONTROL_PORT = 7835
"""Where bore's server listens; it cannot be told another port."""


def _ends(_folder: Path, ports: Ports) -> tuple[End, ...]:
    bore = find("bore")
    env = {"RUST_LOG": "error"}
    server = [bore, "server", "--bind-addr", "127.0.0.1", "--min-port", "1024"]
    near = [bore, "local", str(ports.app), "--local-host", "127.0.0.1", "--to", "127.0.0.1"]
    return (
        End("bore server", server, env, _CONTROL_PORT),
        End("bore local", [*near, "--port", str(ports.public)], env),
    )


SYSTEM = System(
    "bore",
    start_of("bore", _ends),
    lambda: f"{version_of('bore', '--version')}; release build, no secret; {_NO_DELAY}",
    missing_of("bore"),
)
