"""Takes the PROXY header off a connection, then hands it to the protocol of its front.

Stands before a front only where ``proxies.protocol`` is on, so that nobody else pays for it.  A
connection of a trusted proxy has to start with the header; any other connection is an
ordinary visitor's, for whom such a header is a malformed request.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, cast

from ..errors import ProxyHeaderError
from ..identity.proxy_protocol import MAX_HEADER, Preamble, read_preamble

if TYPE_CHECKING:
    from collections.abc import Callable

    from ..identity.proxies import Proxies

_log = logging.getLogger("asgi_tunnel_edge.listeners")

PREAMBLE_TIMEOUT: Final = 5.0
"""Seconds for a PROXY header: a balancer sends it at once, in one packet."""

MAX_PREAMBLES: Final = 1024
"""Connections that may be before their PROXY header at one time."""

WARNING_INTERVAL: Final = 10.0
"""Seconds between two log lines about connections without a PROXY header."""


class ProxyHeaderFactory:
    """What the connections before their PROXY header share.

    Args:
        make: Makes the protocol of a connection; gets its PROXY header, or None.
        proxies: Whom to believe.
    """

    def __init__(
        self, make: Callable[[Preamble | None], asyncio.Protocol], proxies: Proxies
    ) -> None:
        self.make = make
        self.proxies = proxies
        self.waiting: set[PreambleReader] = set()
        self._warned_at = -WARNING_INTERVAL

    def __call__(self) -> PreambleReader:
        """Make the protocol of one connection."""
        return PreambleReader(self)

    def warn(self, address: str, why: str) -> None:
        """Log it, at most once in :data:`WARNING_INTERVAL`."""
        now = asyncio.get_running_loop().time()
        if now - self._warned_at >= WARNING_INTERVAL:
            self._warned_at = now
            _log.warning("a connection from the proxy %s was closed: %s", address, why)

    def stop(self) -> None:
        """End what waits."""
        for reader in list(self.waiting):
            reader.abort("")


class PreambleReader(asyncio.Protocol):
    """One connection before its PROXY header has come.

    Args:
        factory: What they share.
    """

    __slots__ = ("_address", "_buffer", "_factory", "_timer", "_transport")

    def __init__(self, factory: ProxyHeaderFactory) -> None:
        self._factory = factory
        self._buffer = b""
        self._address = ""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the header where one is due."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._transport = cast(asyncio.Transport, transport)
        self._address = (transport.get_extra_info("peername") or ("",))[0]
        factory = self._factory
        if not factory.proxies.is_trusted(self._address):
            self._hand_over(None)
            return
        factory.waiting.add(self)
        if len(factory.waiting) > MAX_PREAMBLES:
            self.abort("too many of them wait for their PROXY header")
            return
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(PREAMBLE_TIMEOUT, self.abort, "its PROXY header did not come")

    def data_received(self, data: bytes) -> None:
        """Read the header; what comes behind it is the visitor's."""
        if self._transport is None:
            return
        self._buffer += data
        try:
            preamble = read_preamble(self._buffer[:MAX_HEADER])
        except ProxyHeaderError as error:
            self.abort(str(error))
            return
        if preamble is not None:
            rest = self._buffer[preamble.size :]
            protocol = self._hand_over(preamble)
            if rest:
                protocol.data_received(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """Health checks connect and close without a PROXY header: not logged."""
        self._leave()
        self._transport = None

    def abort(self, why: str) -> None:
        """End it without a reply: what the other end speaks is not known."""
        self._leave()
        transport, self._transport = self._transport, None
        if transport is not None:
            if why:
                self._factory.warn(self._address, why)
            transport.abort()

    def _hand_over(self, preamble: Preamble | None) -> asyncio.Protocol:
        self._leave()
        transport, self._transport = self._transport, None
        assert transport is not None
        protocol = self._factory.make(preamble)
        transport.set_protocol(protocol)
        protocol.connection_made(transport)
        return protocol

    def _leave(self) -> None:
        self._factory.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
