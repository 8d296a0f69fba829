"""Accepts connections on a TLS port, with a bounded number before the end of their handshake.

A storm of reconnecting apps and visitors would otherwise start thousands of handshakes, each of
which then ends too late. Who is turned away, and a connection whose peer has already gone, costs
no handshake, and neither does one that stays silent. Above the bound the oldest of the address
group that has the most is ended for a new one: silent connections of one address cannot keep the
others out. Who speaks HTTP without TLS is told so; it stays among the handshakes until it has read
that.

The ClientHello is read here, and what it asks for decides: TLS with one of the edge's certificates,
its bytes passed on as they are, or an alert. Which it is, is the business of whoever made the edge.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from typing import TYPE_CHECKING, Final, NamedTuple

from asgi_tunnel.tls import TLSLayer

from ..address import networks_of
from ..counts import HANDSHAKE_RESULTS
from ..shares.pool import FairPool
from .accepting import ListeningSockets
from .client_hello import (
    MAX_CLIENT_HELLO,
    Alert,
    ClientHello,
    ClientHelloError,
    ClientHelloReader,
)

if TYPE_CHECKING:
    import ssl
    from collections.abc import Callable, Sequence

    from ..connections.limiter import ConnectionLimiter
    from ..descriptors import DescriptorWatch

__all__ = ["PassThrough", "TLSAcceptor", "Terminate"]

_log = logging.getLogger("asgi_tunnel_edge.listeners")

MAX_HANDSHAKES: Final = 512
"""Handshakes in progress at one time: at 1 ms of a core each, the last one waits 0.5 s; at 50 KiB
each, they hold 25 MB."""

HANDSHAKE_SHARES: Final = (256, 320, 384)
"""Handshakes of one address (IPv6: of one /64), one /56 and one /48; its oldest one is ended for
its newest. What comes at once from behind one address has to fit in: with a share of 64, and 256
visitors who came again at once when they were ended, each ended the others and nobody was served
(23,458 connections in 3 s)."""

HANDSHAKE_TIMEOUT: Final = 5.0
"""Seconds for the ClientHello, and as many for the rest of the handshake: it takes two round trips,
half of one holds memory."""

REFUSED_LINGER: Final = 2.0
"""Seconds that a refused connection is read and dropped, so that what it is told is not lost to a
reset."""

REFUSED_BYTES: Final = 256 * 1024
"""Bytes that are dropped so, at most."""

_LETTERS: Final = frozenset(b"ABCDEFGHIJKLMNOPQRSTUVWXYZ")
"""First bytes of HTTP methods; TLS begins with 0x16."""


class Terminate(NamedTuple):
    """The edge speaks TLS."""

    context: ssl.SSLContext
    make_protocol: Callable[[], asyncio.Protocol] | None  #: inside; None: close after the handshake


class PassThrough(NamedTuple):
    """Somebody else speaks TLS, and the edge passes bytes on."""

    make_protocol: Callable[[bytes], asyncio.Protocol]  #: gets what was read so far


class TLSAcceptor:
    """Accepts on listening sockets and lets connections through their handshake.

    Args:
        choose: What to do with a connection that has said this; None: an alert, no certificate is
            for this name. Never blocks.
        sockets: Listening and non-blocking; they stay the caller's.
        limiter: Turns connections away, and hears of failed handshakes.
        plain_reply: Gets the address of who speaks HTTP without TLS; returns what it is told.
        watch: Hears that no descriptor was left.

    Attributes:
        loop: The running one.
        results: Connections that were let in, by how their handshake ended.
        on_connected: Hears of each handshake that was done: address and port of the client, and
            seconds from its ClientHello on; None: nobody does.
        pass_on: Gets what a connection asks for, itself, its address and what was read; returns
            whether another process serves it. None: there is none.
    """

    def __init__(
        self,
        choose: Callable[[ClientHello], Terminate | PassThrough | None],
        sockets: Sequence[socket.socket],
        limiter: ConnectionLimiter,
        *,
        plain_reply: Callable[[str], bytes],
        watch: DescriptorWatch,
    ) -> None:
        self._pending: FairPool[_Pending] = FairPool(
            MAX_HANDSHAKES, HANDSHAKE_SHARES, replaces_own=True
        )
        self._limiter = limiter
        self._plain_reply = plain_reply
        self._choose = choose
        self._listening = ListeningSockets(sockets, self._accept, watch)
        self.loop = asyncio.get_running_loop()
        self.results = dict.fromkeys(HANDSHAKE_RESULTS, 0)
        self.on_connected: Callable[[tuple[str, int], float], None] | None = None
        self.pass_on: Callable[[ClientHello, socket.socket, str, bytes], bool] | None = None

    def start(self) -> None:
        """Accept from now on."""
        self._listening.start()

    def close(self) -> None:
        """Accept no more; may be called twice."""
        self._listening.close()

    def stop(self) -> None:
        """Accept no more and end the handshakes in progress."""
        self.close()
        for pending in self._pending:
            pending.end()

    @property
    def pending(self) -> int:
        """Handshakes in progress, and clients that read why there will be none."""
        return len(self._pending)

    @property
    def is_busy(self) -> bool:
        """Whether handshakes are in progress."""
        return bool(len(self._pending))

    def _accept(self, sock: socket.socket, address: str) -> None:
        if self._limiter.admit(address) is not None:
            sock.close()
            return
        self._enter(_Pending(self, sock, address), address).start()

    def take(self, sock: socket.socket, address: str, data: bytes) -> None:
        """Serve a connection that another process has accepted, and admitted.

        Args:
            sock: Non-blocking.
            address: Of the peer.
            data: What was read from it: its ClientHello.
        """
        self._enter(_Pending(self, sock, address), address).start(data)

    def _enter(self, pending: _Pending, address: str) -> _Pending:
        victim = self._pending.enter(pending, networks_of(address)).victim
        if victim is not None:
            self.results["displaced"] += victim.is_undecided
            victim.end()
        return pending

    def leave(self, pending: _Pending) -> None:
        """A connection is pending no longer."""
        self._pending.leave(pending)

    def note_failure(self, address: str, error: Exception) -> None:
        """Count a handshake that failed."""
        _log.debug("a TLS handshake with %s failed: %s", address, error)
        self._limiter.note_error(address)

    def choose(self, hello: ClientHello) -> Terminate | PassThrough | None:
        """See the class."""
        return self._choose(hello)

    def plain_reply(self, address: str) -> bytes:
        """Count who speaks HTTP without TLS, and return what it is told."""
        self.results["plain_http"] += 1
        self._limiter.note_error(address)
        return self._plain_reply(address)


class _Pending:
    """A connection before the end of its TLS handshake.

    TLS is begun when the ClientHello is there: one that stays silent costs a descriptor, and no
    memory of the TLS library.

    Args:
        acceptor: Whose it is.
        sock: Accepted and non-blocking.
        address: Of the peer.
    """

    __slots__ = (
        "_acceptor",
        "_began",
        "_dropped",
        "_is_over",
        "_is_passed_on",
        "_is_refused",
        "_is_watched",
        "_layer",
        "_reader",
        "_sock",
        "_task",
        "_timer",
        "address",
    )

    def __init__(self, acceptor: TLSAcceptor, sock: socket.socket, address: str) -> None:
        self._acceptor = acceptor
        self._sock = sock
        self._timer: asyncio.TimerHandle | None = None
        self._is_watched = False  # by the loop, for bytes
        self._is_over = False  # it has to end
        self._is_refused = False  # it is told why
        self._is_passed_on = False  # by another process
        self._reader: ClientHelloReader | None = None  # from the first byte on
        self._task: asyncio.Task[None] | None = None  # a transport is made
        self._layer: TLSLayer | None = None
        self._dropped = 0  # bytes of who is refused
        self._began = 0.0  # of TLS, by the loop's clock
        self.address = address

    def start(self, data: bytes | None = None) -> None:
        """Read what is there; it may be nothing yet.

        Args:
            data: What another process has read; None: it was accepted here.
        """
        self._wait(HANDSHAKE_TIMEOUT)
        if data is None:
            self._read()
        else:
            self._is_passed_on = True
            self._feed(data)

    def _read(self) -> None:
        try:
            data = self._sock.recv(MAX_CLIENT_HELLO)
        except (BlockingIOError, InterruptedError):
            self._watch(self._read)
            return
        except OSError:
            data = b""
        if not data:
            self._acceptor.results["left"] += 1
            self.end()  # the peer has closed already
            return
        self._feed(data)

    def _feed(self, data: bytes) -> None:
        if self._reader is None:
            if data[0] in _LETTERS:
                self._refuse(self._acceptor.plain_reply(self.address))
                return
            self._reader = ClientHelloReader()
        try:
            hello = self._reader.feed(data)
        except ClientHelloError as error:
            self._deny(error.alert, error, "failed")
            return
        if hello is None:
            self._watch(self._read)
        else:
            self._decide(hello, bytes(self._reader.data))

    def _decide(self, hello: ClientHello, data: bytes) -> None:
        decision = self._acceptor.choose(hello)
        if decision is None:
            name = hello.server_name or "a client that names no server"
            error = ClientHelloError(Alert.UNRECOGNIZED_NAME, f"no certificate is for {name}")
            self._deny(error.alert, error, "no_certificate")
            return
        pass_on = self._acceptor.pass_on
        is_here = isinstance(decision, PassThrough) or decision.make_protocol is None
        if pass_on is not None and not self._is_passed_on and not is_here:
            self._stop_watching()
            if pass_on(hello, self._sock, self.address, data):
                self._leave()
                self._sock.close()
                return
        self._stop_watching()
        self._reader = None
        if isinstance(decision, PassThrough):
            self._acceptor.results["passed_through"] += 1
            protocol = decision.make_protocol(data)
        else:
            self._wait(HANDSHAKE_TIMEOUT)
            self._began = self._acceptor.loop.time()
            self._layer = TLSLayer(*decision, data, self._end_handshake)
            protocol = self._layer.as_protocol()
        self._task = self._acceptor.loop.create_task(self._connect(protocol))

    async def _connect(self, protocol: asyncio.Protocol) -> None:
        """Make a transport; cancelling it closes the connection.

        Who has to end it before does not cancel it: the protocol may have its transport by then,
        and the event loop would close that without a ``connection_lost``.
        """
        try:
            transport, _ = await self._acceptor.loop.connect_accepted_socket(
                lambda: protocol, self._sock
            )
        except OSError as error:  # the peer has gone
            self._sock.close()
            self._end_handshake(error)
        except asyncio.CancelledError:
            self._sock.close()
            raise
        else:
            if self._is_over:
                transport.abort()
        finally:
            self._task = None
            if self._layer is None:
                self._leave()

    def _end_handshake(self, error: Exception | None) -> None:
        layer, self._layer = self._layer, None
        on_connected = self._acceptor.on_connected
        if on_connected is not None and error is None and layer is not None:
            peer = layer.get_extra_info("peername") or ("", 0)
            on_connected((self.address, peer[1]), self._acceptor.loop.time() - self._began)
        self._leave()
        if not self._is_over:  # else it was counted by what ended it
            self._acceptor.results["ok" if error is None else "failed"] += 1
        if error is not None:
            self._acceptor.note_failure(self.address, error)

    def _deny(self, alert: int, error: Exception, result: str) -> None:
        """Send an alert in the place of a handshake."""
        self._acceptor.results[result] += 1
        self._acceptor.note_failure(self.address, error)
        self._refuse(Alert.encode(alert))

    def _refuse(self, reply: bytes) -> None:
        """Tell a client why not, in one write, and read what it has sent until then."""
        self._is_refused = True
        self._stop_watching()
        try:
            self._sock.send(reply)  # fits in the buffer of a new socket
            self._sock.shutdown(socket.SHUT_WR)
        except OSError:
            self.end()
            return
        self._wait(REFUSED_LINGER)
        self._watch(self._drop)
        self._drop()

    def _drop(self) -> None:
        try:
            size = len(self._sock.recv(65536))
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            size = 0
        self._dropped += size
        if not size or self._dropped > REFUSED_BYTES:
            self.end()

    @property
    def is_undecided(self) -> bool:
        """Whether its handshake may still succeed."""
        return not self._is_over and not self._is_refused

    def _time_out(self) -> None:
        self._acceptor.results["timeout"] += self.is_undecided
        self.end()

    def end(self) -> None:
        """Close it; it leaves its pool, if it was still there."""
        layer, self._layer = self._layer, None
        self._is_over = True
        self._leave()
        if self._task is not None:
            return  # `_connect` ends it
        if layer is not None:
            layer.abort()
        else:
            self._stop_watching()
            self._sock.close()

    def _leave(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._acceptor.leave(self)

    def _wait(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = self._acceptor.loop.call_later(seconds, self._time_out)

    def _watch(self, on_bytes: Callable[[], None]) -> None:
        if not self._is_watched:
            self._is_watched = True
            self._acceptor.loop.add_reader(self._sock.fileno(), on_bytes)

    def _stop_watching(self) -> None:
        if self._is_watched:
            self._is_watched = False
            self._acceptor.loop.remove_reader(self._sock.fileno())
