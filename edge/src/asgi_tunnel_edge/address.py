"""Under which addresses an edge is reached: by connectors (in tokens) and by visitors (in links).

A running edge that was given port 0 writes the port it got to ``DIR/edge.address``, so that
``token create`` can name it.
"""

from __future__ import annotations

import contextlib
import ipaddress
import socket
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Final

from .errors import EdgeConfigError
from .files import PRIVATE, write_atomically
from .settings.config import ListenAddress, parse_listen, parse_public_url
from .settings.dashboard import LOCAL_NAME

if TYPE_CHECKING:
    from .settings.config import EdgeConfig

__all__ = [
    "PublicAddress",
    "door_url",
    "group_of",
    "is_loopback",
    "networks_of",
    "plain_address",
    "public_address",
    "read_edge_address",
    "remove_edge_address",
    "write_edge_address",
]

_MAPPED: Final = bytes(10) + b"\xff\xff"  # ::ffff:0:0/96, how IPv4 looks on an IPv6 socket


@dataclass(frozen=True, slots=True, kw_only=True)
class PublicAddress:
    """The outside of an edge."""

    secure: bool  #: https and wss
    host: str  #: what connectors dial, without brackets
    port: int

    @property
    def edge_url(self) -> str:
        """What a token carries: ``wss://example.org``; a default port is left out."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{'wss' if self.secure else 'ws'}://{host}{self._port}"

    def visitor_url(self, hostname: str) -> str:
        """Where visitors find a hostname: ``https://shop.example.org``."""
        return f"{'https' if self.secure else 'http'}://{hostname}{self._port}"

    @property
    def _port(self) -> str:
        return "" if self.port == (443 if self.secure else 80) else f":{self.port}"


def door_url(config: EdgeConfig, hostname: str) -> str:
    """Where people find a hostname that has a door; the dashboard may have a port of its own.

    Args:
        config: Of the edge.
        hostname: One of ``config.own_hostnames``.
    """
    own = config.dashboard_address
    if own is not None and hostname == LOCAL_NAME and hostname not in config.hostnames:
        return f"http://{hostname}:{own.port}"
    return public_address(config).visitor_url(hostname)


def public_address(config: EdgeConfig) -> PublicAddress:
    """Where this edge is reached.

    ``public_url`` decides where it is set. Otherwise it is the listener's port, at the domain; or
    at the listener's own address when that is loopback, for nothing else leads there. (Not with
    ``tls.mode`` "files" and "acme": such a certificate names the domain.)

    Raises:
        EdgeConfigError: The port is 0 and no running edge says which one it has.
    """
    if config.public_url is not None:
        scheme, host, port = parse_public_url(config.public_url, setting="public_url")
        return PublicAddress(secure=scheme == "https", host=host, port=port)
    listen = config.listen_address
    port = listen.port
    if port == 0:
        running = read_edge_address(config)
        if running is None:
            why = "port 0 is chosen when the edge starts, and it is not running"
            fix = f"start it first with `asgi-tunnel-edge run --data {config.data_dir}`"
            raise EdgeConfigError("listen", why, fix, file="edge.toml")
        port = running.port
    at_listener = is_loopback(listen.host) and config.tls.mode not in ("files", "acme")
    return PublicAddress(
        secure=config.tls.mode != "off",
        host=listen.host if at_listener else config.domain,
        port=port,
    )


def write_edge_address(config: EdgeConfig, address: ListenAddress) -> None:
    """Say where the listener really is; a running edge does this once it listens.

    Raises:
        OSError: The directory cannot be written.
    """
    write_atomically(config.address_path, f"{address}\n".encode(), mode=PRIVATE)


def read_edge_address(config: EdgeConfig) -> ListenAddress | None:
    """Where the running edge listens; None when none runs (or none has written it yet)."""
    try:
        text = config.address_path.read_text("ascii")
        address = parse_listen(text.strip(), setting="edge.address")
    except (OSError, UnicodeDecodeError, EdgeConfigError):
        return None
    return address if address.port else None


def remove_edge_address(config: EdgeConfig) -> None:
    """Take ``edge.address`` away; a stopping edge does this."""
    with contextlib.suppress(OSError):
        config.address_path.unlink()


def is_loopback(host: str) -> bool:
    """Does a listener at this host take connections from this machine only?"""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def group_of(address: str) -> str:
    """Return what an address is counted as: itself, or its /64 for IPv6."""
    return networks_of(address)[0]


@lru_cache(maxsize=4096)
def networks_of(address: str) -> tuple[str, ...]:
    """Return what an address is counted as, from the narrowest to the widest.

    IPv4: the address. IPv6: its /64, which one device has, its /56, which one household has, and
    its /48, which one customer of a data centre has.
    """
    if ":" not in address:
        return (address,)
    try:
        packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    except (OSError, ValueError):
        return (address,)
    if packed[:12] == _MAPPED:
        return (socket.inet_ntop(socket.AF_INET, packed[12:]),)
    # By the socket module: 1.5 us, where ipaddress takes 15; each new visitor pays for it.
    return (
        socket.inet_ntop(socket.AF_INET6, packed[:8] + bytes(8)) + "/64",
        socket.inet_ntop(socket.AF_INET6, packed[:7] + bytes(9)) + "/56",
        socket.inet_ntop(socket.AF_INET6, packed[:6] + bytes(10)) + "/48",
    )


def plain_address(text: str) -> str | None:
    """Return an address in its one spelling, an IPv4 one without its IPv6 clothes; else None.

    Zones (``fe80::1%eth0``) mean something on one machine only, so they are taken off.
    """
    try:
        parsed = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    mapped = parsed.ipv4_mapped if isinstance(parsed, ipaddress.IPv6Address) else None
    return str(mapped or parsed)
