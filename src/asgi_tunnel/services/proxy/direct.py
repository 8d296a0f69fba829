"""One small exchange with a service, from the tunnel's stream to the connection and back.

What most requests are: GET or HEAD without a body, and a connection that is ready.  They need no
task, no scope and no messages, which would cost more than the request itself; every other one is an
ASGI call (:mod:`.http`).  What a visitor gets is the same.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

from ...asgi.types import StreamHandler, StreamLink, StreamOwner
from ...protocol.codes import ResetCode
from ...protocol.events import StreamOpened
from ...protocol.frames import Buffer
from ...protocol.head import VISITOR, Fields, HeadError, RequestHead, ResponseHead
from ..reply import refusal, text_fields
from ..service import Service
from ..table import Table, has_dot_segments, read_hostname
from .connection import ServiceConnection
from .errors import RequestError, ServiceClosedError
from .fields import is_target, response_fields, sent_trailers
from .proxy import Proxy
from .response import ResponseReader

METHODS: Final = frozenset({b"GET", b"HEAD"})
"""Nearly all that have no body; and both may be sent again."""

_CUT: Final = "the service did not complete its response"
_NOT_COMPLETE: Final = ", not complete"


def find_target(table: Table, head: RequestHead) -> tuple[Service, bytes, str] | None:
    """Return the service of a request, the target that it sees, and what was stripped from that.

    None: there is none, or the request is one to refuse.
    """
    hostname = read_hostname(head.fields)
    if hostname is None:
        return None
    raw_path, _, query = head.target.partition(b"?")
    match = table.find(hostname, raw_path)
    if match is None or (match.service.path and has_dot_segments(raw_path)):
        return None
    service = match.service
    path, root_path = raw_path, ""
    if service.strip:
        path, root_path = match.rest or b"/", service.path
    elif service.replace is not None:
        path = service.replace.encode() + match.rest or b"/"
    return service, b"%b?%b" % (path, query) if query else path, root_path


def begin_direct(
    service: Proxy,
    link: StreamLink,
    event: StreamOpened,
    owner: StreamOwner,
    target: bytes,
    root_path: str,
) -> DirectExchange | None:
    """Send a request on a connection that is ready; None, and nothing done, where it needs a call.

    Args:
        service: Where it goes.
        link: Carries the stream.
        event: The OPEN that started it, without a body.
        owner: Gave the stream.
        target: As the service sees it, in origin form.
        root_path: What was stripped from the path.
    """
    method, _, arrival, request_id, _, fields = event.head
    if method not in METHODS or not is_target(target):
        return None
    if fields and fields[-1][0] == VISITOR:
        fields = fields[:-1]  # no field; the event keeps it, for a call
    scope = {
        "headers": _with_request_id(fields, request_id),
        "client": arrival.client,
        "scheme": arrival.scheme,
        "root_path": root_path,
    }
    try:
        head = service.writer.write(scope, method, target)
    except RequestError:
        return None  # which is refused there
    if head.length is not None or head.expects:
        return None
    connection = service.pool.take_idle(is_repeatable=True)
    if connection is None:
        return None
    exchange = DirectExchange(service, link, event, owner, connection, scope)
    exchange.begin(head.data + b"\r\n")
    return exchange


class DirectExchange:
    """See the module.

    Args:
        service: Where it goes.
        link: Carries the stream.
        event: The OPEN that started it.
        owner: Told of the end.
        connection: To the service, idle.
        scope: What of an ASGI scope the maps of fields and URLs read.
    """

    __slots__ = (
        "_call",
        "_connection",
        "_event",
        "_has_trailers",
        "_is_event_stream",
        "_is_held",
        "_is_over",
        "_link",
        "_loop",
        "_owner",
        "_reader",
        "_scope",
        "_service",
        "_status",
    )

    def __init__(
        self,
        service: Proxy,
        link: StreamLink,
        event: StreamOpened,
        owner: StreamOwner,
        connection: ServiceConnection,
        scope: dict[str, Any],
    ) -> None:
        self._service = service
        self._link = link
        self._event = event
        self._owner = owner
        self._connection = connection
        self._scope = scope
        self._loop = asyncio.get_running_loop()
        self._reader = ResponseReader(event.head.method.decode(), lines=service.pool.lines)
        self._status = 0  # of the response; 0: nothing was sent to the visitor
        self._has_trailers = False
        self._is_event_stream = False
        self._is_held = False  # the visitor takes no more for now
        self._is_over = False
        self._call: StreamHandler | None = None  # which serves the stream after all

    def begin(self, data: bytes) -> None:
        """Send the request."""
        self._service.use.begin_exchange()
        self._connection.begin(self._reader, self)
        self._connection.write(data)
        self._set_deadline(self._service.pool.target.response_timeout)

    # -- the service -------------------------------------------------------------------------

    def on_progress(self) -> None:
        """Pass on what has come."""
        if self._is_over or self._is_held:
            return
        reader, connection = self._reader, self._connection
        if not self._status:
            if reader.interim:
                self._inform()
            if reader.head is None or (connection.is_broken and not reader.is_complete):
                # Nothing was sent yet, so a response that cannot become whole is a 502 and no cut.
                if connection.error is not None:
                    self._fail(connection.error)
                return
            if not self._start():
                return
        data = connection.take()
        if reader.is_complete:
            self._complete(data)
        elif connection.error is not None:
            if data:
                self._link.send_data(self._event.stream_id, data)
            self._fail(connection.error)
        elif data and not self._link.send_data(self._event.stream_id, data):
            self._is_held = True
            self._service.pool.deadlines.clear(self)
        else:
            self._set_deadline(self._service.pool.target.idle_timeout)

    def on_due(self, now: float) -> None:
        """The service was too slow."""
        if not self._is_over:
            self._fail(TimeoutError())

    def _inform(self) -> None:
        """Pass early hints on; other 1xx responses say nothing to this request (RFC 8297)."""
        for head in self._reader.interim:
            if head.status == 103:
                links = [field for field in head.fields if field[0] == b"link"]
                self._link.send_head(self._event.stream_id, ResponseHead(103, links))
        self._reader.interim.clear()

    def _start(self) -> bool:
        """Send the head; whether that was possible."""
        head = self._reader.head
        assert head is not None
        fields = self._service.urls.map_response(head.status, response_fields(head), self._scope)
        sent: Fields = []
        for field in fields:
            name = field[0]
            if name == b"content-length" and head.status == 204:
                continue
            if name == b"content-type" and field[1].startswith(b"text/event-stream"):
                self._is_event_stream = True
            elif name == b"trailer":
                self._has_trailers = True
            sent.append(field)
        try:
            self._link.send_head(self._event.stream_id, ResponseHead(head.status, sent))
        except HeadError as error:
            self._fail(error)
            return False
        self._status = head.status
        return True

    def _complete(self, data: bytes) -> None:
        stream_id, link = self._event.stream_id, self._link
        if self._has_trailers:
            if data:
                link.send_data(stream_id, data)
            link.send_trailers(stream_id, sent_trailers(self._reader.trailers))
        else:
            link.send_data(stream_id, data, end=True)
        link.release(stream_id)
        self._service.note_reached()
        self._end("")

    def _fail(self, error: Exception) -> None:
        """Refuse, cut, or ask again: the connection was old, and closed before it was used."""
        if self._status:
            self._service.warn(_reason(error))
            self._cut(_CUT)
        elif isinstance(error, ServiceClosedError):
            self._call = self._owner.call_app(self._link, self._event)
            self._end("")
        else:
            self._service.warn(_reason(error))
            if isinstance(error, TimeoutError):
                self._refuse(504, "this service did not answer in time")
            else:
                self._refuse(502, "this service gave no valid response")

    # -- the end -----------------------------------------------------------------------------

    def _refuse(self, status: int, why: str, *, retry: bool = False) -> None:
        text, fields = refusal(status, why, retry=retry)
        body = text.encode()
        stream_id = self._event.stream_id
        self._link.send_head(stream_id, ResponseHead(status, text_fields(body, fields)))
        is_head = self._event.head.method == b"HEAD"
        self._link.send_data(stream_id, b"" if is_head else body, end=True)
        self._link.release(stream_id)
        self._status = status
        self._end("")

    def _cut(self, why: str) -> None:
        """End the stream so that what was sent cannot look complete."""
        self._link.reset_stream(self._event.stream_id, ResetCode.INTERNAL_ERROR, why)
        self._end(_NOT_COMPLETE)

    def _end(self, note: str) -> None:
        self._is_over = True
        pool = self._service.pool
        pool.deadlines.clear(self)
        if self._reader.is_complete:
            pool.give_back(self._connection)
        else:
            pool.drop(self._connection)
        self._service.use.end_exchange()
        self._owner.ended(self, self._status, note)

    def _set_deadline(self, seconds: float) -> None:
        """Let the exchange fail after so long; 0: never."""
        deadlines = self._service.pool.deadlines
        if seconds:
            deadlines.set(self, self._loop.time() + seconds)
        else:
            deadlines.clear(self)

    # -- the app's end (DirectStream) --------------------------------------------------------

    def shut_down(self) -> None:
        """End an event stream, which has no end of its own; see :meth:`.HTTPExchange.shut_down`."""
        if self._is_event_stream and not self._is_over:
            self._link.send_data(self._event.stream_id, b"", end=True)
            self._link.release(self._event.stream_id)
            self._end("")

    def abort(self) -> None:
        """End it now."""
        if self._is_over:
            return
        if self._status:
            self._cut("the app ends")
        else:
            self._refuse(503, "this service is not running at the moment", retry=True)

    # -- the visitor (StreamHandler) ---------------------------------------------------------

    def on_writable(self) -> None:
        """Go on with what was held."""
        if self._call is not None:
            self._call.on_writable()
        elif self._is_held:
            self._is_held = False
            self.on_progress()

    def on_reset(self, code: int, reason: str) -> None:
        """The visitor has left: the service learns it from the end of its connection."""
        if self._call is not None:
            self._call.on_reset(code, reason)
        elif not self._is_over:
            self._end(_NOT_COMPLETE if self._status else "")

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Never called: the request had no body."""

    def on_trailers(self, fields: Fields) -> None:
        """Never called, as :meth:`on_data`."""

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Never called: only the app's side sends responses."""

    def on_close(self, code: int, reason: str) -> None:
        """Never called: this is no WebSocket."""


def _with_request_id(fields: Fields, request_id: bytes) -> Fields:
    """Return the fields with the edge's name for the request, as the driver adds it."""
    for name, _ in fields:
        if name == b"x-request-id":
            return fields  # a visitor's own, see asgi/scope.py
    return [*fields, (b"x-request-id", request_id)]


def _reason(error: Exception) -> str:
    return "it did not answer in time" if isinstance(error, TimeoutError) else str(error)
