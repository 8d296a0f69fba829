"""A visitor's connection that is end to end: its TLS is spoken by the app, and not read here.

All that is known of it is the name in its ClientHello and how many bytes pass. It has no requests,
so that guards and limits of requests, and the access log's lines for them, are not for it; bans,
lists of addresses, shares of connections, memory and slow readers are.
"""

from __future__ import annotations

import asyncio
import math
import socket
import struct
from collections.abc import Sequence
from typing import Final, cast

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.head import Arrival, RequestHead
from asgi_tunnel.tls import end_writing
from asgi_tunnel.transport import LONG_READ

from ..connections.outbox import Outbox
from ..connections.table import ConnectionTable
from ..context import EdgeContext
from ..exchange.bytes import ByteExchange, ByteLine
from ..guards import Guards
from ..route import Route
from .client_hello import Alert

__all__ = ["END_GRACE", "REFUSED_GRACE", "PassThroughConnection"]

END_GRACE: Final = 30.0
"""Seconds that a visitor may still send when the app's side has ended; counted from the last byte
that it has taken of what was sent before."""

REFUSED_GRACE: Final = 0.5
"""Seconds that a refused visitor gets to read why, and to go away."""

KEEP_ALIVE: Final = 60
"""Seconds of silence after which the system asks whether the visitor is there: nothing that could
be asked for is known of what is spoken inside."""

_NO_LINGER: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close with RST


