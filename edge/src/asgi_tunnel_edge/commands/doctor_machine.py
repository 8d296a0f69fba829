"""What the machine gives: DNS, ports, clock, open files, versions. Called by ``doctor``."""

from __future__ import annotations

import asyncio
import platform
import sqlite3
import ssl
from importlib.metadata import version
from typing import TYPE_CHECKING, Final

from asgi_tunnel.findings import Finding, ok, problem, problem_of, skipped, warning
from asgi_tunnel_edge import __version__
from asgi_tunnel_edge.address import is_loopback, read_edge_address
from asgi_tunnel_edge.descriptors import RESERVE
from asgi_tunnel_edge.running import has_running_edge
from asgi_tunnel_edge.settings.config import ListenAddress

from .prerequisites import CLOCK_DIFFERENCE, clock_difference, port_problem, wanted_ports

if TYPE_CHECKING:
    from asgi_tunnel_edge.settings.config import EdgeConfig

__all__ = [
    "check_clock",
    "check_descriptors",
    "check_dns",
    "check_ports",
    "check_versions",
]

REPLY_TIMEOUT: Final = 5.0
"""Seconds for the edge's own health page, asked from the same machine."""

_ANY: Final = {"0.0.0.0": "127.0.0.1", "::": "127.0.0.1"}  # noqa: S104 - where such a listener is dialed


async def check_dns(config: EdgeConfig) -> list[Finding]:
    """Whether the domain, and a name below it, lead to this machine."""
    if is_loopback(config.listen_address.host) and config.public_url is None:
        return [skipped("dns", "the edge takes connections from this machine only")]
    # Here, not above: dnspython takes a tenth of a second, of every command.
    from asgi_tunnel_edge.certificates.dns.addresses import public_addresses
    from asgi_tunnel_edge.certificates.dns.lookup import Lookup
    from asgi_tunnel_edge.certificates.dns.records import Plan, RecordState, check_records

    zone = config.acme_zone if config.tls.mode == "acme" and config.acme.dns == "zone" else ""
    servers = tuple(config.acme.zone_servers or (config.domain,)) if zone else ()
    addresses = public_addresses()
    plan = Plan(domain=config.domain, addresses=addresses, zone=zone, servers=servers)
    has_proxy = bool(config.proxies.trusted) or config.public_url is not None
    found = []
    for one in await check_records(plan, Lookup()):
        what = f"{one.name} {one.kind} is {', '.join(one.found) or 'missing'}"
        why = "visitors and apps do not find the edge"
        if one.state is RecordState.OK:
            found.append(ok("dns", what))
        elif one.state is RecordState.UNKNOWN:
            found.append(skipped("dns", f"{what}: {one.sentence}"))
        elif one.is_required and not (one.state is RecordState.WRONG and has_proxy):
            found.append(problem("dns", what, why=why, fix=one.sentence))
        else:
            found.append(warning("dns", what, why="some do not find the edge", fix=one.sentence))
    return found


async def check_ports(config: EdgeConfig) -> list[Finding]:
    """Whether a running edge replies on its ports, or one that is started would get them."""
    if has_running_edge(config.data_dir):
        return await _replies(config)
    found = []
    for address in wanted_ports(config):
        sentence = await port_problem(address)
        if sentence:
            found.append(problem_of("ports", sentence, why="the edge does not start"))
        else:
            found.append(ok("ports", f"{address} is free; no edge is running here"))
    return found


async def _replies(config: EdgeConfig) -> list[Finding]:
    address = read_edge_address(config) or config.listen_address
    status = ""
    try:
        async with asyncio.timeout(REPLY_TIMEOUT):
            status = await _health(config, address)
    except (OSError, TimeoutError, EOFError) as error:
        said = "no reply in time" if isinstance(error, TimeoutError) else str(error)
        return [
            problem(
                "ports",
                f"the edge runs, and does not reply on {address} ({said})",
                why="neither visitors nor apps reach it",
                fix="look at its log, and whether `listen` was changed after its start",
            )
        ]
    if " 200 " not in f"{status} ":
        what = f"{address} replies {status!r}"
        fix = "look whether another program has the port, and at the edge's log"
        return [problem("ports", what, why="it takes no requests now", fix=fix)]
    return [ok("ports", f"the edge replies on {address}; firewalls in front are not seen here")]


async def _health(config: EdgeConfig, address: ListenAddress) -> str:
    """Return the first line of the reply to a request for the health page."""
    from asgi_tunnel_edge.endpoints.health import HEALTH_PATH

    context = None
    if config.tls.mode != "off":
        context = ssl.create_default_context()
        context.check_hostname = False  # whose certificate it is, another check says
        context.verify_mode = ssl.CERT_NONE
    reader, writer = await asyncio.open_connection(
        _ANY.get(address.host, address.host),
        address.port,
        ssl=context,
        server_hostname=config.domain if context is not None else None,
    )
    try:
        request = f"GET {HEALTH_PATH} HTTP/1.1\r\nHost: {config.domain}\r\nConnection: close\r\n"
        writer.write(f"{request}\r\n".encode())
        line = await reader.readline()
    finally:
        writer.close()
    return line.decode("latin-1").strip()


def check_clock(config: EdgeConfig) -> Finding:
    """Whether this machine has the time of the CA."""
    url = config.acme.directory
    try:
        difference = clock_difference(config)
    except OSError as error:
        why = getattr(error, "reason", error)
        return skipped("clock", f"not compared: {url} cannot be reached ({why})")
    if difference is None:
        return skipped("clock", f"not compared: {url} does not say what time it is")
    if abs(difference) <= CLOCK_DIFFERENCE:
        return ok("clock", f"as that of {url}")
    way = "ahead of" if difference > 0 else "behind"
    return problem(
        "clock",
        f"this machine's clock is {abs(difference):.0f} s {way} that of {url}",
        why="new certificates and tokens are judged wrongly, and a CA refuses requests",
        fix="set it: `timedatectl set-ntp true`",
    )


def check_descriptors(config: EdgeConfig) -> Finding:
    """Whether the system allows as many connections as the settings do."""
    limit = _hard_limit()
    if limit is None:
        return ok("open-files", "this system does not limit them")
    needed = config.limits.max_connections + config.limits.max_tunnels + 2 * RESERVE
    if limit >= needed:
        return ok("open-files", f"{limit} may be open, and the settings need {needed}")
    return warning(
        "open-files",
        f"{limit} files may be open for this user, and the settings need {needed}",
        why="the edge lowers max_connections and max_tunnels to what fits, and refuses more",
        fix=f"set LimitNOFILE={1 << needed.bit_length()} in the systemd unit, or lower the two",
    )


def _hard_limit() -> int | None:
    """How many files a process of this user may open; an edge takes all that it may."""
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return None
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    return None if hard == resource.RLIM_INFINITY else hard


def check_versions() -> Finding:
    """Which programs work together here."""
    beside = version("asgi-tunnel")
    if beside != __version__:
        return problem(
            "versions",
            f"asgi-tunnel-edge {__version__} and asgi-tunnel {beside}",
            why="the two are made for each other in one version only",
            fix=f"pip install asgi-tunnel=={__version__}",
        )
    python, sqlite = platform.python_version(), sqlite3.sqlite_version
    libraries = f"Python {python}, {ssl.OPENSSL_VERSION}, SQLite {sqlite}"
    return ok("versions", f"asgi-tunnel-edge {__version__}, {libraries}")
