"""One HTTP exchange with a service: the request goes out as it comes, the response as it comes."""

from __future__ import annotations

from typing import Any, Final

from ...asgi.types import Message, Receive, Scope, Send
from .connection import ServiceConnection
from .errors import ServiceClosedError
from .fields import HeadWriter, RequestHead, response_fields, sent_trailers
from .pool import Pool
from .response import ResponseHead, ResponseReader
from .upload import Upload
from .urls import UrlMap
from .watch import Watch

_IDEMPOTENT: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
"""May be sent again (RFC 9110 section 9.2.2); only without a body, which is gone once sent."""

_BODILESS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "DELETE"})
"""Seldom have a body; without a length the first message says at once whether one comes."""


class Exchange:
    """One request and its response.

    Args:
        pool: The service's connections.
        scope: Of the call.
        receive: Of the call.
        send: Of the call.

    Attributes:
        has_started: The visitor has the head of the response: it can only be completed or cut.
    """

    __slots__ = (
        "_head",
        "_method",
        "_pool",
        "_receive",
        "_scope",
        "_send",
        "_urls",
        "has_started",
    )

    def __init__(self, pool: Pool, scope: Scope, receive: Receive, send: Send) -> None:
        self._pool = pool
        self._scope = scope
        self._receive = receive
        self._send = send
        self._method: str = scope["method"]
        self._head: RequestHead | None = None
        self._urls: UrlMap | None = None
        self.has_started = False

    @property
    def receive(self) -> Receive:
        """The call's messages, for a refusal."""
        return self._receive

    def write_head(self, writer: HeadWriter, target: bytes, urls: UrlMap) -> None:
        """Write the head of the request down.

        Args:
            writer: Of the service.
            target: In origin form.
            urls: Of the service.

        Raises:
            RequestError: It cannot be.
        """
        self._urls = urls
        self._head = writer.write(self._scope, self._method.encode(), target)

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
        head = self._head
        assert head is not None
        if head.length is None and not head.expects and self._method in _BODILESS:
            message = await self._receive()
            if message["type"] != "http.request":
                return
            if not message.get("more_body", False) and not message.get("body", b""):
                await self._try(head.data + b"\r\n", None)
                return
            upload = Upload(self._receive, length=None, expects=False)
            is_there = upload.begin_with(message)
        else:
            upload = Upload(self._receive, length=head.length, expects=head.expects)
            is_there = await upload.start()
        try:
            if is_there:
                await self._try(head.data, upload)
        finally:
            upload.close()

    async def _try(self, data: bytes, upload: Upload | None) -> None:
        """Send the request, and once more where that is safe and of use."""
        pool = self._pool
        is_repeatable = self._method in _IDEMPOTENT and (upload is None or upload.is_empty)
        connection = pool.take_idle(is_repeatable=is_repeatable)
        was_used = connection is not None
        while True:
            if connection is None:
                connection = await pool.open()
            reader = ResponseReader(self._method, lines=pool.lines)
            watch = Watch(connection, pool.deadlines, pool.target, self._receive)
            is_over = False
            try:
                connection.begin(reader)
                connection.write(data if upload is None else data + upload.opening())
                watch.begin(upload)
                await self._respond(connection, reader, watch, upload)
                is_over = upload is None or upload.is_sent
            except ConnectionError as error:
                if watch.is_gone:
                    return
                if watch.is_timed_out:
                    raise TimeoutError from None
                is_stale = was_used and isinstance(error, ServiceClosedError)
                if not is_stale or not is_repeatable:
                    raise
            finally:
                watch.end()
                if is_over:
                    pool.give_back(connection)
                else:
                    pool.drop(connection)
            if is_over or watch.is_complete:
                return
            connection, was_used = None, False  # a new one: not closed before its first request

    async def _respond(
        self,
        connection: ServiceConnection,
        reader: ResponseReader,
        watch: Watch,
        upload: Upload | None,
    ) -> None:
        while reader.head is None:
            await connection.wait()
            while reader.interim:
                await self._inform(reader.interim.pop(0), upload)
        if connection.is_broken and not reader.is_complete:
            await connection.wait()  # raises: nothing was sent yet, so it is a 502 and no cut
        watch.note_head()
        if upload is not None:
            upload.refuse()  # of no effect on a body that is on its way
        has_trailers = await self._start(reader.head)
        while True:
            data = connection.take()
            if reader.is_complete:
                break
            if data:
                await self._send({"type": "http.response.body", "body": data, "more_body": True})
            else:
                await watch.wait_body()
        watch.is_complete = True
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        if has_trailers:
            trailers = sent_trailers(reader.trailers)
            await self._send({"type": "http.response.trailers", "headers": trailers})

    async def _inform(self, head: ResponseHead, upload: Upload | None) -> None:
        """Pass a 1xx response on: 100 by asking for the body, 103 as an early hint."""
        if head.status == 100:
            if upload is not None:
                upload.want()
        elif head.status == 103 and "http.response.early_hint" in self._extensions():
            links = [value for name, value in head.fields if name == b"link"]
            await self._send({"type": "http.response.early_hint", "links": links})

    async def _start(self, head: ResponseHead) -> bool:
        """Send the head; return whether trailers may follow."""
        fields = response_fields(head)
        if self._urls is not None:
            fields = self._urls.map_response(head.status, fields, self._scope)
        message: Message = {
            "type": "http.response.start",
            "status": head.status,
            "headers": fields,
        }
        has_trailers = "http.response.trailers" in self._extensions() and b"trailer" in [
            name for name, _ in fields
        ]
        if has_trailers:
            message["trailers"] = True
        self.has_started = True
        await self._send(message)
        return has_trailers

    def _extensions(self) -> dict[str, Any]:
        return self._scope.get("extensions") or {}
