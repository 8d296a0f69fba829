"""Addresses and networks as numbers: parsed once, looked up in well under a microsecond.

IPv4 and IPv6 share one space of 129 bits: an IPv6 address is its own number, an IPv4 address
stands in the upper 32 bits with one more bit in front. A network is then a number and how many
low bits do not count; no IPv6 network holds an IPv4 address. Used by the settings, the store's
bans and the guards.
"""

from __future__ import annotations

import ipaddress
import socket
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from .errors import EdgeConfigError, shown

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["NO_NUMBER", "Networks", "normalise_network", "number_of", "overlap"]

NO_NUMBER: Final = -1
"""The number of what is no IP address (a UNIX socket's peer): in no network."""

_BITS: Final = 128
_V4: Final = 1 << _BITS
_MAPPED: Final = 0xFFFF << 32  # ::ffff:0:0/96, how IPv4 looks on an IPv6 socket


@lru_cache(maxsize=4096)
def number_of(address: str) -> int:
    """Return the number of an address as a socket spells it; ``NO_NUMBER`` when it is none."""
    try:
        if ":" not in address:
            packed = socket.inet_pton(socket.AF_INET, address)
            return _V4 | int.from_bytes(packed) << 96
        number = int.from_bytes(socket.inet_pton(socket.AF_INET6, address.partition("%")[0]))
    except (OSError, ValueError):
        return NO_NUMBER
    if number >> 32 << 32 == _MAPPED:
        return _V4 | (number & 0xFFFFFFFF) << 96
    return number


def normalise_network(text: str, *, setting: str, file: str | None = None) -> str:
    """Give an address or a network its one spelling.

    An IPv6 address alone becomes its /64: that is what one visitor has. Bits behind the prefix
    are cleared.

    Args:
        text: ``203.0.113.7``, ``203.0.113.0/24``, ``2001:db8::1`` or ``2001:db8::/32``.
        setting: The name of the setting or argument, for the error.
        file: The file it stands in; None for an option.

    Raises:
        EdgeConfigError: It is something else.
    """
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        why = f"expected an IP address or a network, got {shown(text)}"
        fix = "write for example 203.0.113.7, 203.0.113.0/24 or 2001:db8::/32"
        raise EdgeConfigError(setting, why, fix, file=file) from None
    if network.version == 4:
        return str(network.network_address) if network.prefixlen == 32 else str(network)
    mapped = network.network_address.ipv4_mapped
    if mapped is not None and network.prefixlen >= 96:
        plain = f"{mapped}/{network.prefixlen - 96}"
        return normalise_network(plain, setting=setting, file=file)
    if "/" not in text:
        network = network.supernet(new_prefix=64)
    return str(network)


def overlap(one: str, other: str) -> bool:
    """Whether two networks, as :func:`normalise_network` spells them, share an address."""
    first, second = ipaddress.ip_network(one), ipaddress.ip_network(other)
    return first.version == second.version and first.overlaps(second)


class Networks:
    """Networks, each with the time until which it counts.

    Args:
        items: Normal networks (:func:`normalise_network`) and times; ``math.inf`` is for ever.
    """

    __slots__ = ("_tables",)

    def __init__(self, items: Iterable[tuple[str, float]] = ()) -> None:
        tables: dict[int, dict[int, float]] = {}
        for text, until in items:
            address, _, prefix = text.partition("/")
            # A single IPv4 address is a /32, a single IPv6 address does not occur.
            shift = _BITS - int(prefix or 32)
            table = tables.setdefault(shift, {})
            key = number_of(address) >> shift
            table[key] = max(until, table.get(key, until))
        self._tables = tuple(tables.items())  # one for each length: few, however many networks

    def find(self, number: int, now: float) -> float | None:
        """Return until when a network that holds this address counts, or None."""
        if number != NO_NUMBER:
            for shift, table in self._tables:
                until = table.get(number >> shift)
                if until is not None and until > now:
                    return until
        return None
