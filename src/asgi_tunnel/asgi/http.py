"""Drives one HTTP exchange: a stream on one side, ``receive()`` and ``send()`` on the other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from enum import Enum, auto
from typing import Any, Final

from ..errors import ClientDisconnectedError
from ..inspector.record import Record
from ..protocol.codes import ResetCode
from ..protocol.events import StreamOpened
from ..protocol.frames import Buffer
from ..protocol.head import DURATION, Fields, ResponseHead, encode_fields
from .fields import normalise_fields, read_length
from .inbox import Inbox, wait_until_set
from .types import Message, Scope, StreamLink

_log = logging.getLogger("asgi_tunnel.asgi")

_ERROR_BODY: Final = b"Internal Server Error"
_BODILESS: Final = frozenset({204, 304})
_DISCONNECT: Final = "http.disconnect"
_new: Final = tuple.__new__  # docs/adr/0006-compiled-wheels.md, "Two idioms"


class ResponseState(Enum):
    """How far the app's response is."""

    DUE = auto()  # http.response.start is still to come
    BODY = auto()  # the head is sent, the body is not complete
    TRAILERS = auto()  # the body is complete, http.response.trailers is to come
    COMPLETE = auto()  # all is sent; later messages are mistakes
    GONE = auto()  # the visitor left or the session is over; messages are ignored


# Shorter names of hot members: docs/adr/0006-compiled-wheels.md, "Two idioms".
_DUE: Final = ResponseState.DUE
_BODY: Final = ResponseState.BODY
_TRAILERS: Final = ResponseState.TRAILERS
_COMPLETE: Final = ResponseState.COMPLETE
_GONE: Final = ResponseState.GONE


