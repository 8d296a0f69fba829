"""frp: visitors reach a TCP proxy of frps, which parses no HTTP and is its fastest kind."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.model import System
from benchmarks.systems.peer import End, Ports, find, missing_of, start_of, version_of


def _ends(folder: Path, ports: Ports, *, mux: bool) -> tuple[End, ...]:
    shared = f'log.level = "error"\ntransport.tcpMux = {str(mux).lower()}\n'
    (folder / "frps.toml").write_text(
        f'bindAddr = "127.0.0.1"\nbindPort = {ports.control}\nproxyBindAddr = "127.0.0.1"\n{shared}'
    )
    (folder / "frpc.toml").write_text(
        f'serverAddr = "127.0.0.1"\nserverPort = {ports.control}\n{shared}'
        "transport.poolCount = 1\ntransport.tls.enable = false\n"
        '[[proxies]]\nname = "app"\ntype = "tcp"\nlocalIP = "127.0.0.1"\n'
        f"localPort = {ports.app}\nremotePort = {ports.public}\n"
        "transport.useEncryption = false\ntransport.useCompression = false\n"
    )
    return (
        End("frps", [find("frps"), "-c", folder / "frps.toml"], port=ports.control),
        End("frpc", [find("frpc"), "-c", folder / "frpc.toml"]),
    )


def _system(name: str, settings: str, *, mux: bool) -> System:
    def version() -> str:
        return (
            f"frp {version_of('frps', '--version')}; proxy of type tcp, {settings}, poolCount 1,"
            " no TLS, no encryption, no compression"
        )

    ends = partial(_ends, mux=mux)
    return System(name, start_of(name, ends), version, missing_of("frps", "frpc"))


SYSTEMS = (
    _system("frp", "one TCP connection for all visitors (its default)", mux=True),
    _system("frp, tcpMux = false", "a TCP connection for each visitor", mux=False),
)
