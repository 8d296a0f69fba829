"""The visitor's end of a connection: whether it is read, whether it has left, how it is closed."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from asgi_tunnel.tls import end_writing
from asgi_tunnel.transport import LONG_READ

from .deadlines import Deadlines

__all__ = ["OVERHEAD_PACE", "PACED_FROM", "VisitorSocket"]

_TCP_INFO: Final[int | None] = getattr(socket, "TCP_INFO", None)  # Linux has it
_TCP_GONE: Final = (7, 8)  # TCP_CLOSE after a reset, TCP_CLOSE_WAIT after the visitor's end
_NO_LINGER: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, 0 seconds: close with RST


OVERHEAD_PACE: Final = 25_600
"""Units without content that are read of one visitor in a second: 512 in 20 ms, of which an app
takes 2."""

PACED_FROM: Final = 32
"""Units without content in one read from which it is paced: fewer are a visitor's own way."""


class VisitorSocket:
    """A transport, and what asyncio does not say of it.

    Args:
        transport: Of the connection.
        deadlines: The clock UNREAD runs while nothing is read.
        read_on: Takes what a turn has left, in the next one.

    Attributes:
        is_reading: Whether what comes is read.
        is_yielding: Whether it is read only in the next turn of the event loop.
    """

    __slots__ = ("_deadlines", "_read_rest", "_transport", "is_reading", "is_yielding")

    def __init__(
        self, transport: asyncio.Transport, deadlines: Deadlines, read_on: Callable[[], None]
    ) -> None:
        self._transport = transport
        self._deadlines = deadlines
        self._read_rest = read_on
        self.is_reading = True
        self.is_yielding = False

    def pause(self) -> None:
        """Read no more; may be called twice."""
        if self.is_reading:
            self.is_reading = False
            self._deadlines.watch_unread()
            if not self.is_yielding:
                self._transport.pause_reading()

    def resume(self) -> bool:
        """Read on; return whether it was paused."""
        if self.is_reading:
            return False
        self.is_reading = True
        self._deadlines.stop_unread()
        if not self.is_yielding:
            self._transport.resume_reading()
        return True

    def yield_after(self, size: int) -> None:
        """Let the other sockets come first after a long read.

        uvloop reads a socket that is kept full up to 32 times before it looks at another: a flood
        of small frames would hold everybody else for the time it takes to parse 8 MiB of them.

        Args:
            size: Bytes that were just read.
        """
        if size >= LONG_READ:
            self.yield_turn()

    def yield_turn(self, overhead: int = 0) -> None:
        """Let the other sockets come first; what was read and not used yet is used then.

        Args:
            overhead: Units without content in what was just read: they are read at a pace, so that
                what they do to the app does not stand in front of what others ask of it.
        """
        if self.is_reading and not self.is_yielding and not self._transport.is_closing():
            self.is_yielding = True
            self._transport.pause_reading()
            loop = asyncio.get_running_loop()
            if overhead >= PACED_FROM:
                loop.call_later(overhead / OVERHEAD_PACE, self._read_on)
            else:
                loop.call_soon(self._read_on)

    def _read_on(self) -> None:
        self.is_yielding = False
        if self.is_reading:
            self._read_rest()
        if self.is_reading and not self.is_yielding and not self._transport.is_closing():
            self._transport.resume_reading()

    def is_peer_closed(self) -> bool:
        """Detect FIN or RST while reading is paused; a half-close counts as closed."""
        option = _TCP_INFO
        sock = self._transport.get_extra_info("socket")
        if option is None:
            return False
        try:
            info = sock.getsockopt(socket.IPPROTO_TCP, option, 1)
        except (AttributeError, OSError):  # no TCP socket
            return False
        return info[0] in _TCP_GONE

    def end_stream(self) -> None:
        """Send the end of the stream behind what is written, and read on."""
        self.resume()
        end_writing(self._transport)

    def close(self) -> None:
        """Close behind what is written."""
        self._transport.close()

    def abort(self) -> None:
        """Close now."""
        self._transport.abort()

    def cut(self) -> None:
        """Reset, so that what was sent cannot look complete."""
        sock = self._transport.get_extra_info("socket")
        if sock is not None:
            try:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
            except OSError:
                pass  # already gone
        self._transport.abort()
