"""One connection to a service: what asyncio calls, around the reader of responses.

Bodies are buffered up to a bound, then reading stops: a slow visitor holds the service back.
"""

from __future__ import annotations

import asyncio
from typing import Final, Protocol, cast

from .deadlines import Deadlines
from .errors import ResponseError, ServiceClosedError
from .response import ResponseReader

READ_HIGH: Final = 256 * 1024
"""Bytes of a body that wait for the visitor before reading stops: a read of an event loop."""

WRITE_HIGH: Final = 256 * 1024
"""Bytes of a request that wait for the service before the visitor is held back."""

CLOSE_TIMEOUT: Final = 2.0
"""Seconds in which the service has to take the last bytes."""

HEAD_HOLD: Final = 0.002
"""Seconds that a response's head waits for its short body.  Many servers write the two apart, some
20 us from each other; together they are one turn of the exchange and one frame of the tunnel."""


class Listener(Protocol):
    """Is told what happens, in the place of a task that waits for it."""

    def on_progress(self) -> None:
        """Something has come, or nothing more will; see the reader and the connection's error."""


class ServiceConnection:
    """Carries one exchange after the other.

    Args:
        deadlines: Of the service.

    Attributes:
        reader: Of the exchange in progress; None between two.
        idle_since: Loop time since when nothing is in progress.
    """

    __slots__ = (
        "_deadlines",
        "_error",
        "_is_closed",
        "_is_holding",
        "_is_paused",
        "_listener",
        "_loop",
        "_may_hold",
        "_room",
        "_transport",
        "_waiter",
        "idle_since",
        "reader",
    )

    def __init__(self, deadlines: Deadlines) -> None:
        self._loop = asyncio.get_running_loop()
        self._deadlines = deadlines
        self._transport: asyncio.Transport | None = None
        self._waiter: asyncio.Future[None] | None = None  # of who waits for bytes
        self._room: asyncio.Future[None] | None = None  # of who waits to write
        self._listener: Listener | None = None
        self._error: Exception | None = None  # why the exchange cannot go on
        self._is_closed = False  # the other side has closed, or this one
        self._is_paused = False
        self._may_hold = False  # the head was not handed on yet
        self._is_holding = False  # it is there, and waits for its body
        self.reader: ResponseReader | None = None
        self.idle_since = 0.0

    # -- of an exchange ----------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether a request can be sent."""
        return self._transport is not None and not self._is_closed

    @property
    def is_broken(self) -> bool:
        """Whether :meth:`wait` would raise: nothing more comes."""
        return self._error is not None

    @property
    def error(self) -> Exception | None:
        """Why nothing more comes."""
        return self._error

    def begin(self, reader: ResponseReader, listener: Listener | None = None) -> None:
        """Begin an exchange: what comes from now on is its response.

        Args:
            reader: Of the response.
            listener: Called in the place of a task that waits, until the exchange ends.
        """
        self.reader = reader
        self._listener = listener
        self._may_hold = True

    def write(self, data: bytes) -> None:
        """Send bytes of a request; on a closed connection they go nowhere."""
        if self._transport is not None and not self._is_closed:
            self._transport.write(data)

    async def drain(self) -> None:
        """Return when there is room for more, or the connection is closed."""
        while self._room is not None and not self._is_closed:
            await asyncio.shield(self._room)

    @property
    def needs_drain(self) -> bool:
        """Whether :meth:`drain` would wait."""
        return self._room is not None and not self._is_closed

    async def wait(self) -> None:
        """Return when something has come; look at the reader first: it may be there already.

        Raises:
            ServiceClosedError: Closed before a byte of the response.
            ResponseError: What came is no response, or it was cut.
            ConnectionError: The connection was closed here.

        Cancelling it loses nothing.
        """
        if self._error is not None:
            raise self._error
        if self._waiter is not None:
            raise RuntimeError("two tasks read one response")
        self._waiter = self._loop.create_future()
        try:
            await self._waiter
        finally:
            self._waiter = None

    def take(self) -> bytes:
        """Return what has come of the body, and read on."""
        reader = self.reader
        assert reader is not None
        data = reader.take()
        if self._is_paused:
            self._is_paused = False
            if self._transport is not None and not self._is_closed:
                self._transport.resume_reading()
        return data

    def finish(self, now: float) -> bool:
        """End an exchange whose response is complete; whether the connection can carry another."""
        reader, self.reader = self.reader, None
        self._listener = None
        if reader is not None and reader.is_reusable and self.is_open and not self._is_paused:
            self.idle_since = now
            return True
        self.close()
        return False

    def close(self) -> None:
        """Close at once; what was not sent is lost, and nobody is told."""
        self._listener = None
        if self._transport is not None and not self._transport.is_closing():
            self._transport.abort()
        self._lose(ConnectionError("the connection to the service was closed here"))

    def close_gently(self) -> None:
        """Close after what was written has been sent, or after ``CLOSE_TIMEOUT``."""
        if self._transport is not None and not self._is_closed:
            self._transport.close()
            self._loop.call_later(CLOSE_TIMEOUT, self._transport.abort)

    def on_due(self, now: float) -> None:
        """The body did not come with its head: hand the head on."""
        self._is_holding = False
        self._may_hold = False
        self._wake()

    def _lose(self, error: Exception) -> None:
        self._is_closed = True
        if self._error is None:
            self._error = error
        self._hand_on()
        if self._room is not None and not self._room.done():
            self._room.set_result(None)
        self._room = None

    def _hold(self) -> None:
        """Let the head wait for its body."""
        if not self._is_holding:
            self._is_holding = True
            self._deadlines.set(self, self._loop.time() + HEAD_HOLD)

    def _hand_on(self) -> None:
        """Hand the head on, and from now on each piece of the body."""
        if self._is_holding:
            self._is_holding = False
            self._deadlines.clear(self)
        self._may_hold = False
        self._wake()

    def _wake(self) -> None:
        if self._listener is not None:
            self._listener.on_progress()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- of the socket -----------------------------------------------------------------------

    def as_protocol(self) -> asyncio.Protocol:
        """Return this as what asyncio's signatures name: it has its methods, and no base class."""
        return cast(asyncio.Protocol, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._transport = cast(asyncio.Transport, transport)
        self._transport.set_write_buffer_limits(high=WRITE_HIGH)

    def data_received(self, data: bytes) -> None:
        """Hand bytes to the reader; stop reading when the visitor is slower."""
        reader = self.reader
        if reader is None:
            self.close()  # bytes that nobody asked for
            return
        try:
            reader.feed(data)
        except ResponseError as error:
            self._error = error
            if self._transport is not None:
                self._transport.abort()
            self._lose(error)
            return
        if reader.size >= READ_HIGH and not self._is_paused and self._transport is not None:
            self._is_paused = True
            self._transport.pause_reading()
        if self._may_hold and reader.head is not None:
            if reader.lacks_little:
                self._hold()
            else:
                self._hand_on()
        else:
            self._wake()  # a piece of the body, or a 1xx response

    def eof_received(self) -> bool:
        """The service has ended its side; nothing more is sent to it."""
        self._take_eof()
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed; an error means that the service did not mean to end there."""
        self._take_eof(is_broken=exc is not None)

    def pause_writing(self) -> None:
        """Let :meth:`drain` wait."""
        if self._room is None:
            self._room = self._loop.create_future()

    def resume_writing(self) -> None:
        """Let :meth:`drain` return."""
        room, self._room = self._room, None
        if room is not None and not room.done():
            room.set_result(None)

    def _take_eof(self, *, is_broken: bool = False) -> None:
        if self._is_closed:
            return
        reader = self.reader
        error: Exception = ServiceClosedError("the service closed the connection")
        if reader is not None and reader.has_begun:
            try:
                reader.feed_eof(is_broken=is_broken)
            except ResponseError as raised:
                error = raised
            else:
                error = ResponseError("the service closed the connection")
        self._lose(error)
