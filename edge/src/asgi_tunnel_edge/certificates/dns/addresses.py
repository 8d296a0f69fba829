"""Which addresses this machine has towards the outside."""

from __future__ import annotations

import ipaddress
import socket

__all__ = ["own_addresses", "public_addresses"]


def own_addresses() -> tuple[str, ...]:
    """The addresses that this machine sends from, one of each family at the most.

    Behind a NAT these are private ones. Sends nothing and never blocks: the kernel chooses an
    address for a route.
    """
    found = []
    # Of documentation networks (RFC 5737, RFC 3849); any address outside would do.
    for family, far in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        try:
            with socket.socket(family, socket.SOCK_DGRAM) as sock:
                sock.connect((far, 53))
                found.append(str(sock.getsockname()[0]))
        except OSError:
            continue  # no such family, or no route
    return tuple(found)


def public_addresses() -> tuple[str, ...]:
    """Those of :func:`own_addresses` that others can reach; empty behind a NAT."""
    return tuple(one for one in own_addresses() if ipaddress.ip_address(one).is_global)
