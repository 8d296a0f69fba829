"""How requests come in over one connection: both ends, the scheme, a trusted proxy's fields."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asgi_tunnel.protocol.head import Arrival

from ..certificates.source import Certificate
from ..guards import VisitorAddress
from ..identity.proxies import Proxies, TrustedPeer
from ..identity.proxy_protocol import Preamble
from ..request import Request

__all__ = ["ArrivalReader", "SecureArrival"]


class SecureArrival:
    """What a connection's TLS was made for.

    Args:
        server_name: That the client asked for; None: it named none.
        certificate: That it was shown.
    """

    __slots__ = ("_certificate", "_name")

    def __init__(self, server_name: str | None, certificate: Certificate) -> None:
        self._name = server_name
        self._certificate = certificate

    def serves(self, hostname: str | None) -> bool:
        """Whether a request for a hostname may come over it (RFC 9110 section 7.4).

        Args:
            hostname: Normal; None: an address, or nothing.
        """
        name = self._name
        if name is None or hostname is None or hostname == name:
            return True
        return self._certificate.covers(hostname)


class ArrivalReader:
    """Who sent a request, kept from one request to the next.

    Args:
        is_secure: The connection speaks TLS.
        peer: Address and port of the other end.
        local: Address and port of this end.

    Attributes:
        address: Of the visitor; behind a trusted proxy, of the last request's.
    """

    __slots__ = (
        "_arrival",
        "_is_https",
        "_key",
        "_peer_port",
        "_proxy",
        "_server",
        "_server_port",
        "_visitor",
        "address",
        "peer",
    )

    def __init__(self, *, is_secure: bool, peer: Any, local: Any) -> None:
        self.address: str = peer[0]
        self.peer: bytes = peer[0].encode()
        self._peer_port: int = peer[1]
        self._server: bytes = local[0].encode()
        self._server_port: int = local[1]
        self._is_https = is_secure  # as the visitor sees it; a proxy may speak TLS for this edge
        self._proxy: TrustedPeer | None = None  # says with each request whose it is
        self._arrival: Arrival | None = None
        self._key = (b"", b"", b"", 0)
        self._visitor: VisitorAddress | None = None

    @classmethod
    def of(
        cls,
        transport: Any,
        *,
        is_secure: bool,
        proxies: Proxies | None,
        preamble: Preamble | None,
    ) -> ArrivalReader:
        """Return the reader of a connection.

        Args:
            transport: Of the connection.
            is_secure: It speaks TLS.
            proxies: Who is believed; None: nobody.
            preamble: What a trusted balancer said of it.
        """
        peer = transport.get_extra_info("peername") or ("", 0)
        local = transport.get_extra_info("sockname") or ("", 0)
        if proxies is None:
            return cls(is_secure=is_secure, peer=peer, local=local)
        if preamble is not None:
            peer, local = preamble.source or peer, preamble.destination or local
            return cls(is_secure=proxies.over_https(preamble), peer=peer, local=local)
        reader = cls(is_secure=is_secure, peer=peer, local=local)
        reader._proxy = proxies.find(peer[0], peer[1])
        return reader

    @property
    def is_proxy(self) -> bool:
        """Whether a trusted proxy sends many visitors' requests over this connection."""
        return self._proxy is not None

    def read(self, head: bytes, request: Request) -> Request:
        """Take what a trusted proxy says with a request; return it as the visitor sent it.

        Args:
            head: The whole request head, as sent.
            request: The same, understood.

        Raises:
            RequestError: The proxy's fields cannot be believed.
        """
        if self._proxy is None:
            return request
        identity, request = self._proxy.read(head, request)
        self.address, self.peer, self._peer_port = (
            identity.address,
            identity.address.encode(),
            identity.port,
        )
        self._is_https = identity.is_https
        return request

    def of_request(self, request: Request) -> Arrival:
        """Return how a request came; the same object as long as nothing of it changes."""
        version = b"1.1" if request.is_http11 else b"1.0"
        if request.websocket_key is not None:
            scheme = b"wss" if self._is_https else b"ws"
        else:
            scheme = b"https" if self._is_https else b"http"
        key = (scheme, version, self.peer, self._peer_port)
        if self._arrival is None or key != self._key:  # a proxy brings several
            self._key = key
            self._arrival = Arrival(*key, self._server, self._server_port)
        return self._arrival

    def visitor(self, make: Callable[[str], VisitorAddress]) -> VisitorAddress:
        """Return what guards know of the visitor; made once for each address."""
        visitor = self._visitor
        if visitor is None or visitor.address != self.address:  # a proxy brings several
            visitor = self._visitor = make(self.address)
        return visitor
