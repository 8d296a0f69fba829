"""What an edge listens on: its sockets, and what accepts their connections.

``server`` says who serves a port; sockets come from the parent where it holds them already, and go
to it where they are opened here. All accept no more at one moment, and end at another one.
"""

from __future__ import annotations

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from .descriptors import DescriptorWatch
from .http1.connection import HTTP1Connection
from .http1.responses import encode_reply
from .listeners.acceptor import TLSAcceptor
from .listeners.advice import listen_advice
from .listeners.plain import PlainAcceptor
from .listeners.proxy_header import ProxyHeaderFactory
from .listeners.sockets import commit_late, listen
from .replies import Reply
from .settings.addresses import ListenAddress

if TYPE_CHECKING:
    from .choice import TLSChoice
    from .connections.limiter import ConnectionLimiter
    from .context import EdgeContext
    from .http1.front import HTTP1Front
    from .identity.proxy_protocol import Preamble
    from .supervision import ParentLink, SocketSource

__all__ = ["BACKLOG", "Ports"]

BACKLOG: Final = 4096
"""Connections the kernel keeps for us to accept, or as many as it allows. Accepting one, or turning
it away, takes 50 us; when the queue is full, others come again only after a second."""

_NEEDS_TLS: Final = Reply(
    400, "this port speaks HTTPS: write https:// in place of http://", reason="https-only"
)

_log = logging.getLogger("asgi_tunnel_edge.server")


class Ports:
    """See the module.

    Args:
        held: Has the sockets that are open already.
        parent: Hears why an address cannot be used; None: there is none.

    Attributes:
        acceptor: Of the port that speaks TLS; None: there is none.
    """

    def __init__(self, held: SocketSource, parent: ParentLink | None) -> None:
        self.acceptor: TLSAcceptor | None = None
        self._held = held
        self._parent = parent
        self._plain: list[PlainAcceptor] = []
        self._proxy_headers: ProxyHeaderFactory | None = None  # where they come first
        self._watch: DescriptorWatch | None = None
        self._sockets: list[socket.socket] = []

    @property
    def is_arriving(self) -> bool:
        """Whether a connection was accepted that has not said yet what it wants."""
        headers, acceptor = self._proxy_headers, self.acceptor
        return bool(headers and headers.waiting) or bool(acceptor and acceptor.is_busy)

    async def serve(
        self, purpose: str, address: ListenAddress, make: Callable[[], asyncio.Protocol]
    ) -> ListenAddress:
        """Accept connections without TLS; return the address with its port.

        Args:
            purpose: As :meth:`.supervision.SocketSource.take` has it.
            address: Where.
            make: The protocol of each connection.

        Raises:
            OSError: The address cannot be listened on.
        """
        sockets = await self.open(purpose, address)
        acceptor = PlainAcceptor(make, sockets, backlog=BACKLOG, watch=self.watch(sockets))
        self._plain.append(acceptor)
        await acceptor.start()
        return bound(address, sockets)

    async def serve_front(self, address: ListenAddress, front: HTTP1Front) -> ListenAddress:
        """Accept visitors and apps behind a proxy, or without TLS; as :meth:`serve`."""

        def make(preamble: Preamble | None = None) -> asyncio.Protocol:
            return HTTP1Connection(front, preamble=preamble).as_protocol()

        proxies = front.proxies
        if proxies is not None and proxies.reads_preamble:
            self._proxy_headers = ProxyHeaderFactory(make, proxies)
            return await self.serve("listen", address, self._proxy_headers)
        return await self.serve("listen", address, make)

    async def serve_tls(
        self,
        address: ListenAddress,
        choice: TLSChoice,
        *,
        limiter: ConnectionLimiter,
        context: EdgeContext,
    ) -> ListenAddress:
        """Make :attr:`acceptor`, which does not accept before it is started; as :meth:`serve`."""

        def reply(peer: str) -> bytes:
            """What a visitor hears that speaks HTTP where TLS is spoken; noted."""
            request_id = context.next_request_id()
            context.note_reply(_NEEDS_TLS, None, peer.encode(), request_id)
            return encode_reply(
                _NEEDS_TLS,
                context.pages,
                accept=b"",
                request_id=request_id,
                method=b"",
                keep_alive=False,
            )

        sockets = await self.open("listen", address)
        watch = self.watch(sockets)
        self.acceptor = TLSAcceptor(choice.choose, sockets, limiter, plain_reply=reply, watch=watch)
        return bound(address, sockets)

    def watch(self, sockets: list[socket.socket]) -> DescriptorWatch:
        """Return what notices that no descriptor is left; the same for all ports."""
        if self._watch is None:
            self._watch = DescriptorWatch(sockets[0].fileno())
        return self._watch

    def look(self) -> None:
        """Look whether descriptors are left; called twice a second."""
        if self._watch is not None:
            self._watch.look()

    async def open(self, purpose: str, address: ListenAddress) -> list[socket.socket]:
        """Return sockets that listen, until :meth:`close`.

        Raises:
            OSError: The address cannot be listened on; it is said.
        """
        sockets = self._held.take(purpose, str(address))
        if not sockets:
            try:
                sockets = await listen(address.host, address.port, backlog=BACKLOG)
            except OSError as error:
                advice = listen_advice(error, address)
                why = f"cannot listen on {address} ({error.strerror or error}); {advice}"
                _log.error("%s", why)
                if self._parent is not None:
                    self._parent.failed(why)
                raise
            self._held.opened(purpose, str(address), sockets)
        commit_late(sockets)
        self._sockets += sockets
        return sockets

    async def open_to_the_end(self, purpose: str, address: ListenAddress) -> list[socket.socket]:
        """Return sockets that stay open while an edge that stops drains."""
        sockets = await self.open(purpose, address)
        self._sockets = [one for one in self._sockets if one not in sockets]
        return sockets

    def close(self) -> None:
        """Accept no more; what was accepted goes on."""
        for acceptor in self._plain:
            acceptor.close()
        if self.acceptor is not None:
            self.acceptor.close()
        for sock in self._sockets:
            sock.close()

    def stop(self) -> None:
        """End what was accepted and has not said what it wants."""
        if self._proxy_headers is not None:
            self._proxy_headers.stop()
        if self.acceptor is not None:
            self.acceptor.stop()


def bound(address: ListenAddress, sockets: list[socket.socket]) -> ListenAddress:
    """The same address, with the port that the system chose."""
    return ListenAddress(address.host, int(sockets[0].getsockname()[1]))
