"""Listening sockets: one for each address, all on one port.

``::`` means every address of the machine, IPv4 and IPv6. It gets a socket of each family and no
dual-stack one: that would name IPv4 visitors ``::ffff:192.0.2.1``, in logs and in the app's scope.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import ipaddress
import socket
from collections.abc import Iterable
from typing import Final

from asgi_tunnel.transport import MAX_ROOM

__all__ = ["commit_late", "listen"]

_TRIES: Final = 8
"""Ports that are tried where any is asked for: a free one may be taken in the other family."""

_ABSENT: Final = frozenset({errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT})

_Address = tuple[socket.AddressFamily, tuple[object, ...]]  # as bind() takes it, with any port


async def listen(host: str, port: int, *, backlog: int) -> list[socket.socket]:
    """Return sockets that listen on every address of ``host``, all on the same port.

    Args:
        host: An address or a name. ``::`` takes IPv4 too. Addresses of a name that this machine
            does not have are left out, as long as it has one.
        port: 0: any port that is free for all of them.
        backlog: Connections that the system keeps until they are accepted.

    Raises:
        OSError: An address cannot be listened on; no socket stays open.
    """
    addresses, needed = await _addresses(host)
    for left in reversed(range(_TRIES)):
        try:
            return _open(addresses, needed, port, backlog)
        except OSError as error:
            if port or not left or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError


def commit_late(sockets: Iterable[socket.socket]) -> None:
    """Let the kernel hold little of what is written to the connections of listening sockets.

    Linux hands ``TCP_NOTSENT_LOWAT`` on to each connection that it accepts.

    Args:
        sockets: Listening; those that are not TCP are left alone.
    """
    if not hasattr(socket, "TCP_NOTSENT_LOWAT"):
        return
    for sock in sockets:
        if sock.family in (socket.AF_INET, socket.AF_INET6):
            with contextlib.suppress(OSError):  # it serves without, too
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NOTSENT_LOWAT, MAX_ROOM)


async def _addresses(host: str) -> tuple[list[_Address], int]:
    """Return all addresses, and how many of them this machine has to have."""
    try:
        literal = ipaddress.ip_address(host)
    except ValueError:
        literal = None
    if isinstance(literal, ipaddress.IPv6Address):
        if literal.is_unspecified:
            return [(socket.AF_INET6, ("::", 0)), (socket.AF_INET, ("0.0.0.0", 0))], 1  # noqa: S104
        host = str(literal.ipv4_mapped or host)
    found = await asyncio.get_running_loop().getaddrinfo(
        host, None, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )
    unique = dict.fromkeys((family, address) for family, _, _, _, address in found)
    return list(unique), 1 if len(unique) == 1 else 0


def _open(addresses: list[_Address], needed: int, port: int, backlog: int) -> list[socket.socket]:
    sockets: list[socket.socket] = []
    absent: OSError | None = None
    try:
        for at, (family, address) in enumerate(addresses):
            try:
                sock = _open_one(family, (address[0], port, *address[2:]), backlog)
            except OSError as error:
                if at < needed or error.errno not in _ABSENT:
                    raise
                absent = error
                continue
            sockets.append(sock)
            port = int(sock.getsockname()[1])
        if absent is not None and not sockets:
            raise absent
    except OSError:
        for sock in sockets:
            sock.close()
        raise
    return sockets


def _open_one(
    family: socket.AddressFamily, address: tuple[object, ...], backlog: int
) -> socket.socket:
    sock = socket.socket(family, socket.SOCK_STREAM)
    try:
        sock.setblocking(False)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind(address)
        sock.listen(backlog)
    except OSError:
        sock.close()
        raise
    return sock