class HTTPExchange:
    """One request and its response.

    Args:
        link: Carries the stream.
        event: The OPEN that started it.
        raises: Whether ``send()`` raises after a disconnect, as ASGI 2.4 says.
        record: Gets what passes; None: nothing is recorded.
    """

    __slots__ = (
        "_asked_at",
        "_expected",
        "_head",
        "_inbox",
        "_is_bodiless",
        "_is_complete",
        "_is_continue_due",
        "_is_event_stream",
        "_is_mute",
        "_link",
        "_raises",
        "_record",
        "_response",
        "_room",
        "_sent",
        "_trailers",
        "stream_id",
    )

    def __init__(
        self,
        link: StreamLink,
        event: StreamOpened,
        *,
        raises: bool = False,
        record: Record | None = None,
    ) -> None:
        self.stream_id = event.stream_id
        self._link = link
        self._head = event.head
        self._raises = raises
        self._record = record
        # When the edge asked how long the app takes, by `time.perf_counter`; 0: it did not.
        self._asked_at = 0.0
        self._inbox: Inbox | None = None  # made when there is more to receive than one message
        # Set while there is room; made when the visitor is first slower than the app.
        self._room: asyncio.Event | None = None
        self._response = _DUE
        self._is_complete = event.end  # the request's body
        self._is_mute = event.head.method == b"HEAD"  # the response has no body
        self._trailers: Fields | None = None  # so far; None: not announced
        self._is_event_stream = False
        self._expected: int | None = None  # bytes of the response's body, when announced
        self._sent = 0
        self._is_continue_due = not event.end and any(
            name == b"expect" and value.lower() == b"100-continue"
            for name, value in event.head.fields
        )
        # A request without a body is one message, and many apps never ask for it.
        self._is_bodiless = event.end and not event.data
        if event.data:
            if record is not None:
                record.on_request_body(event.data, event.end)
            self._put_body(event.data, len(event.data), event.end)

    def ask_duration(self) -> None:
        """Say in the response's head how long the app took, from now on."""
        self._asked_at = time.perf_counter()

    # -- for the app -------------------------------------------------------------------------

    async def run(self, app: Callable[[Any, Any, Any], Awaitable[Any]], scope: Scope) -> None:
        """Call the app and see that the visitor gets a response that looks like what it is.

        Cancelling it resets the stream.
        """
        try:
            result = await app(scope, self.receive, self.send)
        except BaseException as error:
            # Only of a visitor who has left: the error may come from another exchange, such as a
            # request that sends to WebSockets, and then this one still owes its response.
            is_gone = self._response is _GONE
            if self._record is not None:
                self._record.raised(None if is_gone and is_farewell(error) else error)
            self._fail("the app raised")
            if is_contained(error, is_gone=is_gone):
                return
            raise
        else:
            if result is not None:
                _log.error("the app returned %s instead of None", type(result).__name__)
            if self._response is _DUE:
                _log.error("the app returned without sending http.response.start")
                self._fail("the app returned without a response")
            elif self._response in (_BODY, _TRAILERS):
                _log.error("the app returned before its response was complete")
                self._fail("the app returned before its response was complete")
            if self._record is not None:
                self._record.returned()

    async def receive(self) -> Message:
        """Return the next message for the app.  Cancelling it loses nothing."""
        if self._is_continue_due:
            self._is_continue_due = False
            if self._response is _DUE:
                self._link.send_head(self.stream_id, ResponseHead(100, []))
        if self._is_bodiless:
            self._is_bodiless = False
            return {"type": "http.request", "body": b"", "more_body": False}
        message, flow_controlled_size = await self._messages().get()
        if flow_controlled_size:
            self._link.consume(self.stream_id, flow_controlled_size)
        return message

    async def send(self, message: Message) -> None:
        """Take a message from the app and return when there is room for the next.

        Cancelling it while it waits loses nothing: the message is already queued.
        """
        kind = message["type"]
        response = self._response
        if response is _GONE:
            if self._raises:
                raise ClientDisconnectedError(kind)
            await asyncio.sleep(0)  # an app that sends in a circle must not stop the event loop
            return
        if response is _BODY and kind == "http.response.body":
            self._send_body(message)
            if self._room is not None and not self._room.is_set():
                await wait_until_set(self._room)
                if self._raises and self._response is _GONE:
                    raise ClientDisconnectedError(kind)
            elif self._is_mute and self._response is _BODY:
                await asyncio.sleep(0)  # no window holds back a response that has no body
        elif response is _DUE and kind == "http.response.start":
            self._start(message)
        elif response is _DUE and kind == "http.response.early_hint":
            links = [(b"link", bytes(link)) for link in message.get("links", ())]
            self._link.send_head(self.stream_id, ResponseHead(103, normalise_fields(links)))
        elif response is _TRAILERS and kind == "http.response.trailers":
            self._send_trailers(message)
        else:
            raise RuntimeError(_misplaced(response, kind))

    def shut_down(self) -> bool:
        """End an event stream because the app ends; whether it was one.

        It has no end of its own, so it would use up the whole grace; a visitor comes back to where
        it was (``Last-Event-ID``), so a clean end takes nothing away.
        """
        if not self._is_event_stream or self._response is not _BODY:
            return False
        self._link.send_data(self.stream_id, b"", end=True)
        self._complete()
        self._response = _GONE  # what the app still sends is ignored
        return True

    # -- what the app sends ------------------------------------------------------------------

    def _start(self, message: Message) -> None:
        status = message["status"]
        if not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(
                f"http.response.start has the status {status!r}, not one of 200 to 599"
            )
        fields: Fields = []
        lengths: list[bytes] = []
        for field in normalise_fields(message.get("headers", ())):
            if field[0] == b"content-length":
                lengths.append(field[1])
                if status == 204 or len(lengths) > 1:
                    continue
            elif field[0] == b"transfer-encoding":
                continue
            elif field[0] == b"content-type" and field[1].startswith(b"text/event-stream"):
                self._is_event_stream = True
            fields.append(field)
        expected = read_length(lengths) if lengths else None
        if self._asked_at:
            fields.append(self._duration())
        self._link.send_head(self.stream_id, _new(ResponseHead, (int(status), fields)))
        if self._record is not None:
            self._record.on_head(int(status), fields)
        # Only now: a head that cannot be sent leaves no trace on the next one.
        self._expected = expected
        if status in _BODILESS:
            self._is_mute = True
        self._trailers = [] if message.get("trailers", False) else None
        self._response = _BODY

    def _duration(self) -> tuple[bytes, bytes]:
        """Return what the edge asked for; docs/protocol.md section 5.1."""
        return DURATION, b"%d" % ((time.perf_counter() - self._asked_at) * 1e6)

    def _send_body(self, message: Message) -> None:
        body = message.get("body", b"")
        if type(body) is not bytes:
            body = copy_body(body)
        more = message.get("more_body", False)
        if self._is_mute:
            body = b""
        elif self._expected is not None:
            self._sent += len(body)
            if self._sent > self._expected:
                raise RuntimeError(
                    f"the body has more bytes than its content-length of {self._expected}"
                )
            if not more and self._sent < self._expected:
                raise RuntimeError(
                    f"the body has {self._sent} bytes, its content-length is {self._expected}"
                )
        if self._record is not None:
            self._record.on_body(body)
        end = not more and self._trailers is None
        if (body or end) and not self._link.send_data(self.stream_id, body, end=end):
            if self._room is None:
                self._room = asyncio.Event()
            self._room.clear()
        if end:
            self._complete()
        elif not more:
            self._response = _TRAILERS

    def _send_trailers(self, message: Message) -> None:
        """Send the trailers of all messages at once, with the last: they are one frame."""
        trailers = [*(self._trailers or ()), *normalise_fields(message.get("headers", ()))]
        encode_fields(trailers)  # raises where it is too much: what is kept is bounded
        self._trailers = trailers
        if not message.get("more_trailers", False):
            self._link.send_trailers(self.stream_id, trailers)
            if self._record is not None:
                self._record.on_trailers(trailers)
            self._complete()

    def _complete(self) -> None:
        self._response = _COMPLETE
        if self._record is not None:
            self._record.finish()
        self._is_bodiless = False
        if self._room is not None:
            self._room.set()
        if self._inbox is not None:
            unread = self._inbox.put_last({"type": _DISCONNECT}, drop=True)
            if unread:
                self._link.consume(self.stream_id, unread)
        if self._is_complete:
            self._link.release(self.stream_id)

    def _fail(self, why: str) -> None:
        """Send a 500 response when nothing was sent; else cut, so that it cannot look complete."""
        record = self._record
        if self._response is _DUE:
            head = ResponseHead(
                500,
                [
                    (b"content-type", b"text/plain; charset=utf-8"),
                    (b"content-length", b"%d" % len(_ERROR_BODY)),
                ],
            )
            if self._asked_at:
                head.fields.append(self._duration())
            body = b"" if self._is_mute else _ERROR_BODY
            self._link.send_head(self.stream_id, head)
            self._link.send_data(self.stream_id, body, end=True)
            if record is not None:
                record.failed(why)
                record.on_head(500, head.fields)
                record.on_body(body)
            self._complete()
        elif self._response in (_BODY, _TRAILERS):
            self._link.reset_stream(self.stream_id, ResetCode.INTERNAL_ERROR, why)
            if record is not None:
                record.failed(why)
            self._disconnect()

    # -- what the visitor sends (StreamHandler) ----------------------------------------------

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Queue a piece of the request body."""
        if end:
            self._is_complete = True
        if self._record is not None:
            self._record.on_request_body(data, end)
        if self._response is _COMPLETE:
            # The response is complete, and the rest of the request will not be read.
            self._link.consume(self.stream_id, flow_controlled_size)
            if end:
                self._link.release(self.stream_id)
        else:
            self._put_body(data, flow_controlled_size, end)

    def on_trailers(self, fields: Fields) -> None:
        """End the request body: ASGI has no place for its trailers."""
        self.on_data(b"", 0, True, False, False)

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Never called: only the app's side sends responses."""

    def on_close(self, code: int, reason: str) -> None:
        """Not for HTTP: the visitor's side broke the protocol."""
        self._link.reset_stream(self.stream_id, ResetCode.PROTOCOL_ERROR, "CLOSE on an exchange")
        self._disconnect()

    def on_writable(self) -> None:
        """Let the app's ``send()`` return."""
        if self._room is not None:
            self._room.set()

    def on_reset(self, code: int, reason: str) -> None:
        """Tell the app that the visitor left, at once."""
        self._disconnect()

    def _put_body(self, data: Buffer, flow_controlled_size: int, end: bool) -> None:
        self._is_continue_due = False
        message = {"type": "http.request", "body": bytes(data), "more_body": not end}
        self._messages().put(message, flow_controlled_size)

    def _messages(self) -> Inbox:
        inbox = self._inbox
        if inbox is None:
            inbox = self._inbox = Inbox()
            if self._response in (_COMPLETE, _GONE):
                inbox.put_last({"type": _DISCONNECT})
        return inbox

    def _disconnect(self) -> None:
        if self._response is not _COMPLETE:
            self._response = _GONE
            if self._record is not None:
                self._record.cut()
        self._is_bodiless = False
        if self._inbox is not None:
            self._inbox.put_last({"type": _DISCONNECT}, drop=True)
        if self._room is not None:
            self._room.set()


