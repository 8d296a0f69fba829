"""UDP and TCP for the delegated zone, usually on port 53.

It has the sockets and their bounds; ``zone`` decides what is replied. Who sends over UDP may not be
who the packet says: replies are small, and who asks too fast gets truncated ones, which an honest
resolver repeats over TCP, or none (as BIND's response rate limiting with ``slip 2``).

UDP replies leave from the address that the query came to, also where the machine has several: a
resolver drops any other.
"""

from __future__ import annotations

import asyncio
import errno
import ipaddress
import logging
import socket
import struct
import sys
import time
from collections.abc import Callable, Sequence
from typing import Final

from ...errors import CertificateError
from ...shares.ledger import Allowance, Ledger
from ...shares.pool import FairPool
from .addresses import own_addresses
from .wire import HEADER_SIZE, MAX_QUERY
from .zone import Zone

__all__ = ["DNSServer"]

RESPONSES: Final = Allowance(20.0, 100)
"""UDP replies to one network (IPv4 /24; IPv6 /56, and four times as many to a /48). A CA looks from
five places at a time, each with a handful of queries; BIND's manual proposes 5 to 15 a second."""

MAX_RATE: Final = 2000
"""UDP queries a second that one socket reads, of all senders: a tenth of a core. The kernel drops
more."""

TURN: Final = 0.05
"""Seconds for which the rate above is measured."""

MAX_CONNECTIONS: Final = 64
"""TCP connections in all; above it the oldest of the network that has the most is closed. TCP is
for truncated replies and for resolvers that were slowed down."""

SHARES: Final = (8, 16)
"""TCP connections of one network (IPv4 /24; IPv6 /56), and of one /48; the oldest goes first."""

IDLE_TIMEOUT: Final = 10.0
"""Seconds between two queries of a connection (RFC 7766 section 6.2.3: a few), and for one to come
or a reply to be taken."""

MAX_QUERIES: Final = 128
"""Queries of one TCP connection; then it is closed."""

_BACKLOG: Final = 64
_TRIES: Final = 8  # ports that are tried where any is asked for
_READ: Final = MAX_QUERY + 1  # bytes of a datagram: one that is longer is seen to be
_ANCILLARY: Final = 64  # bytes: one in_pktinfo or in6_pktinfo with its header
_WRITE_HIGH: Final = 16384  # bytes of replies that a connection has not taken before it has to

# Linux has had IP_PKTINFO always, Python from 3.14 on.
_IP_PKTINFO: Final[int | None] = getattr(
    socket, "IP_PKTINFO", 8 if sys.platform == "linux" else None
)

_Pair = tuple[socket.socket, socket.socket]  # UDP and TCP

_log = logging.getLogger("asgi_tunnel_edge.dns")


