"""Passes connections on to another process of this machine, byte for byte.

What arrives at the wrong process goes on over a Unix socket to the right one, behind the first
frame that was read of it: an app's connection whose session is there (:mod:`.carry`), or that of
another edge, which knows one port for all processes (:mod:`.listening`).
"""

from __future__ import annotations

import asyncio
from typing import Final

from asgi_tunnel.transport import WebSocketCodec, WebSocketTransport

__all__ = ["Pumps"]

MAX_PUMPED: Final = 1024
"""Connections that are passed on at one time; above it an app begins a fresh session, and another
edge tries again."""

PUMP_BUFFER: Final = 64 * 1024
"""Bytes under way in one direction at which the other side is not read any more."""


class Pumps:
    """Those of one process."""

    def __init__(self) -> None:
        self._pumps: set[_Pump] = set()

    def has_room(self, coming: int = 0) -> bool:
        """Whether one more may be passed on, besides those that are ``coming``."""
        return len(self._pumps) // 2 + coming < MAX_PUMPED

    def join(self, outer: WebSocketTransport, inner: WebSocketTransport, first: bytes) -> bool:
        """Pass on what comes on two connections, from the one to the other.

        Args:
            outer: From elsewhere.
            inner: To the process that is meant; this one has dialed it.
            first: What was read of ``outer``.

        Returns:
            False where one of them is lost, or has said something meanwhile: both are closed.
        """
        pair = outer.detach(), inner.detach()
        if pair[0] is None or pair[1] is None:
            for transport, websocket in zip(pair, (outer, inner), strict=True):
                if transport is not None:
                    transport.abort()
                websocket.abort()
            return False
        codec = WebSocketCodec(is_masking=True, is_private=True)
        pair[1].write(b"".join(codec.encode(first)))
        for source, sink in ((pair[0], pair[1]), (pair[1], pair[0])):
            _Pump(source, sink, self._pumps).start()
        return True

    def close(self) -> None:
        """End them all."""
        for pump in list(self._pumps):
            pump.close()


class _Pump(asyncio.Protocol):
    """Passes what one connection receives to another one, as it is.

    Args:
        source: Receives.
        sink: Sends.
        others: All of them, this one as long as its connection is there.
    """

    def __init__(
        self, source: asyncio.Transport, sink: asyncio.Transport, others: set[_Pump]
    ) -> None:
        self._source = source
        self._sink = sink
        self._others = others

    def start(self) -> None:
        """Take the connection from now on."""
        self._others.add(self)
        self._source.set_protocol(self)
        self._source.set_write_buffer_limits(high=PUMP_BUFFER)

    def close(self) -> None:
        """End the connection, behind what it still has to send."""
        self._source.close()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._sink.write(data)

    def pause_writing(self) -> None:
        """This connection takes no more: do not read the other one."""
        self._sink.pause_reading()

    def resume_writing(self) -> None:
        """It takes more."""
        self._sink.resume_reading()

    def eof_received(self) -> bool:
        """Close: half a WebSocket is none."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the other one end, too."""
        self._others.discard(self)
        self._sink.close()
