"""The names of a certificate in their one form: hostnames, wildcards and IP addresses. Pure."""

from __future__ import annotations

import ipaddress
from typing import TYPE_CHECKING

from asgi_tunnel_edge.errors import AcmeError
from asgi_tunnel_edge.hostname import normalise_hostname

from .messages import MAX_IDENTIFIERS, Identifier

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["base_name", "identifier", "is_address", "normal_names"]


def normal_names(names: Iterable[str]) -> tuple[str, ...]:
    """The names of one certificate, each once, sorted: what an order is known by.

    Raises:
        AcmeError: There is none, or there are too many.
        HostnameError: One of them is no name.
    """
    normal = sorted({_normal(name) for name in names})
    if not 1 <= len(normal) <= MAX_IDENTIFIERS:
        sentence = (
            f"a certificate is for 1 to {MAX_IDENTIFIERS} names, not for {len(normal)}; "
            "give fewer, or a wildcard"
        )
        raise AcmeError(sentence)
    return tuple(normal)


def identifier(name: str) -> Identifier:
    """A name as ACME sends it (RFC 8555 section 7.1.4, RFC 8738)."""
    return Identifier(type="ip" if is_address(name) else "dns", value=name)


def base_name(name: str) -> str:
    """A name without its ``*.``."""
    return name.removeprefix("*.")


def is_address(name: str) -> bool:
    """Is it an IP address?"""
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _normal(name: str) -> str:
    if is_address(name):
        return str(ipaddress.ip_address(name))
    return normalise_hostname(name, wildcard=True)
