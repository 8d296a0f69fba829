"""The peers that some scenes set up themselves: in namespaces, or piece by piece.

Settings are each peer's defaults, except where a line says why.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.scenes.edge import BIN
from benchmarks.systems import ssh as openssh
from benchmarks.systems.peer import find
from benchmarks.systems.uvicorn import FASTEST

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
    return [BIN / "uvicorn", app, "--port", str(port), *FASTEST]


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
    config = openssh.write_config(folder, ports.address, ports.control)
    forward = f"127.0.0.1:{ports.public}:127.0.0.1:{ports.app}"
    return Peer(
        edge=[find("sshd"), "-D", "-e", "-f", config],
        edge_ready="Server listening",
        app=openssh.client(folder, ports.address, ports.control, forward, "-v"),
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