class PassThroughConnection(ByteLine):
    """See the module; a protocol of asyncio, and a connection of the table.

    Args:
        context: Of the edge.
        table: Where connections are counted.
        guards: Know from where its hostname may be visited.
        route: Whose sessions to use.
        hostname: That the visitor asks for.
        hello: What it has sent so far.

    Attributes:
        address: Of the visitor.
    """

    __slots__ = (
        "_context",
        "_end_due",
        "_ended_taken",
        "_exchange",
        "_guards",
        "_hello",
        "_hold_due",
        "_hostname",
        "_is_reading",
        "_outbox",
        "_received",
        "_route",
        "_table",
        "_taken",
        "_transport",
        "_write_due",
        "address",
    )

    def __init__(
        self,
        context: EdgeContext,
        table: ConnectionTable,
        guards: Guards,
        route: Route,
        hostname: str,
        hello: bytes,
    ) -> None:
        self._context = context
        self._table = table
        self._guards = guards
        self._route = route
        self._hostname = hostname
        self._hello = hello
        self._transport: asyncio.Transport | None = None
        self._outbox: Outbox | None = None  # from connection_made on
        self._exchange: ByteExchange | None = None
        self._is_reading = True
        self._received = len(hello)
        self._taken = 0  # bytes that the visitor had taken when it began to be slow
        self._write_due = math.inf
        self._hold_due = math.inf
        self._end_due = math.inf
        self._ended_taken = 0  # bytes that it had taken when that was set
        self.address = ""

    # -- asyncio -----------------------------------------------------------------------------

    def as_protocol(self) -> asyncio.Protocol:
        """Return this as what asyncio's signatures name: it has its methods, and no base class."""
        return cast(asyncio.Protocol, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for an app."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._transport = transport = cast(asyncio.Transport, transport)
        self._outbox = Outbox(transport, self.resume_writing)
        _keep_alive(transport)
        peer = transport.get_extra_info("peername") or ("", 0)
        local = transport.get_extra_info("sockname") or ("", 0)
        self.address = peer[0]
        if not self.address:
            transport.abort()  # reset before it could be asked, and guards know nobody
            return
        is_denied = self._guards.denies_address(self.address, self._hostname)
        if self._table.enter(self) is not None or is_denied:
            self.refuse()
            return
        arrival = Arrival(b"https", b"1.1", peer[0].encode(), peer[1], local[0].encode(), local[1])
        request_id = self._context.next_request_id()
        head = RequestHead(b"", b"", arrival, request_id, self._hostname.encode(), [])
        self._exchange = exchange = ByteExchange(self, head, self._route, self._context.observers)
        hello, self._hello = self._hello, b""
        exchange.send_body(hello, end=False)
        exchange.start()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the stream."""
        self._transport = None
        self._table.leave(self)
        if self._outbox is not None:
            self._outbox.close()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)

    def data_received(self, data: bytes) -> None:
        """Relay."""
        self._received += len(data)
        if self._exchange is None:
            return
        self._exchange.send_body(data, end=False)
        if len(data) >= LONG_READ and self._is_reading and self._transport is not None:
            # Others first: see VisitorSocket.yield_after.
            self._transport.pause_reading()
            asyncio.get_running_loop().call_soon(self._read_on)

    def _read_on(self) -> None:
        transport = self._transport
        if self._is_reading and transport is not None and not transport.is_closing():
            transport.resume_reading()

    def eof_received(self) -> bool:
        """Relay the end of this direction; the other one goes on."""
        if self._exchange is None:
            return False
        self._exchange.send_body(b"", end=True)
        return True

    def pause_writing(self) -> None:
        """The visitor reads slower than the app writes."""
        if self._outbox is not None:
            self._outbox.pause()
            self._taken = self._outbox.taken
            self._write_due = self._context.now() + self._context.limits.body_grace

    def resume_writing(self) -> None:
        """Write on, and when nothing waits any more let the app go on."""
        self._write_due = math.inf
        if self._outbox is not None and self._outbox.resume() and self._exchange is not None:
            self._exchange.writable()

    # -- for the exchange (ByteLine) ---------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """See :class:`ByteLine`."""
        return self._outbox is not None and self._outbox.is_paused

    def write_large(self, pieces: Sequence[Buffer]) -> None:
        """See :class:`ByteLine`."""
        if self._outbox is not None:
            self._outbox.write_large(pieces)

    def end_stream(self) -> None:
        """See :class:`ByteLine`."""
        if self._transport is not None and self._outbox is not None:
            self._outbox.flush()
            end_writing(self._transport)
            self._expect_end(self._outbox)

    def pause_reading(self) -> None:
        """See :class:`ByteLine`."""
        if self._is_reading and self._transport is not None:
            self._is_reading = False
            self._transport.pause_reading()

    def resume_reading(self) -> None:
        """See :class:`ByteLine`."""
        if not self._is_reading:
            self._is_reading = True
            self._read_on()

    def hold(self) -> None:
        """See :class:`ByteLine`."""
        self._hold_due = self._context.now() + self._context.limits.hold_timeout

    def release(self) -> None:
        """See :class:`ByteLine`."""
        self._hold_due = math.inf

    def refuse(self) -> None:
        """See :class:`ByteLine`: an alert says that it is not the visitor's fault."""
        self._exchange = None
        if self._transport is not None:
            self._transport.write(Alert.encode(Alert.INTERNAL_ERROR))
            end_writing(self._transport)
            self._end_due = self._context.now() + REFUSED_GRACE
            self.resume_reading()  # a reset would take the alert away

    def close(self) -> None:
        """See :class:`ByteLine`."""
        self._exchange = None
        if self._transport is not None and self._outbox is not None:
            self._outbox.flush()
            self._transport.close()
            self._expect_end(self._outbox)

    def _expect_end(self, outbox: Outbox) -> None:
        """Nothing more is written: bound what the rest takes, and what the visitor still sends."""
        self._ended_taken = outbox.taken
        self._end_due = self._context.now() + END_GRACE

    def cut(self) -> None:
        """See :class:`ByteLine`."""
        self._exchange = None
        if self._transport is None:
            return
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            except OSError:
                pass  # already gone
        self._transport.abort()

    # -- as the table sees it (Tracked) ------------------------------------------------------

    @property
    def received(self) -> int:
        """See :class:`..connections.table.Tracked`; these are of TLS, which is not read."""
        return self._received

    @property
    def written(self) -> int:
        """See :class:`..connections.table.Tracked`."""
        return 0 if self._outbox is None else self._outbox.written

    @property
    def person(self) -> object:
        """See :class:`..connections.table.Tracked`: what the edge cannot read has no door."""
        return None

    @property
    def is_proxy(self) -> bool:
        """Nobody is believed about it: no PROXY header comes before TLS that is passed on."""
        return False

    @property
    def buffered(self) -> int:
        """Bytes that the visitor has not taken."""
        return 0 if self._outbox is None else self._outbox.held

    @property
    def stall_deadline(self) -> float:
        """When a visitor who does not take what is written is judged; infinite for who does."""
        return self._write_due

    @property
    def is_busy(self) -> bool:
        """Whether it is open: its app knows what is in progress, and ends what is idle."""
        return self._transport is not None and (self._exchange is not None or self.buffered > 0)

    @property
    def is_idle(self) -> bool:
        """Never known."""
        return False

    def check(self, now: float) -> None:
        """See :class:`..connections.table.Tracked`."""
        outbox, exchange = self._outbox, self._exchange
        if outbox is not None and exchange is not None and outbox.is_paused:
            exchange.taken_but(outbox.size)
        if now >= self._hold_due:
            self._hold_due = math.inf
            if exchange is not None:
                exchange.time_out()
        if now >= self._end_due and outbox is not None and self._transport is not None:
            if outbox.size and outbox.taken > self._ended_taken:
                self._expect_end(outbox)
            else:
                self._transport.abort()
        if now >= self._write_due and outbox is not None:
            if outbox.taken > self._taken:
                self._taken = outbox.taken
                self._write_due = now + self._context.limits.body_grace
            else:
                self._abandon(ResetCode.TIMEOUT, "visitor too slow")

    def give_way(self) -> None:
        """See :class:`..connections.table.Tracked`; it is never idle."""

    def evict(self) -> None:
        """See :class:`..connections.table.Tracked`."""
        self._abandon(ResetCode.CANCELLED, "the edge had no memory left")

    def shut_down(self) -> None:
        """See :class:`..connections.table.Tracked`: its app is told, and ends what is idle."""
        if self._hold_due < math.inf:
            self._hold_due = 0.0  # seen at the next look

    def retire(self) -> None:
        """See :class:`..connections.table.Tracked`; its app hears that its session drains."""

    def end(self) -> None:
        """See :class:`..connections.table.Tracked`."""
        self._abandon(ResetCode.CANCELLED, "the edge stops")

    def _abandon(self, code: ResetCode, why: str) -> None:
        if self._exchange is not None:
            self._exchange.abandon(code, why, 499)
        self.cut()


def _keep_alive(transport: asyncio.Transport) -> None:
    sock = transport.get_extra_info("socket")
    if sock is None:
        return
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        if hasattr(socket, "TCP_KEEPIDLE"):
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, KEEP_ALIVE)
    except OSError:
        pass  # already gone
