"""One HTTP exchange with a service: the request goes out as it comes, the response as it comes.

Most exchanges are over before anything else is needed: a task that watches for the visitor's
leaving, and the timeouts, begin after ``WATCH_DELAY``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, Final

from ...asgi.types import Message, Receive, Scope, Send
from ..service import ProxyTarget
from .connection import ServiceClosedError, ServiceConnection
from .fields import RequestError, request_fields, response_fields
from .pool import Pool
from .response import Fields, ResponseHead, ResponseReader

WATCH_DELAY: Final = 0.02
"""Seconds before an exchange gets a task of its own that notices when the visitor leaves."""

EXPECT_TIMEOUT: Final = 1.0
"""Seconds that a body waits for the service's 100: one that does not know it sends none
(RFC 9110 section 10.1.1)."""

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""May be sent again (RFC 9110 section 9.2.2); only without a body, which is gone once sent."""

_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})
"""Seldom have a body; without a length the first message says at once whether one comes."""

_FORBIDDEN_TRAILERS: Final = frozenset(
    {b"content-length", b"transfer-encoding", b"host", b"content-encoding", b"content-type"}
    | {b"content-range", b"trailer", b"set-cookie", b"location", b"connection", b"te", b"upgrade"}
)


class BodyLengthError(ConnectionError):
    """A request's body is longer or shorter than it says."""


Rewrite = Callable[[bytes], bytes]


