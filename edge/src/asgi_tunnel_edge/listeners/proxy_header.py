"""Takes the PROXY header off a connection, then hands it to a visitor's protocol.

Stands before :class:`.http.Visitor` only where ``proxies.protocol`` is on, so that nobody else pays
for it.  A connection of a trusted proxy has to start with the header; any other connection is an
ordinary visitor's, for whom such a header is a malformed request.
"""

from __future__ import annotations

import asyncio
import logging
from typing import TYPE_CHECKING, Final, cast

from ..http1.connection import Visitor
from ..identity.proxy_protocol import MAX_HEADER, Preamble, PreambleError, read_preamble

if TYPE_CHECKING:
    from ..context import Ingress
    from ..identity.proxies import Proxies

_log = logging.getLogger("asgi_tunnel_edge.ingress")

PREAMBLE_TIMEOUT: Final = 5.0
"""Seconds for a PROXY header: a balancer sends it at once, in one packet."""

MAX_PREAMBLES: Final = 1024
"""Connections that may be before their PROXY header at one time."""

WARNING_INTERVAL: Final = 10.0
"""Seconds between two log lines about connections without a PROXY header."""


class Gate:
    """What the connections before their PROXY header share.

    Args:
        ingress: What all connections share.
        proxies: Whom to believe.
    """

    def __init__(self, ingress: Ingress, proxies: Proxies) -> None:
        self.ingress = ingress
        self.proxies = proxies
        self.waiting: set[PreambleReader] = set()
        self._warned_at = -WARNING_INTERVAL

    def __call__(self) -> PreambleReader:
        """Make the protocol of one connection."""
        return PreambleReader(self)

    def warn(self, address: str, why: str) -> None:
        """Tell the operator, not for each connection."""
        now = self.ingress.now()
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
        gate: What they share.
    """

    __slots__ = ("_address", "_buffer", "_gate", "_timer", "_transport")

    def __init__(self, gate: Gate) -> None:
        self._gate = gate
        self._buffer = b""
        self._address = ""
        self._timer: asyncio.TimerHandle | None = None
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Wait for the header where one is due."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._transport = cast(asyncio.Transport, transport)
        self._address = (transport.get_extra_info("peername") or ("",))[0]
        gate = self._gate
        if not gate.proxies.is_trusted(self._address):
            self._hand_over(None)
            return
        gate.waiting.add(self)
        if len(gate.waiting) > MAX_PREAMBLES:
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
        except PreambleError as error:
            self.abort(str(error))
            return
        if preamble is not None:
            rest = self._buffer[preamble.size :]
            visitor = self._hand_over(preamble)
            if rest:
                visitor.data_received(rest)

    def connection_lost(self, exc: Exception | None) -> None:
        """A balancer that looks whether somebody listens says nothing and goes."""
        self._leave()
        self._transport = None

    def abort(self, why: str) -> None:
        """End it without an answer: nobody knows what the other end speaks."""
        self._leave()
        transport, self._transport = self._transport, None
        if transport is not None:
            if why:
                self._gate.warn(self._address, why)
            transport.abort()

    def _hand_over(self, preamble: Preamble | None) -> Visitor:
        self._leave()
        transport, self._transport = self._transport, None
        assert transport is not None
        visitor = Visitor(self._gate.ingress, is_secure=False, preamble=preamble)
        transport.set_protocol(visitor.as_protocol())
        visitor.connection_made(transport)
        return visitor

    def _leave(self) -> None:
        self._gate.waiting.discard(self)
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
