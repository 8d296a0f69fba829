"""What an edge with certificates from a CA needs of its surroundings: DNS, ports, clock, the CA.

Called by ``init``, which prints what is missing and what mends it. Nothing here changes anything.
"""

from __future__ import annotations

import asyncio
import ssl
import time
import urllib.request
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Final

from asgi_tunnel_edge.certificates.dns.addresses import public_addresses
from asgi_tunnel_edge.certificates.dns.lookup import Lookup
from asgi_tunnel_edge.certificates.dns.records import Plan, check_records, render
from asgi_tunnel_edge.errors import EdgeConfigError
from asgi_tunnel_edge.listeners.advice import listen_advice
from asgi_tunnel_edge.listeners.sockets import listen
from asgi_tunnel_edge.running import has_running_edge
from asgi_tunnel_edge.settings.config import EdgeConfig, ListenAddress, parse_listen

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["CLOCK_DIFFERENCE", "clock_difference", "port_problem", "report", "wanted_ports"]

_BEHIND_NAT: Final = (
    "This machine has no public address of its own: write the one that visitors reach it by into "
    "the records, and forward the ports to it."
)

CA_TIMEOUT: Final = 10.0
"""Seconds for the CA's directory."""

CLOCK_DIFFERENCE: Final = 60.0
"""Seconds that this machine's clock may differ from the CA's: signed requests and certificates that
were just issued are refused beyond some minutes."""


def report(config: EdgeConfig) -> str:
    """Look at everything, and return what there is and what to do; takes half a minute at most."""
    zone = config.acme_zone if config.acme.dns == "zone" else ""
    servers = tuple(config.acme.zone_servers or (config.domain,)) if zone else ()
    addresses = public_addresses()
    plan = Plan(domain=config.domain, addresses=addresses, zone=zone, servers=servers)
    findings = asyncio.run(check_records(plan, Lookup()))
    lines = ["DNS records to make where the domain is registered:", "", render(findings), ""]
    if not addresses:
        lines += [_BEHIND_NAT, ""]
    own = _own_ports(config)
    problems = [*_port_problems(config, own), *_ca_problems(config)]
    if own:
        lines.append(f"This edge is running, and has {', '.join(map(str, own))} itself.")
    lines += problems or ["Ports, clock and the CA are ready."]
    return "\n".join([*lines, ""])


def _own_ports(config: EdgeConfig) -> list[ListenAddress]:
    """The ports that an edge has which runs in this folder already."""
    if not has_running_edge(config.data_dir):
        return []
    try:
        return wanted_ports(EdgeConfig.load(config.data_dir))
    except EdgeConfigError:  # what it runs with is not known
        return []


def wanted_ports(config: EdgeConfig) -> list[ListenAddress]:
    """Every address that an edge listens on."""
    wanted = [config.listen_address]
    if config.http_address is not None:
        wanted.append(config.http_address)
    if config.acme.dns == "zone":
        wanted.append(parse_listen(config.acme.dns_listen, setting="acme.dns_listen"))
    return wanted


def _port_problems(config: EdgeConfig, own: Sequence[ListenAddress]) -> list[str]:
    """Why a port that the edge needs cannot be had."""
    found = [asyncio.run(port_problem(one)) for one in wanted_ports(config) if one not in own]
    return [one for one in found if one]


async def port_problem(address: ListenAddress) -> str:
    """Why an address cannot be listened on, and what to do; empty where it can."""
    try:
        for sock in await listen(address.host, address.port, backlog=1):
            sock.close()
    except OSError as error:
        return f"{address} cannot be listened on now ({error.strerror}): " + listen_advice(
            error, address
        )
    return ""


def _ca_problems(config: EdgeConfig) -> list[str]:
    """Whether the CA can be reached, and has the same time."""
    try:
        difference = clock_difference(config)
    except OSError as error:
        why = getattr(error, "reason", error)
        url = config.acme.directory
        return [f"the CA at {url} cannot be reached ({why}): look at this machine's network"]
    if difference is None:
        return []
    if abs(difference) > CLOCK_DIFFERENCE:
        way = "ahead of" if difference > 0 else "behind"
        seconds = f"{abs(difference):.0f} s {way} the CA's"
        return [f"this machine's clock is {seconds}: set it, `timedatectl set-ntp true`"]
    return []


def clock_difference(config: EdgeConfig) -> float | None:
    """By how many seconds this machine's clock is ahead of the CA's; None: it does not say.

    Raises:
        OSError: The CA cannot be reached; its ``reason``, where there is one, says more.
    """
    url, root = config.acme.directory, config.acme_root_path
    context = ssl.create_default_context(cafile=None if root is None else str(root))
    try:
        with urllib.request.urlopen(url, timeout=CA_TIMEOUT, context=context) as response:  # noqa: S310 - https, as checked
            said = response.headers.get("date", "")
    except ValueError as error:
        raise OSError(str(error)) from error
    try:
        return time.time() - parsedate_to_datetime(said).timestamp()
    except ValueError:
        return None
