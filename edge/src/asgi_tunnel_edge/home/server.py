"""Serves end-to-end hostnames with an app, in the app's own process."""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from asgi_tunnel.asgi.types import StreamLink
from asgi_tunnel.protocol.events import StreamOpened

from ..certificates.files import FileCertificates
from ..connections.limiter import ConnectionLimiter
from ..connections.table import ConnectionTable
from ..context import EdgeContext
from ..endpoints.local_app import LocalUpstream
from ..errors import CertificateError
from ..guards import Guards
from ..http1.arrival import SecureArrival
from ..http1.connection import HTTP1Connection
from ..http1.front import HTTP1Front
from ..listeners.client_hello import Alert, ClientHello, ClientHelloError, ClientHelloReader
from ..listeners.tls import TLSLayer
from ..settings.config import EdgeConfig, Limits
from ..settings.guards import GuardsConfig
from .dispatch import HomeDispatcher
from .stream import StreamTransport

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from asgi_tunnel.asgi.origin import Origin
    from asgi_tunnel.config import EndToEndConfig

    from ..certificates.source import CertificateSource

__all__ = ["HomeServer"]

_log = logging.getLogger("asgi_tunnel.end_to_end")

HANDSHAKE_TIMEOUT: Final = 10.0
"""Seconds from the first byte to the end of the handshake; the edge has bounded the first part."""

SWEEP: Final = 0.25
"""Seconds between two looks at the deadlines of all connections."""

MAX_CONNECTIONS: Final = 10_000
"""The edge bounds them by streams; this is against one that does not."""


class HomeServer:
    """See the package.

    Args:
        origin: The app's driver.
        certificates: For its end-to-end hostnames.
        folder: Of the certificates; nothing is read from it here.

    One for each process; all methods belong to its event loop.
    """

    def __init__(self, origin: Origin, certificates: CertificateSource, folder: Path) -> None:
        self._certificates = certificates
        # The edge has looked at who the visitor is; here its limits of requests hold, and no rates.
        config = EdgeConfig(
            data_dir=folder,
            domain="end-to-end.invalid",
            listen="127.0.0.1:0",
            limits=Limits(max_connections_per_address=MAX_CONNECTIONS),
            guards=GuardsConfig(rate=0.0, scanner=False),
        )
        self._context = EdgeContext(limits=config.limits)
        guards = Guards(config, self._context.now)
        self._table = ConnectionTable(
            max_connections=MAX_CONNECTIONS, max_per_address=MAX_CONNECTIONS
        )
        self._upstream = LocalUpstream(origin)
        self._upstream.start()
        self._front = HTTP1Front(
            self._context,
            limiter=ConnectionLimiter(guards, self._context.now),
            table=self._table,
            dispatcher=HomeDispatcher(self._context, guards, self._upstream.route),
            tunnels=None,
        )
        self._loop = asyncio.get_running_loop()
        self._sweep: asyncio.TimerHandle | None = None
        self._look()

    @classmethod
    def open(cls, config: EndToEndConfig, origin: Origin) -> HomeServer:
        """Make one from settings.

        Raises:
            CertificateError: The files cannot be used.
        """
        if config.certificate is None or config.key is None:
            sentence = "set ASGI_TUNNEL_CERTIFICATE and ASGI_TUNNEL_KEY for end-to-end hostnames"
            raise CertificateError(sentence)
        files = FileCertificates(config.certificate, config.key, is_pinned=False)
        return cls(origin, files, config.folder)

    def expect(self, hostnames: Sequence[str]) -> None:
        """Look whether there is a certificate for each hostname; say what is missing."""
        for hostname in hostnames:
            if self._certificates.find(hostname.replace("*", "any", 1)) is None:
                _log.error(
                    "the certificate is not for %s, an end-to-end hostname: visitors are refused; "
                    "get one that is",
                    hostname,
                )

    @property
    def in_flight(self) -> int:
        """Connections."""
        return len(self._table.connections)

    def serve(self, link: StreamLink, event: StreamOpened) -> StreamTransport:
        """Begin with a connection; return the handler of its stream."""
        transport = StreamTransport(link, event)
        transport.start(_Arriving(self).as_protocol())
        return transport

    def shut_down(self) -> None:
        """The app ends: connections close once they are idle, and what comes hears so."""
        self._context.is_stopping = True
        self._table.shut_down()

    def stop(self) -> None:
        """End all connections."""
        self._table.end()
        self._upstream.stop()
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None

    def choose(self, hello: ClientHello, data: bytes) -> TLSLayer | None:
        """Return the TLS of a connection; None: there is no certificate for what it asks."""
        name = hello.server_name
        certificate = self._certificates.find(name)
        if certificate is None:
            return None
        secure = SecureArrival(name, certificate)

        def make_protocol() -> asyncio.Protocol:
            return HTTP1Connection(self._front, secure=secure).as_protocol()

        return TLSLayer(certificate.context, make_protocol, data, _note)

    def _look(self) -> None:
        now = self._context.now()
        for connection in list(self._table.connections):
            connection.check(now)
        self._sweep = self._loop.call_later(SWEEP, self._look)


def _note(error: Exception | None) -> None:
    if error is not None:
        _log.debug("a TLS handshake failed: %s", error)


class _Arriving:
    """A connection up to its ClientHello; a protocol.

    Args:
        server: Whose it is.
    """

    def __init__(self, server: HomeServer) -> None:
        self._server = server
        self._reader = ClientHelloReader()
        self._transport: asyncio.Transport | None = None
        self._timer: asyncio.TimerHandle | None = None

    def as_protocol(self) -> asyncio.Protocol:
        """Return this as what asyncio's signatures name."""
        return self  # type: ignore[return-value]

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Wait for the first bytes."""
        self._transport = transport
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(HANDSHAKE_TIMEOUT, transport.abort)

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
        layer = self._server.choose(hello, bytes(self._reader.data))
        if layer is None:
            self._deny(transport, Alert.UNRECOGNIZED_NAME)
            return
        self._stop_timer()
        transport.set_protocol(layer.as_protocol())
        layer.connection_made(transport)

    def _deny(self, transport: asyncio.Transport, alert: int) -> None:
        self._stop_timer()
        transport.write(Alert.encode(alert))
        transport.close()

    def _stop_timer(self) -> None:
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
        self._stop_timer()
        self._transport = None
