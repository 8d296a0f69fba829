"""What the TLS listener does with a connection, by what its ClientHello asks for: a pure decision.

Made by ``server``. An end-to-end hostname comes first: the proofs that a CA asks for under such a
name are the app's, too.
"""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from .http1.arrival import SecureArrival
from .http1.connection import HTTP1Connection
from .listeners.acceptor import PassThrough, Terminate
from .listeners.pass_through import PassThroughConnection

if TYPE_CHECKING:
    import asyncio

    from .directory import LocalDirectory
    from .guards import Guards
    from .http1.front import HTTP1Front
    from .listeners.client_hello import ClientHello
    from .route import Route
    from .shown import ShownCertificates

__all__ = ["TLSChoice"]


class TLSChoice:
    """See the module.

    Args:
        front: Of the HTTP that is spoken inside TLS that ends here.
        directory: Knows which hostnames are end to end.
        guards: Know from where these may be visited.
        certificates: That the edge shows.
    """

    def __init__(
        self,
        front: HTTP1Front,
        directory: LocalDirectory,
        guards: Guards,
        certificates: ShownCertificates,
    ) -> None:
        self._front = front
        self._directory = directory
        self._guards = guards
        self._certificates = certificates

    def choose(self, hello: ClientHello) -> Terminate | PassThrough | None:
        """Return what to do; None: there is no certificate for what it asks."""
        name = hello.server_name
        route = None if name is None else self._directory.find(name)
        if name is not None and route is not None and route.is_end_to_end:
            return PassThrough(partial(self._pass_through, route, name))
        proof = self._certificates.proof(hello)
        if proof is not None:
            return Terminate(proof, None)
        certificate = self._certificates.find(name)
        if certificate is None:
            return None
        secure = SecureArrival(name, certificate)

        def make_protocol() -> asyncio.Protocol:
            return HTTP1Connection(self._front, secure=secure).as_protocol()

        return Terminate(certificate.context, make_protocol)

    def _pass_through(self, route: Route, hostname: str, hello: bytes) -> asyncio.Protocol:
        front = self._front
        connection = PassThroughConnection(
            front.context, front.table, self._guards, route, hostname, hello
        )
        return connection.as_protocol()