class Exchange:
    """One request and its response.

    Args:
        pool: The service's connections.
        target: Its timeouts and its Host.
        scope: Of the call.
        receive: Of the call.
        send: Of the call.

    Attributes:
        has_started: The visitor has the head of the response: it can only be completed or cut.
    """

    def __init__(
        self, pool: Pool, target: ProxyTarget, scope: Scope, receive: Receive, send: Send
    ) -> None:
        self._pool = pool
        self._target = target
        self._scope = scope
        self._receive = receive
        self._send = send
        self._method: str = scope["method"]
        self._loop = asyncio.get_running_loop()
        self._head = b""  # without what says how long the body is
        self._length: int | None = None  # of the request's body, when announced
        self._body_size = 0  # bytes received so far
        self._is_chunked = False
        self._expects = False
        self._rewrite: Rewrite | None = None
        self._connection: ServiceConnection | None = None
        self._watch: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._is_timed_out = False
        self._is_gone = False  # the visitor
        self._is_sent = False  # the whole request
        self._is_done = False  # the whole response
        self.has_started = False

    def write_head(self, target: bytes, prefix: str, rewrite: Rewrite) -> None:
        """Write the head of the request down.

        Args:
            target: In origin form.
            prefix: What was stripped from the path.
            rewrite: Makes a Location that the visitor can use.

        Raises:
            RequestError: It cannot be.
        """
        self._rewrite = rewrite
        lengths: list[bytes] = []
        for name, value in self._scope["headers"]:
            if name == b"content-length":
                lengths.append(value)
            elif name == b"expect":
                self._expects = value.lower() == b"100-continue"
        if lengths:
            if len(lengths) > 1 or not lengths[0].isdigit() or len(lengths[0]) > 18:
                raise RequestError(400, "the request has a content-length that is no single number")
            self._length = int(lengths[0])
        fields = request_fields(
            self._scope, send_host=self._target.send_host.encode(), prefix=prefix
        )
        lines = [self._method.encode() + b" " + target + b" HTTP/1.1\r\n"]
        lines += [b"%s: %s\r\n" % field for field in fields]
        self._head = b"".join(lines)

    async def run(self) -> None:
        """Do the exchange.

        Raises:
            UnreachableError: There is no connection, and nothing was sent.
            BusyError: As :meth:`.Pool.open`.
            TimeoutError: One of the service's timeouts.
            ResponseError: What came is no response.
            ConnectionError: The service closed before a response.

        Cancelling it closes the connection.
        """
        body, has_more = b"", True
        pending: asyncio.Future[Message] | None = None  # the first message, not there yet
        try:
            if not self._expects:
                if self._length is None and self._method not in _BODILESS:
                    # The visitor may wait for the service before it sends anything.
                    pending = asyncio.ensure_future(self._receive())
                    await asyncio.sleep(0)
                    message = pending.result() if pending.done() else None
                else:
                    message = await self._receive()
                if message is not None:
                    pending = None
                    if message["type"] != "http.request":
                        return
                    body, has_more = message.get("body", b""), message.get("more_body", False)
                    self._count(body, has_more=has_more)
            self._is_chunked = self._length is None and (has_more or bool(body))
            await self._try(body, pending, has_more=has_more)
        finally:
            if pending is not None:
                pending.cancel()

    async def _try(
        self, body: bytes, pending: asyncio.Future[Message] | None, *, has_more: bool
    ) -> None:
        """Send the request, and once more where that is safe and of use."""
        is_repeatable = self._method in _IDEMPOTENT and not body and not has_more
        connection = self._pool.take_idle(is_repeatable=is_repeatable)
        was_used = connection is not None
        while True:
            if connection is None:
                connection = await self._pool.open()
            self._connection = connection
            reader = ResponseReader(self._method)
            is_over = False
            try:
                connection.begin(reader)
                self._write(connection, body, pending, has_more=has_more)
                await self._respond(connection, reader)
                is_over = self._is_sent
            except ServiceClosedError:
                if not was_used or not is_repeatable or self._is_gone or self._is_timed_out:
                    raise
            except ConnectionError:
                if self._is_gone:
                    return
                if self._is_timed_out:
                    raise TimeoutError from None
                raise
            finally:
                self._stop_watching()
                if is_over:
                    self._pool.give_back(connection)
                else:
                    self._pool.drop(connection)
            if is_over or self._is_done:
                return
            connection, was_used = None, False  # a new one: not closed before its first request

    # -- the request -------------------------------------------------------------------------

    def _write(
        self,
        connection: ServiceConnection,
        body: bytes,
        pending: asyncio.Future[Message] | None,
        *,
        has_more: bool,
    ) -> None:
        if self._is_chunked:
            framing = b"transfer-encoding: chunked\r\n"
            body = (_chunk(body) if body else b"") + (b"" if has_more else b"0\r\n\r\n")
        elif self._length is not None:
            framing = b"content-length: %d\r\n" % self._length
        elif self._method not in _BODILESS:
            framing = b"content-length: 0\r\n"
        else:
            framing = b""
        if self._expects:
            framing += b"expect: 100-continue\r\n"
        connection.write(self._head + framing + b"\r\n" + body)
        self._is_sent = not has_more
        if has_more:
            self._watch = self._loop.create_task(self._upload(connection, pending))
        else:
            self._timer = self._loop.call_later(WATCH_DELAY, self._begin_watching)

    async def _upload(
        self, connection: ServiceConnection, pending: asyncio.Future[Message] | None
    ) -> None:
        """Send the rest of the body as the service takes it, then watch for the visitor."""
        if self._expects:
            await self._wait_continue(connection)
        try:
            while not self._is_sent:
                message = await (self._receive() if pending is None else pending)
                pending = None
                if message["type"] != "http.request":
                    self._leave(connection)
                    return
                body, more = message.get("body", b""), message.get("more_body", False)
                self._count(body, has_more=more)
                if self._is_chunked:
                    body = (_chunk(body) if body else b"") + (b"" if more else b"0\r\n\r\n")
                if body:
                    connection.write(body)
                if connection.needs_drain:
                    async with asyncio.timeout(self._target.response_timeout or None):
                        await connection.drain()
                self._is_sent = not more
        except TimeoutError:
            self._time_out()
            return
        except BodyLengthError:
            connection.close()  # never another request's beginning in the place of a body's end
            return
        self._begin_timeout()
        await self._wait_gone(connection)

    def _count(self, body: bytes, *, has_more: bool) -> None:
        """See that the body is as long as its content-length says.

        Servers see to it; middleware between them and this may change a body.

        Raises:
            BodyLengthError: It is not: the service would read the rest as another request.
        """
        self._body_size += len(body)
        length = self._length
        if length is not None and (
            self._body_size > length or (not has_more and self._body_size < length)
        ):
            raise BodyLengthError("the body is not as long as its content-length")

    async def _wait_continue(self, connection: ServiceConnection) -> None:
        """Return when the service wants the body, or does not say so in time."""
        self._wants_body = self._loop.create_future()
        try:
            async with asyncio.timeout(EXPECT_TIMEOUT):
                await self._wants_body
        except TimeoutError:
            pass

    _wants_body: asyncio.Future[None] | None = None

    # -- the visitor, and time ---------------------------------------------------------------

    def _begin_watching(self) -> None:
        self._timer = None
        connection = self._connection
        if connection is not None and not self._is_done:
            self._begin_timeout()
            self._watch = self._loop.create_task(self._wait_gone(connection))

    async def _wait_gone(self, connection: ServiceConnection) -> None:
        while (await self._receive())["type"] != "http.disconnect":
            pass
        self._leave(connection)

    def _leave(self, connection: ServiceConnection) -> None:
        """The visitor left: the service is told by the end of its connection."""
        if not self._is_done:
            self._is_gone = True
            connection.close()

    def _begin_timeout(self) -> None:
        """Give the service its time for the head of the response."""
        if self._target.response_timeout and not self.has_started:
            self._timer = self._loop.call_later(self._target.response_timeout, self._time_out)

    def _time_out(self) -> None:
        self._timer = None
        self._is_timed_out = True
        if self._connection is not None:
            self._connection.close()

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _stop_watching(self) -> None:
        self._stop_timer()
        if self._watch is not None:
            self._watch.cancel()
            self._watch = None

    # -- the response ------------------------------------------------------------------------

    async def _respond(self, connection: ServiceConnection, reader: ResponseReader) -> None:
        head = reader.head
        while head is None:
            await connection.wait()
            for interim in connection.take_interim():
                await self._inform(interim)
            head = reader.head
        if connection.is_broken and not reader.is_complete:
            await connection.wait()  # raises: nothing was sent yet, so it is a 502 and no cut
        if self._wants_body is not None and not self._wants_body.done():
            # A final response instead of 100: the body is not wanted.
            self._wants_body.cancel()
        has_trailers = await self._start(head)
        while True:
            data = connection.take()
            is_complete = reader.is_complete
            if is_complete:
                self._is_done = True
            if data or is_complete:
                await self._send(
                    {"type": "http.response.body", "body": data, "more_body": not is_complete}
                )
            if is_complete:
                break
            if not data:
                await self._wait_body(connection)
        if has_trailers:
            trailers = [one for one in reader.trailers if one[0] not in _FORBIDDEN_TRAILERS]
            await self._send({"type": "http.response.trailers", "headers": trailers})

    async def _wait_body(self, connection: ServiceConnection) -> None:
        if not self._target.idle_timeout:
            await connection.wait()
            return
        async with asyncio.timeout(self._target.idle_timeout):
            await connection.wait()

    async def _inform(self, head: ResponseHead) -> None:
        """Pass a 1xx response on: 100 by asking for the body, 103 as an early hint."""
        if head.status == 100:
            if self._wants_body is not None and not self._wants_body.done():
                self._wants_body.set_result(None)
        elif head.status == 103 and "http.response.early_hint" in self._extensions():
            links = [value for name, value in head.fields if name == b"link"]
            await self._send({"type": "http.response.early_hint", "links": links})

    async def _start(self, head: ResponseHead) -> bool:
        """Send the head; return whether trailers may follow."""
        if self._watch is None:
            # Not watched yet: the timer that begins it stays.
            pass
        else:
            self._stop_timer()
        fields = response_fields(head.fields)
        has_trailers = "http.response.trailers" in self._extensions() and any(
            name == b"trailer" for name, _ in fields
        )
        message: dict[str, Any] = {
            "type": "http.response.start",
            "status": head.status,
            "headers": self._rewritten(head.status, fields),
        }
        if has_trailers:
            message["trailers"] = True
        self.has_started = True
        await self._send(message)
        return has_trailers

    def _rewritten(self, status: int, fields: Fields) -> Fields:
        if self._rewrite is None or not (300 <= status < 400 or status == 201):
            return fields
        return [
            (name, self._rewrite(value) if name == b"location" else value) for name, value in fields
        ]

    def _extensions(self) -> dict[str, Any]:
        return self._scope.get("extensions") or {}


def _chunk(data: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(data), data)
