"""frp: visitors reach a TCP proxy of frps, which parses no HTTP and is its fastest kind."""

from __future__ import annotations

from pathlib import Path

from benchmarks.model import System
from benchmarks.systems.peer import End, Ports, find, missing_of, start_of, version_of

_SHARED = 'log.level = "error"\ntransport.tcpMux = true\n'
_SETTINGS = (
    "proxy of type tcp, transport.tcpMux true (its default), poolCount 1,"
    " no TLS, no encryption, no compression"
)


def _ends(folder: Path, ports: Ports) -> tuple[End, ...]:
    (folder / "frps.toml").write_text(
        f'bindAddr = "127.0.0.1"\nbindPort = {ports.control}\n'
        f'proxyBindAddr = "127.0.0.1"\n{_SHARED}'
    )
    (folder / "frpc.toml").write_text(
        f'serverAddr = "127.0.0.1"\nserverPort = {ports.control}\n{_SHARED}'
        "transport.poolCount = 1\ntransport.tls.enable = false\n"
        '[[proxies]]\nname = "app"\ntype = "tcp"\nlocalIP = "127.0.0.1"\n'
        f"localPort = {ports.app}\nremotePort = {ports.public}\n"
        "transport.useEncryption = false\ntransport.useCompression = false\n"
    )
    return (
        End("frps", [find("frps"), "-c", folder / "frps.toml"], port=ports.control),
        End("frpc", [find("frpc"), "-c", folder / "frpc.toml"]),
    )


SYSTEM = System(
    "frp",
    start_of("frp", _ends),
    lambda: f"frp {version_of('frps', '--version')}; {_SETTINGS}",
    missing_of("frps", "frpc"),
)
