"""Serves end-to-end hostnames with an app, in the app's own process."""

from __future__ import annotations

import asyncio
import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, cast

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.tls import TLSLayer

from ..certificates.acme import ACME_TLS_ONLY
from ..connections.limiter import ConnectionLimiter
from ..connections.table import ConnectionTable
from ..context import EdgeContext
from ..endpoints.local_app import LocalUpstream
from ..guards import Guards
from ..http1.arrival import SecureArrival
from ..http1.connection import HTTP1Connection
from ..http1.front import HTTP1Front
from ..listeners.client_hello import Alert, ClientHello, ClientHelloError, ClientHelloReader
from ..settings.config import EdgeConfig, Limits
from ..settings.guards import GuardsConfig
from .certificates import HomeCertificates
from .dispatch import HomeDispatcher
from .issuance import HomeIssuance
from .stream import StreamTransport

if TYPE_CHECKING:
    import ssl
    from collections.abc import Awaitable, Callable, Sequence

    from asgi_tunnel.asgi.origin import Origin
    from asgi_tunnel.asgi.types import StreamLink
    from asgi_tunnel.config import EndToEndConfig
    from asgi_tunnel.protocol.events import StreamOpened

    from ..certificates.source import Certificate

    _FindProof = Callable[[str], Awaitable[ssl.SSLContext | None]]

__all__ = ["HomeServer"]

