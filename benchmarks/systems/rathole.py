"""rathole over plain TCP: its fastest transport."""

from __future__ import annotations

from pathlib import Path

from benchmarks.model import System
from benchmarks.systems.peer import End, Ports, find, missing_of, start_of, version_of

_TOKEN = "for-the-benchmark"  # noqa: S105 - both ends live as long as one measurement
_SETTINGS = (
    "release build, transport tcp without TLS or noise, nodelay;"
    " visitors' sockets do without TCP_NODELAY, which has no setting"
)


def _ends(folder: Path, ports: Ports) -> tuple[End, ...]:
    (folder / "server.toml").write_text(
        f'[server]\nbind_addr = "127.0.0.1:{ports.control}"\ndefault_token = "{_TOKEN}"\n'
        f'[server.services.app]\nbind_addr = "127.0.0.1:{ports.public}"\nnodelay = true\n'
    )
    (folder / "client.toml").write_text(
        f'[client]\nremote_addr = "127.0.0.1:{ports.control}"\ndefault_token = "{_TOKEN}"\n'
        f'[client.services.app]\nlocal_addr = "127.0.0.1:{ports.app}"\nnodelay = true\n'
    )
    program = find("rathole")
    env = {"RUST_LOG": "error"}
    return (
        End("rathole server", [program, "--server", folder / "server.toml"], env, ports.control),
        End("rathole client", [program, "--client", folder / "client.toml"], env),
    )


SYSTEM = System(
    "rathole",
    start_of("rathole", _ends),
    lambda: f"rathole, {version_of('rathole', '--version')}; {_SETTINGS}",
    missing_of("rathole"),
)