class DNSServer:
    """Answers for one zone on the addresses that it listens on.

    Args:
        zone: Decides what is replied.
        clock: Monotonic seconds.

    Attributes:
        sockets: Those that it listens on, UDP and TCP by turns.
    """

    def __init__(self, zone: Zone, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._zone = zone
        self._clock = clock
        self._ledger = Ledger(RESPONSES)
        self.sockets: list[socket.socket] = []
        self._udp: list[_UDPSocket] = []
        self._tcp: list[asyncio.Server] = []
        self._connections: FairPool[asyncio.Task[None]] = FairPool(
            MAX_CONNECTIONS, SHARES, replaces_own=True
        )

    async def start(self, host: str, port: int, *, opened: Sequence[socket.socket] = ()) -> int:
        """Listen on UDP and TCP; may be called for several addresses.

        Args:
            host: An address of this machine. ``::`` takes IPv4 too, where there is IPv6. Where
                not all addresses are free, as beside systemd-resolved, ``::`` and ``0.0.0.0`` mean
                those that this machine sends from.
            port: 0: any port that is free for both.
            opened: The sockets of another process for the same address, UDP and TCP by turns; they
                are used in place of new ones.

        Returns:
            The port.

        Raises:
            CertificateError: The address cannot be listened on; the sentence says what to do. No
                socket stays open.

        Cancellation closes what was opened by this call.
        """
        try:
            pairs = list(zip(opened[::2], opened[1::2], strict=True)) or _open_all(host, port)
        except (OSError, ValueError) as error:
            raise CertificateError(_why_not(host, port, error)) from error
        servers = []
        try:
            for _, tcp in pairs:
                servers.append(
                    await asyncio.start_server(self._serve, sock=tcp, limit=MAX_QUERY + 2)
                )
        except BaseException:
            for server in servers:
                server.close()
            for sock in (sock for pair in pairs for sock in pair):
                sock.close()
            raise
        self.sockets += [sock for pair in pairs for sock in pair]
        self._tcp.extend(servers)
        self._udp.extend(_UDPSocket(udp, self._reply_to, self._clock) for udp, _ in pairs)
        return int(pairs[0][0].getsockname()[1])

    async def stop(self) -> None:
        """Close everything; replies in progress are lost, and resolvers ask again."""
        for udp in self._udp:
            udp.close()
        for server in self._tcp:
            server.close()
        tasks = list(self._connections)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self.sockets.clear()
        self._udp.clear()
        self._tcp.clear()

    def _reply_to(self, query: bytes, address: str) -> bytes | None:
        """The reply to a datagram; None where there is none."""
        now = self._clock()
        path = _networks_of(address)
        wait = self._ledger.wait(path, now)
        self._ledger.add(path, now)
        if wait <= 0:
            return self._zone.answer(query, tcp=False)
        # Every second query; its id is as good as a coin.
        return self._zone.truncated(query) if len(query) > 1 and query[1] & 1 else None

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One TCP connection, from its start to its end; its task is that of the stream."""
        task = asyncio.current_task()
        peer = writer.get_extra_info("peername")
        assert task is not None
        try:
            if peer is None:
                return
            entry = self._connections.enter(task, _networks_of(peer[0]))
            if entry.victim is not None:
                entry.victim.cancel()
            if entry.refused is None:
                writer.transport.set_write_buffer_limits(_WRITE_HIGH)
                await self._converse(reader, writer)
        except (OSError, EOFError, TimeoutError):
            pass  # the other side has left, or is too slow
        except asyncio.CancelledError:
            # By this class alone, in the place of another connection or at the end. asyncio would
            # log it as an error of the stream, so it ends here.
            writer.transport.abort()
        finally:
            self._connections.leave(task)
            writer.close()

    async def _converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Reply to the queries of a connection, in their order (RFC 7766)."""
        for _ in range(MAX_QUERIES):
            async with asyncio.timeout(IDLE_TIMEOUT):
                size = int.from_bytes(await reader.readexactly(2))
                if not HEADER_SIZE <= size <= MAX_QUERY:
                    return
                query = await reader.readexactly(size)
                reply = self._zone.answer(query, tcp=True)
                if reply is None:
                    return
                writer.write(len(reply).to_bytes(2) + reply)
                await writer.drain()


class _UDPSocket:
    """Reads the datagrams of one socket, no faster than ``MAX_RATE``, and sends replies.

    asyncio's datagram transport can neither pause nor say which address a datagram came to.
    """

    def __init__(
        self,
        sock: socket.socket,
        reply_to: Callable[[bytes, str], bytes | None],
        clock: Callable[[], float],
    ) -> None:
        self._sock = sock
        self._reply_to = reply_to
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._turn_end = 0.0
        self._left = 0
        self._timer: asyncio.TimerHandle | None = None
        self._loop.add_reader(sock, self._on_readable)

    def close(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._loop.remove_reader(self._sock)
        self._sock.close()

    def _on_readable(self) -> None:
        now = self._clock()
        if now >= self._turn_end:
            self._turn_end = now + TURN
            self._left = int(MAX_RATE * TURN)
        if not self._left:
            self._loop.remove_reader(self._sock)
            self._timer = self._loop.call_later(self._turn_end - now, self._resume)
            return
        self._left -= 1
        try:
            query, ancillary, _, peer = self._sock.recvmsg(_READ, _ANCILLARY)
            reply = self._reply_to(query, peer[0]) if peer[1] else None  # port 0 cannot be sent to
            if reply is not None:
                self._sock.sendmsg([reply], _source(ancillary), 0, peer)
        except OSError as error:  # the buffer is full, or the way back is closed: ask again
            _log.debug("a reply was not sent: %s", error)

    def _resume(self) -> None:
        self._timer = None
        self._loop.add_reader(self._sock, self._on_readable)


def _source(ancillary: list[tuple[int, int, bytes]]) -> list[tuple[int, int, bytes]]:
    """The ancillary data that makes a reply leave from the address that the query came to."""
    for level, kind, data in ancillary:
        if level == socket.IPPROTO_IPV6 and kind == socket.IPV6_PKTINFO:
            return [(level, kind, data)]
        if level == socket.IPPROTO_IP and kind == _IP_PKTINFO:
            # struct in_pktinfo: interface, local address, destination. Interface 0: by the routes.
            return [(level, kind, struct.pack("@I4s4s", 0, data[4:8], bytes(4)))]
    return []


def _networks_of(address: str) -> tuple[str, ...]:
    """What an address is counted as: an attack means a network, and one host can send as any."""
    if ":" not in address:
        return (address.rpartition(".")[0],)
    packed = socket.inet_pton(socket.AF_INET6, address.partition("%")[0])
    return packed[:7].hex(), packed[:6].hex()


def _open_all(host: str, port: int) -> list[_Pair]:
    """Sockets for ``host``; see :meth:`DNSServer.start`.

    Raises:
        OSError: An address cannot be listened on; no socket stays open.
        ValueError: ``host`` is no address.
    """
    address = ipaddress.ip_address(host)
    hosts = [str(address)]
    if address.version == 6 and address.is_unspecified:
        hosts = ["::", "0.0.0.0"]  # noqa: S104
    try:
        return _open(hosts, port)
    except OSError as error:
        if error.errno != errno.EADDRINUSE or not address.is_unspecified:
            raise
        hosts = [one for one in own_addresses() if address.version == 6 or ":" not in one]
        if not hosts:
            raise
        pairs = _open(hosts, port)
    _log.info("another program has port %d on some address; DNS is on %s", port, ", ".join(hosts))
    return pairs


def _open(hosts: Sequence[str], port: int) -> list[_Pair]:
    """Sockets for each address, all on one port."""
    for left in reversed(range(_TRIES)):
        opened: list[socket.socket] = []
        chosen = port
        try:
            for host in hosts:
                try:
                    for kind in (socket.SOCK_DGRAM, socket.SOCK_STREAM):
                        opened.append(_open_one(host, chosen, kind))
                        chosen = int(opened[-1].getsockname()[1])
                except OSError as error:
                    # A kernel without IPv6: `::` is then every IPv4 address.
                    if len(hosts) == 1 or host != "::" or error.errno != errno.EAFNOSUPPORT:
                        raise
            return list(zip(opened[::2], opened[1::2], strict=True))
        except OSError as error:
            for sock in opened:
                sock.close()
            if port or not left or error.errno != errno.EADDRINUSE:
                raise
    raise AssertionError


def _open_one(host: str, port: int, kind: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, kind)
    try:
        sock.setblocking(False)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        if kind == socket.SOCK_STREAM:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        elif family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_RECVPKTINFO, 1)
        elif _IP_PKTINFO is not None:
            sock.setsockopt(socket.IPPROTO_IP, _IP_PKTINFO, 1)
        sock.bind((host, port))
        if kind == socket.SOCK_STREAM:
            sock.listen(_BACKLOG)
    except OSError:
        sock.close()
        raise
    return sock


def _why_not(host: str, port: int, error: OSError | ValueError) -> str:
    """One sentence: what cannot be listened on, why, and what to do."""
    where = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
    what = f"cannot answer DNS on {where}"
    if not isinstance(error, OSError):
        return f"{what} ({host} is no IP address); write for example 0.0.0.0:53 or [::]:53"
    if error.errno == errno.EADDRINUSE:
        fix = (
            f"another program has the port: see which one with `ss -lptun 'sport = :{port}'`, and "
            "end it or choose another address; for systemd-resolved set DNSStubListener=no in "
            "/etc/systemd/resolved.conf and restart it"
        )
    elif error.errno in (errno.EACCES, errno.EPERM):
        fix = (
            "ports below 1024 need a right; add AmbientCapabilities=CAP_NET_BIND_SERVICE to the "
            "service, or listen on another port and redirect port 53 to it, UDP and TCP"
        )
    elif error.errno == errno.EADDRNOTAVAIL:
        fix = "this machine does not have the address; see those it has with `ip address`"
    else:
        fix = "see the error in front, and choose another address or port"
    return f"{what} ({error.strerror}); {fix}"
