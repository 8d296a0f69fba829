"""The body of one request to a service: where it ends, and that it is as long as it says."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from ...asgi.types import Message, Receive
from .connection import ServiceConnection
from .errors import BodyLengthError

EXPECT_TIMEOUT: Final = 1.0
"""Seconds that a body waits for the service's 100: one that does not know it sends none
(RFC 9110 section 10.1.1)."""


class Upload:
    """A body on its way from the visitor to a service.

    Args:
        receive: Of the call.
        length: As announced; None where it was not.
        expects: The visitor waits for 100 before it sends.

    Attributes:
        is_sent: All of it was written to the service.
    """

    __slots__ = (
        "_expects",
        "_first",
        "_has_more",
        "_is_chunked",
        "_length",
        "_pending",
        "_receive",
        "_size",
        "_wanted",
        "is_sent",
    )

    def __init__(self, receive: Receive, *, length: int | None, expects: bool) -> None:
        self._receive = receive
        self._length = length
        self._expects = expects
        self._first = b""  # what is sent together with the head
        self._has_more = True  # behind it
        self._size = 0  # bytes received so far
        self._is_chunked = False
        self._pending: asyncio.Future[Message] | None = None  # the first message, not there yet
        self._wanted: asyncio.Future[None] | None = None  # done when the service wants the body
        self.is_sent = False

    @property
    def is_empty(self) -> bool:
        """Whether it is known that there is no body."""
        return not self._first and not self._has_more

    async def start(self) -> bool:
        """Receive what there is to send with the head; False when the visitor has left.

        Raises:
            BodyLengthError: The body is not as long as its content-length.
        """
        if not self._expects:
            if self._length is None:
                # The visitor may wait for the service before it sends anything.
                self._pending = asyncio.ensure_future(self._receive())
                await asyncio.sleep(0)
                if not self._pending.done():
                    self._is_chunked = True
                    return True
                message = self._pending.result()
                self._pending = None
            else:
                message = await self._receive()
            return self.begin_with(message)
        self._is_chunked = self._length is None
        return True

    def begin_with(self, message: Message) -> bool:
        """Take the first message; False when the visitor has left.

        Raises:
            BodyLengthError: As :meth:`start`.
        """
        if message["type"] != "http.request":
            return False
        self._first = self._take(message)
        self._is_chunked = self._length is None and not self.is_empty
        return True

    def close(self) -> None:
        """Receive no more."""
        if self._pending is not None:
            self._pending.cancel()
            self._pending = None

    def opening(self) -> bytes:
        """Return the end of the request's head, and what goes with it."""
        if self._is_chunked:
            framing = b"transfer-encoding: chunked\r\n"
        else:
            framing = b"content-length: %d\r\n" % (self._length or 0)
        if self._expects:
            framing += b"expect: 100-continue\r\n"
            self._wanted = asyncio.get_running_loop().create_future()
        self.is_sent = not self._has_more
        return framing + b"\r\n" + self._framed(self._first)

    async def send_rest(
        self, connection: ServiceConnection, drain: Callable[[], Awaitable[None]]
    ) -> bool:
        """Send the rest as the service takes it; False when the visitor leaves before its end.

        Args:
            connection: To the service.
            drain: Waits until the service takes more.

        Raises:
            BodyLengthError: As :meth:`start`; the service must not get another request's beginning
                in the place of a body's end.

        Cancelling it leaves the body incomplete.
        """
        if self._wanted is not None:
            await self._wait_wanted(self._wanted)
        while self._has_more:
            pending, self._pending = self._pending, None
            message = await (self._receive() if pending is None else pending)
            if message["type"] != "http.request":
                return False
            data = self._framed(self._take(message))
            if data:
                connection.write(data)
            if connection.needs_drain:
                await drain()
        self.is_sent = True
        return True

    def want(self) -> None:
        """The service has sent 100."""
        if self._wanted is not None and not self._wanted.done():
            self._wanted.set_result(None)

    def refuse(self) -> None:
        """The service has sent a response instead of 100: it does not want the body."""
        if self._wanted is not None and not self._wanted.done():
            self._wanted.cancel()

    async def _wait_wanted(self, wanted: asyncio.Future[None]) -> None:
        try:
            async with asyncio.timeout(EXPECT_TIMEOUT):
                await wanted
        except TimeoutError:
            pass  # it does not know Expect

    def _take(self, message: Message) -> bytes:
        """Take a piece, and see that the body is as long as its content-length says.

        Servers see to it; middleware between them and this may change a body.
        """
        data: bytes = message.get("body", b"")
        self._has_more = message.get("more_body", False)
        self._size += len(data)
        length = self._length
        if length is not None and (
            self._size > length or (not self._has_more and self._size < length)
        ):
            raise BodyLengthError("the body is not as long as its content-length")
        return data

    def _framed(self, data: bytes) -> bytes:
        if not self._is_chunked:
            return data
        chunk = b"%x\r\n%b\r\n" % (len(data), data) if data else b""
        return chunk if self._has_more else chunk + b"0\r\n\r\n"