_log = logging.getLogger("asgi_tunnel.end_to_end")

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds from the first byte to the end of the handshake."""

SWEEP: Final = 0.25
"""Seconds between two looks at the deadlines of all connections."""

MAX_CONNECTIONS: Final = 10_000
"""Of one tunnel connection. The edge bounds them, by its visitors; this is against one that does
not."""

BODY_GRACE: Final = 300.0
"""Seconds in which a body has to move here. The edge sees each byte that a visitor takes and cuts
one who takes none for 60; here they show only when a part of the window comes back, and not at all
while the tunnel is away."""

PING_INTERVAL: Final = 45.0
"""Seconds of silence after which a WebSocket is pinged: longer than a tunnel may be away."""


class HomeServer:
    """See the package.

    Args:
        config: Where its certificate is, or comes from.
        origin: The app's driver.

    One for each process; all methods belong to its event loop.
    """

    def __init__(self, config: EndToEndConfig, origin: Origin) -> None:
        self._certificates: HomeCertificates | HomeIssuance
        self._find_proof: _FindProof | None = None
        if config.certificate is None and config.acme_email and config.folder is not None:
            self._certificates = issuance = HomeIssuance(config, config.folder)
            self._find_proof = issuance.find_proof
        else:
            self._certificates = HomeCertificates(config)
        # The edge has looked at who the visitor is; here its limits of requests hold, and no rates.
        edge = EdgeConfig(
            data_dir=Path(),  # nothing is kept there
            domain="end-to-end.invalid",
            listen="127.0.0.1:0",
            limits=Limits(
                max_connections_per_address=MAX_CONNECTIONS,
                body_grace=BODY_GRACE,
                websocket_ping_interval=PING_INTERVAL,
            ),
            guards=GuardsConfig(rate=0.0, scanner=False),
        )
        self._limits = edge.limits
        self._loop = asyncio.get_running_loop()
        self._guards = Guards(edge, self._loop.time)
        self._limiter = ConnectionLimiter(self._guards, self._loop.time)
        self._upstream = LocalUpstream(origin.serve_end_to_end)
        self._upstream.start()
        self._fronts: dict[StreamLink, _Front] = {}
        self._is_stopping = False
        self._sweep: asyncio.TimerHandle | None = None
        self._look()

    async def expect(self, hostnames: Sequence[str]) -> None:
        """Make ready for these hostnames and no others; the log says what is missing for them.

        Cancelling it leaves that for later.
        """
        await self._certificates.expect(hostnames)

    @property
    def in_flight(self) -> int:
        """Connections."""
        return sum(front.in_flight for front in self._fronts.values())

    def serve(self, link: StreamLink, event: StreamOpened) -> StreamTransport | None:
        """Begin with a connection; return the handler of its stream.

        Returns:
            None, and the stream is reset, where there is no certificate and none is ordered, or
            too much is open.
        """
        front = self._fronts.get(link)
        if front is None:
            front = self._fronts[link] = self._make_front()
        if not self._certificates.is_ready or front.in_flight >= MAX_CONNECTIONS:
            link.reset_stream(event.stream_id, ResetCode.REFUSED, "end to end is not served here")
            return None
        transport = StreamTransport(link, event)
        arriving = _Arriving(front, self._certificates.find, self._find_proof)
        transport.start(arriving.as_protocol())
        return transport

    def drain(self, link: StreamLink) -> None:
        """A session is to end: its connections close once they are idle."""
        front = self._fronts.get(link)
        if front is not None:
            front.shut_down()

    def shut_down(self) -> None:
        """The app ends: all connections close once they are idle. May be called again."""
        self._is_stopping = True
        self._certificates.stop()  # before a CA looks for a proof where nobody answers
        for front in self._fronts.values():
            front.shut_down()

    def stop(self) -> None:
        """End all connections."""
        self._certificates.stop()
        for front in self._fronts.values():
            front.end()
        self._fronts.clear()
        self._upstream.stop()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def _make_front(self) -> _Front:
        context = EdgeContext(limits=self._limits, now=self._loop.time)
        context.is_stopping = self._is_stopping
        table = ConnectionTable(max_connections=MAX_CONNECTIONS, max_per_address=MAX_CONNECTIONS)
        return _Front(
            HTTP1Front(
                context,
                limiter=self._limiter,
                table=table,
                dispatcher=HomeDispatcher(context, self._guards, self._upstream.route),
                tunnels=None,
            )
        )

    def _look(self) -> None:
        now = self._loop.time()
        for link, front in list(self._fronts.items()):
            if front.in_flight:
                front.check(now)
            else:
                del self._fronts[link]
        self._sweep = self._loop.call_later(SWEEP, self._look)


class _Front:
    """What the connections of one session share: it drains alone.

    Args:
        front: Theirs.

    Attributes:
        arriving: Connections before the end of their handshake.
    """

    def __init__(self, front: HTTP1Front) -> None:
        self.front = front
        self.arriving: set[_Arriving] = set()

    @property
    def in_flight(self) -> int:
        """Connections."""
        return len(self.arriving) + len(self.front.table.connections)

    def check(self, now: float) -> None:
        """Look at the deadlines."""
        for connection in list(self.front.table.connections):
            connection.check(now)

    def shut_down(self) -> None:
        """Close what is idle, now and later."""
        self.front.context.is_stopping = True
        self.front.table.shut_down()

    def end(self) -> None:
        """End all."""
        for arriving in list(self.arriving):
            arriving.end()
        self.front.table.end()


class _Arriving:
    """A connection up to the end of its handshake; a protocol up to its ClientHello.

    Args:
        front: Gets it then.
        find: Finds the certificate for a name.
        find_proof: Finds what a CA looks for under a name; None: nothing is ordered here.
    """

    def __init__(
        self,
        front: _Front,
        find: Callable[[str | None], Certificate | None],
        find_proof: _FindProof | None,
    ) -> None:
        self._front = front
        self._find = find
        self._find_proof = find_proof
        self._task: asyncio.Task[None] | None = None  # looks for a proof
        self._reader = ClientHelloReader()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def as_protocol(self) -> asyncio.Protocol:
        """Return this as what asyncio's signatures name."""
        return cast(asyncio.Protocol, self)

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for the first bytes."""
        self._transport = transport
        self._front.arriving.add(self)
        self._timer = asyncio.get_running_loop().call_later(HANDSHAKE_TIMEOUT, self.end)

    def data_received(self, data: bytes) -> None:
        """Read the ClientHello, and go on with TLS."""
        transport = self._transport
        if transport is None:
            return
        try:
            hello = self._reader.feed(data)
        except ClientHelloError as error:
            self._deny(transport, error.alert)
            return
        if hello is None:
            return
        find_proof, name = self._find_proof, hello.server_name
        if find_proof is None or name is None or hello.protocols != ACME_TLS_ONLY:
            self._accept(transport, hello)
            return
        transport.pause_reading()
        work = self._prove(transport, find_proof, name)
        self._task = asyncio.get_running_loop().create_task(work, name="asgi-tunnel proof")

    async def _prove(
        self, transport: asyncio.Transport, find_proof: _FindProof, server_name: str
    ) -> None:
        """Show a CA the proof for a name, and nothing else; cancelling it leaves that."""
        context = await find_proof(server_name)
        self._task = None
        if context is None:
            self._deny(transport, Alert.UNRECOGNIZED_NAME)
            return
        layer = TLSLayer(context, None, bytes(self._reader.data), self._end_handshake)
        transport.set_protocol(layer.as_protocol())
        layer.connection_made(transport)
        transport.resume_reading()

    def _accept(self, transport: asyncio.Transport, hello: ClientHello) -> None:
        certificate = self._find(hello.server_name)
        if certificate is None:
            self._deny(transport, Alert.UNRECOGNIZED_NAME)
            return
        secure = SecureArrival(hello.server_name, certificate)
        make = partial(_make_connection, self._front.front, secure)
        layer = TLSLayer(certificate.context, make, bytes(self._reader.data), self._end_handshake)
        transport.set_protocol(layer.as_protocol())
        layer.connection_made(transport)

    def _end_handshake(self, error: Exception | None) -> None:
        if error is not None:
            _log.debug("a TLS handshake failed: %s", error)
        self._leave()

    def _deny(self, transport: asyncio.Transport, alert: int) -> None:
        self._leave()
        transport.write(Alert.encode(alert))
        transport.close()

    def end(self) -> None:
        """End it now."""
        transport = self._transport
        self._leave()
        if transport is not None:
            transport.abort()

    def _leave(self) -> None:
        self._front.arriving.discard(self)
        self._transport = None
        if self._task is not None:
            self._task.cancel()
            self._task = None
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def eof_received(self) -> bool:
        """Close: there is nothing to respond to."""
        return False

    def pause_writing(self) -> None:
        """Nothing that waits is written."""

    def resume_writing(self) -> None:
        """See :meth:`pause_writing`."""

    def connection_lost(self, exc: Exception | None) -> None:
        """The visitor has gone."""
        self._leave()


def _make_connection(front: HTTP1Front, secure: SecureArrival) -> asyncio.Protocol:
    return HTTP1Connection(front, secure=secure).as_protocol()