def _misplaced(response: ResponseState, kind: str) -> str:
    expected = {
        _DUE: "'http.response.start'",
        _BODY: "'http.response.body'",
        _TRAILERS: "'http.response.trailers'",
    }.get(response)
    if expected is None:
        return f"the app sent {kind!r} after its response was complete"
    return f"the app sent {kind!r}; expected {expected}"


def copy_body(body: Any) -> bytes:
    """Return what an app gave as bytes, so that it may use its buffer again.

    Raises:
        TypeError: It is something else.
    """
    if not isinstance(body, bytes | bytearray | memoryview):
        raise TypeError(f"a body is bytes, not {type(body).__name__}")
    return bytes(body)


def is_contained(error: BaseException, *, is_gone: bool) -> bool:
    """Whether what an app raised goes no further than its exchange.

    Args:
        error: What came out of the app.
        is_gone: The visitor has left: our own disconnect error is then no error of the app's.

    SystemExit and KeyboardInterrupt would end the event loop, and with it every other exchange:
    they are logged here instead.
    """
    if isinstance(error, SystemExit | KeyboardInterrupt):
        _log.error("the app raised %s; only its own exchange ends", type(error).__name__)
        return True
    return is_gone and is_disconnect(error)


def is_farewell(error: BaseException) -> bool:
    """Whether an app whose visitor has left ended by it, which is no error of the app's."""
    return isinstance(error, asyncio.CancelledError) or is_disconnect(error)


def is_disconnect(error: BaseException) -> bool:
    """Whether an exception is, or comes from, our own :class:`ClientDisconnectedError`.

    Frameworks wrap it, in causes, contexts and exception groups, and Starlette's chain is cyclic.
    """
    seen: set[int] = set()
    todo: list[BaseException] = [error]
    while todo:
        one = todo.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        if isinstance(one, ClientDisconnectedError):
            return True
        todo += [link for link in (one.__cause__, one.__context__) if link is not None]
        if isinstance(one, BaseExceptionGroup):
            todo += one.exceptions
    return False
