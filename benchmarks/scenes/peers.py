"""The peers that some scenes set up themselves: in namespaces, or piece by piece.

Settings are each peer's defaults, except where a line says why.
"""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scenes.edge import BIN
from benchmarks.systems.peer import find

Command = list[str | Path]


@dataclass(frozen=True)
class Ports:
    """Where everything of one peer is.

    Attributes:
        address: Of the edge's host, where the app's host reaches it.
        control: Where the peer's end on the edge's host listens for its other end.
        public: Where it listens for visitors.
        app: Where uvicorn listens, on loopback of the app's host.
    """

    address: str
    control: int
    public: int
    app: int


@dataclass(frozen=True)
class Peer:
    """The two ends of a peer, ready to be started: the edge's end first.

    Attributes:
        edge: The command on the edge's host.
        edge_ready: What it prints when it listens.
        app: The command on the app's host.
        app_ready: What that prints when visitors get through.
    """

    edge: Command
    edge_ready: str
    app: Command
    app_ready: str


def uvicorn(port: int, app: str = "benchmarks.app:app") -> Command:
    """Return the command that serves an app on loopback; it then says "Uvicorn running on"."""
    command: Command = [BIN / "uvicorn", app, "--port", str(port), "--no-access-log"]
    return [*command, "--http", "httptools", "--loop", "uvloop", "--ws", "websockets"]


def frp(folder: Path, ports: Ports, *, mux: bool = True) -> Peer:
    """Set frp up as a TCP proxy, which parses no HTTP; TLS between its ends is its default.

    Args:
        folder: Gets the configuration.
        ports: Where everything is.
        mux: ``transport.tcpMux``: one TCP for all visitors, which is the default.
    """
    shared = f"transport.tcpMux = {str(mux).lower()}\n"
    (folder / "frps.toml").write_text(f"bindPort = {ports.control}\n{shared}")
    (folder / "frpc.toml").write_text(
        f'serverAddr = "{ports.address}"\nserverPort = {ports.control}\n{shared}'
        '[[proxies]]\nname = "app"\ntype = "tcp"\nlocalIP = "127.0.0.1"\n'
        f"localPort = {ports.app}\nremotePort = {ports.public}\n"
    )
    return Peer(
        edge=[find("frps"), "-c", folder / "frps.toml"],
        edge_ready="frps started successfully",
        app=[find("frpc"), "-c", folder / "frpc.toml"],
        app_ready="start proxy success",
    )


def ssh(folder: Path, ports: Ports) -> Peer:
    """Set ``ssh -R`` up, with a key and an sshd of this folder only."""
    for name in ("host_key", "user_key"):
        key = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(folder / name)]
        subprocess.run(key, check=True, stdin=subprocess.DEVNULL)
    (folder / "authorized_keys").write_text((folder / "user_key.pub").read_text())
    (folder / "sshd_config").write_text(
        f"ListenAddress {ports.address}:{ports.control}\nHostKey {folder / 'host_key'}\n"
        f"AuthorizedKeysFile {folder / 'authorized_keys'}\nPidFile none\n"
        "StrictModes no\nUsePAM no\nPermitRootLogin prohibit-password\n"
    )
    Path("/run/sshd").mkdir(exist_ok=True)  # sshd does not start without
    options = [f"IdentityFile={folder / 'user_key'}", "BatchMode=yes", "StrictHostKeyChecking=no"]
    options += ["UserKnownHostsFile=/dev/null", "ExitOnForwardFailure=yes"]
    app: Command = ["ssh", "-v", "-N", "-F", "none"]
    for option in options:
        app += ["-o", option]
    app += ["-R", f"127.0.0.1:{ports.public}:127.0.0.1:{ports.app}", "-p", str(ports.control)]
    return Peer(
        edge=[find("sshd"), "-D", "-e", "-f", folder / "sshd_config"],
        edge_ready="Server listening",
        app=[*app, ports.address],
        app_ready="remote forward success",
    )


Make = Callable[[Path, Ports], Peer]


def installed() -> dict[str, Make]:
    """Return the peers that are on this machine, by name."""
    peers: dict[str, Make] = {}
    if find("frps") and find("frpc"):
        peers["frp"] = frp
    if find("sshd") and find("ssh"):
        peers["ssh -R"] = ssh
    return peers
