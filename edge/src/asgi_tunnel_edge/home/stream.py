"""A transport made of a stream: what stands in the place of a socket, behind a tunnel."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Iterable
from typing import Any, Final, cast

from asgi_tunnel.asgi.types import StreamLink
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.head import Fields, ResponseHead

__all__ = ["StreamTransport"]

_ACCEPT: Final = ResponseHead(200, [])


class StreamTransport:
    """Both the handler of a stream and the transport of a protocol.

    Args:
        link: The session.
        event: The stream, as it was opened.

    The visitor's address is the one that the edge says, and nothing that was sent can change it.
    """

    __slots__ = (
        "_arrival",
        "_has_ended",
        "_has_peer_ended",
        "_is_closing",
        "_is_end_due",
        "_is_paused",
        "_is_reading",
        "_link",
        "_loop",
        "_protocol",
        "_stream_id",
        "_waiting",
        "_written",
    )

    def __init__(self, link: StreamLink, event: StreamOpened) -> None:
        self._loop = asyncio.get_running_loop()
        self._link: StreamLink | None = link
        self._stream_id = event.stream_id
        self._arrival = event.head.arrival
        self._protocol: asyncio.Protocol | None = None
        # Received, with their cost, and not read yet: no more than the stream's window.
        self._waiting: deque[tuple[bytes, int]] = deque()
        self._written = 0  # bytes since the session said to wait
        self._is_paused = False  # the session has said so
        self._is_reading = True
        self._has_ended = False  # this side writes no more
        self._has_peer_ended = False
        self._is_end_due = False  # the protocol has not heard of that yet
        self._is_closing = False

    @property
    def link(self) -> StreamLink | None:
        """The session; None once the stream was reset."""
        return self._link

    def start(self, protocol: asyncio.Protocol) -> None:
        """Accept the stream; ``protocol`` gets what comes."""
        self._protocol = protocol
        if self._link is not None:
            self._link.send_head(self._stream_id, _ACCEPT)
        protocol.connection_made(cast(asyncio.Transport, self))

    # -- a handler, to the session -----------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Never on this side."""

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Hand bytes to the protocol, or keep them: as many as the stream's window."""
        if end:
            self._has_peer_ended = self._is_end_due = True
        if self._is_closing:
            self._consume(flow_controlled_size)
            self._release_if_over()
            return
        self._waiting.append((bytes(data), flow_controlled_size))
        self._deliver()

    def on_trailers(self, fields: Fields) -> None:
        """Not for bytes: the edge broke the protocol."""
        self._break()

    def on_close(self, code: int, reason: str) -> None:
        """Not for bytes: the edge broke the protocol."""
        self._break()

    def on_writable(self) -> None:
        """Let the protocol write on."""
        self._is_paused = False
        self._written = 0
        if self._protocol is not None:
            self._protocol.resume_writing()

    def on_reset(self, code: int, reason: str) -> None:
        """The visitor has gone, or the session is lost."""
        self._link = None
        self._lose(ConnectionResetError(reason or "the visitor has gone"))

    # -- a transport, to the protocol --------------------------------------------------------

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        """Return ``peername``, the visitor's, and ``sockname``, the edge's."""
        if name == "peername":
            return self._arrival.client
        if name == "sockname":
            return self._arrival.server
        return default

    def get_protocol(self) -> asyncio.BaseProtocol | None:
        """Return what was set."""
        return self._protocol

    def set_protocol(self, protocol: asyncio.BaseProtocol) -> None:
        """Hand what comes to another protocol from now on."""
        self._protocol = cast(asyncio.Protocol, protocol)

    def is_closing(self) -> bool:
        """Whether it is closed, or about to be."""
        return self._is_closing

    def is_reading(self) -> bool:
        """Whether what comes is handed on."""
        return self._is_reading

    def pause_reading(self) -> None:
        """Hand nothing on: the visitor is told to wait by its window."""
        self._is_reading = False

    def resume_reading(self) -> None:
        """Go on, in the next iteration of the event loop."""
        if not self._is_reading:
            self._is_reading = True
            if self._waiting:
                self._loop.call_soon(self._deliver)

    def set_write_buffer_limits(self, high: int | None = None, low: int | None = None) -> None:
        """Without effect: the session says when to wait."""

    def get_write_buffer_size(self) -> int:
        """Return the bytes that were written since the session said to wait."""
        return self._written

    def get_write_buffer_limits(self) -> tuple[int, int]:
        """The session decides."""
        return (0, 0)

    def write(self, data: Buffer) -> None:
        """Send; dropped when closed."""
        link = self._link
        if link is None or self._has_ended or not data:
            return
        can_go_on = link.send_data(self._stream_id, data)
        if self._is_paused:
            self._written += len(data)
        elif not can_go_on:
            self._is_paused = True
            self._written = len(data)
            if self._protocol is not None:
                self._protocol.pause_writing()

    def writelines(self, pieces: Iterable[Buffer]) -> None:
        """Send several pieces."""
        self.write(b"".join(pieces))

    def can_write_eof(self) -> bool:
        """Return True."""
        return True

    def write_eof(self) -> None:
        """End this direction, and read on."""
        if self._link is not None and not self._has_ended:
            self._has_ended = True
            self._link.send_data(self._stream_id, b"", end=True)
            self._release_if_over()

    def close(self) -> None:
        """End this direction, and drop what still comes."""
        if self._is_closing:
            return
        self.write_eof()
        self._is_closing = True
        for _, cost in self._waiting:
            self._consume(cost)
        self._waiting.clear()
        self._loop.call_soon(self._lose, None)

    def abort(self) -> None:
        """Reset the stream."""
        self._reset(ResetCode.CANCELLED, "")
        self._loop.call_soon(self._lose, None)

    # -- inside ------------------------------------------------------------------------------

    def _deliver(self) -> None:
        while self._waiting and self._is_reading and not self._is_closing:
            data, cost = self._waiting.popleft()
            self._consume(cost)
            if data and self._protocol is not None:
                self._protocol.data_received(data)
        if self._is_end_due and not self._waiting and not self._is_closing:
            self._is_end_due = False
            self._end_reading()

    def _end_reading(self) -> None:
        self._release_if_over()
        if self._protocol is not None and not self._protocol.eof_received():
            self.close()

    def _consume(self, cost: int) -> None:
        if cost and self._link is not None:
            self._link.consume(self._stream_id, cost)

    def _release_if_over(self) -> None:
        if self._has_ended and self._has_peer_ended and self._link is not None:
            self._link.release(self._stream_id)

    def _break(self) -> None:
        self._reset(ResetCode.PROTOCOL_ERROR, "a frame that is not for bytes")
        self._lose(ConnectionResetError("the edge broke the tunnel's protocol"))

    def _reset(self, code: ResetCode, why: str) -> None:
        link, self._link = self._link, None
        self._is_closing = self._has_ended = True
        if link is not None:
            link.reset_stream(self._stream_id, code, why)

    def _lose(self, error: Exception | None) -> None:
        self._is_closing = True
        self._waiting.clear()
        protocol, self._protocol = self._protocol, None
        if protocol is not None:
            protocol.connection_lost(error)
