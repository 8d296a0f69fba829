"""frp: visitors reach a TCP proxy of frps, which parses no HTTP and is its fastest kind.

Its kind ``https`` reads the name that a visitor's TLS asks for, and passes TLS on to the app.
"""

from __future__ import annotations

from functools import partial
from pathlib import Path

from benchmarks.model import HTTPS_HOSTNAME, System
from benchmarks.systems.peer import End, Ports, find, missing_of, start_of, version_of


def _ends(folder: Path, ports: Ports, *, mux: bool, is_https: bool) -> tuple[End, ...]:
    shared = f'log.level = "error"\ntransport.tcpMux = {str(mux).lower()}\n'
    kind, where = "tcp", f"remotePort = {ports.public}\n"
    vhost = ""
    if is_https:
        kind, where = "https", f'customDomains = ["{HTTPS_HOSTNAME}"]\n'
        vhost = f"vhostHTTPSPort = {ports.public}\n"
    (folder / "frps.toml").write_text(
        f'bindAddr = "127.0.0.1"\nbindPort = {ports.control}\nproxyBindAddr = "127.0.0.1"\n'
        f"{vhost}{shared}"
    )
    (folder / "frpc.toml").write_text(
        f'serverAddr = "127.0.0.1"\nserverPort = {ports.control}\n{shared}'
        f"transport.poolCount = 1\ntransport.tls.enable = {str(is_https).lower()}\n"
        f'[[proxies]]\nname = "app"\ntype = "{kind}"\nlocalIP = "127.0.0.1"\n'
        f"localPort = {ports.app}\n{where}"
        "transport.useEncryption = false\ntransport.useCompression = false\n"
    )
    return (
        End("frps", [find("frps"), "-c", folder / "frps.toml"], port=ports.control),
        End("frpc", [find("frpc"), "-c", folder / "frpc.toml"]),
    )


def _system(name: str, *, mux: bool, is_https: bool = False) -> System:
    def version() -> str:
        kind = "https, uvicorn behind it speaks TLS" if is_https else "tcp"
        shared = "one TCP connection for all visitors (its default)"
        settings = shared if mux else "a TCP connection for each visitor"
        return (
            f"frp {version_of('frps', '--version')}; proxy of type {kind}, {settings}, poolCount 1,"
            f" {'TLS (its default)' if is_https else 'no TLS'} between its ends, no encryption, no"
            " compression"
        )

    start = start_of(name, partial(_ends, mux=mux, is_https=is_https), is_tls=is_https)
    return System(name, start, version, missing_of("frps", "frpc"), is_tls=is_https)


SYSTEMS = (_system("frp", mux=True), _system("frp, tcpMux = false", mux=False))
TLS_SYSTEMS = (
    _system("frp, https", mux=True, is_https=True),
    _system("frp, https, tcpMux = false", mux=False, is_https=True),
)
