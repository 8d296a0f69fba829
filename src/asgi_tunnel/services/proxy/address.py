"""Decides which addresses a service may have, and pins them.

A name is looked up once, when the service is configured; what it leads to later is not asked.  So
a name whose owner changes its address cannot lead requests to another machine (DNS rebinding).
"""

from __future__ import annotations

import asyncio
import ipaddress
import re
import socket
from collections.abc import Iterable
from typing import Final

from ...errors import ConfigError

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

LOOKUP_TIMEOUT: Final = 5.0
"""Seconds for a name of the table: a resolver gives up on its first server after five."""

MAX_ADDRESSES: Final = 8
"""Addresses that are kept of one name: a service has one, or one of each family."""

_METADATA: Final = frozenset(
    ipaddress.ip_address(one)
    for one in ("100.100.100.200", "168.63.129.16", "192.0.0.192", "fd00:ec2::254", "fd20:ce::254")
)
"""Where clouds hand out credentials to whoever asks from the machine, beside 169.254.0.0/16."""

_NAT64: Final = ipaddress.ip_network("64:ff9b::/96")
_SHARED: Final = ipaddress.ip_network("100.64.0.0/10")  # RFC 6598: home networks, Tailscale

_NUMBER: Final = re.compile(r"(?:0[xX][0-9a-fA-F]*|[0-9]+)").fullmatch
_NAME: Final = re.compile(r"[A-Za-z0-9_](?:[A-Za-z0-9_.-]{0,251}[A-Za-z0-9_.])?").fullmatch


def read_host(host: str, setting: str) -> Address | None:
    """Read a host: an address, or None for a name, which has to be looked up.

    Args:
        host: Without brackets.
        setting: The key it stands in.

    Raises:
        ConfigError: It is neither; or it is an address in another spelling, which programs read in
            different ways (``0x7f.1``, ``2130706433``, ``0177.0.0.1``).
    """
    try:
        return ipaddress.ip_address(host)
    except ValueError:
        pass
    if _NUMBER(host.rstrip(".").rpartition(".")[2]):
        raise ConfigError(
            setting,
            f"has the host {host!r}, an address in an unusual spelling",
            "write four decimal numbers without leading zeros, such as 127.0.0.1",
        )
    if not _NAME(host):
        raise ConfigError(
            setting,
            f"has the host {host[:80]!r}, which is no name and no address",
            "write it like http://127.0.0.1:8096",
        )
    return None


def check_address(address: Address, setting: str, *, allow_public: bool) -> None:
    """See that a service may be at an address.

    Raises:
        ConfigError: It is one that is never a service; or it is public, and that was not allowed.
    """
    address = embedded(address)
    if (
        address.is_link_local
        or address.is_multicast
        or address.is_unspecified
        or address in _METADATA
        or address == ipaddress.ip_address("255.255.255.255")
    ):
        raise ConfigError(
            setting,
            f"leads to {address}, where clouds keep a machine's secrets or where no service is",
            "name the address of the service itself",
        )
    if allow_public or address.is_loopback or address.is_private or address in _SHARED:
        return
    raise ConfigError(
        setting,
        f"leads to {address}, which is not in your own network",
        "name a service on this machine or in its network, or add allow_public = true",
    )


def embedded(address: Address) -> Address:
    """Return the IPv4 address that an IPv6 address stands for, else the address itself."""
    if isinstance(address, ipaddress.IPv4Address):
        return address
    found = address.ipv4_mapped or address.sixtofour
    if found is None and address.teredo is not None:
        found = address.teredo[1]
    if found is None and address in _NAT64:
        found = ipaddress.IPv4Address(int(address) & 0xFFFF_FFFF)
    if found is None and 1 < int(address) < 1 << 32:  # ::127.0.0.1, RFC 4291 section 2.5.5.1
        found = ipaddress.IPv4Address(int(address))
    return address if found is None else found


def check_addresses(found: Iterable[str], setting: str, *, allow_public: bool) -> list[str]:
    """Return the addresses of a name, all checked.

    Raises:
        ConfigError: One of them is refused: a name that leads to several places is not trusted in
            part, because which of them is dialed would be chance.
    """
    kept: list[str] = []
    for one in found:
        check_address(
            ipaddress.ip_address(one.partition("%")[0]), setting, allow_public=allow_public
        )
        if one not in kept and len(kept) < MAX_ADDRESSES:
            kept.append(one)
    return kept


async def look_up(host: str, port: int, setting: str, *, allow_public: bool) -> list[str]:
    """Return the addresses of a name.

    Raises:
        ConfigError: The name leads to an address that is refused.
        OSError: It has no address now; TimeoutError included.

    Cancelling it is safe.
    """
    loop = asyncio.get_running_loop()
    async with asyncio.timeout(LOOKUP_TIMEOUT):
        found = await loop.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    addresses = [str(entry[4][0]) for entry in found]
    return check_addresses(addresses, setting, allow_public=allow_public)
