"""A visitor's request to a marked route: read whole, then passed on or stored.

Its body is bounded by ``inbox.max_body``, so that it can be delivered again. The sender gets the
app's own response when that comes in time; 202 when the request is on disk; 503 when it is not.
"""

from __future__ import annotations

import asyncio
import time
from enum import Enum, auto
from typing import Final

from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Fields, HeadError, RequestHead, ResponseHead, encode_request

from ..exchange.checked import CheckedRoute
from ..exchange.http import TOO_LARGE_A_HEAD
from ..exchange.placement import FULL as FULL_APP
from ..exchange.writer import Exchange, ResponseWriter
from ..observers.access_log import Entry
from ..replies import RETRY_AFTER, Reply
from ..request import Request
from ..route import Route
from ..storage.inbox import InboxRecord
from .book import FULL, ID_FIELD, Book, delivered_fields, request_id_of
from .delivery import Delivery
from .lane import DeliveryLane

__all__ = ["InboxExchange"]

_NO_MEMORY: Final = Reply(
    503,
    "this edge has no memory left for new requests right now",
    RETRY_AFTER,
    reason="overloaded",
)
_UNCHECKED: Final = Reply(
    503, "the password was not checked in time", RETRY_AFTER, reason="overloaded"
)
_STORED: Final = "stored for the app"


class _Phase(Enum):
    CHECKED = auto()  # a password is being checked, and no more is read meanwhile
    READING = auto()  # the request is not whole
    PASSED_ON = auto()  # it is on its way to the app, and the response is waited for
    RESPONDING = auto()  # the app's response is being written
    STORING = auto()  # it is on its way to the disk
    OVER = auto()


class InboxExchange(Exchange):
    """See the module; the sender of a :class:`.delivery.Delivery`.

    Args:
        book: Of the inbox.
        lane: What it belongs to.
        writer: Of the visitor's front.
        request: What was read.
        head: The same for the wire.
        route: To the app.
    """

    __slots__ = (
        "_book",
        "_delivery",
        "_head",
        "_is_counted",
        "_is_whole",
        "_lane",
        "_outcome",
        "_phase",
        "_pieces",
        "_record_id",
        "_request",
        "_route",
        "_sent",
        "_size",
        "_started",
        "_status",
        "_timer",
        "_writer",
    )

    def __init__(
        self,
        book: Book,
        lane: DeliveryLane,
        writer: ResponseWriter,
        request: Request,
        head: RequestHead,
        route: Route,
    ) -> None:
        super().__init__()
        self._book = book
        self._lane = lane
        self._writer = writer
        self._request = request
        self._head = head
        self._route = route
        self._phase = _Phase.READING
        self._is_counted = False
        self._is_whole = request.length == 0
        self._pieces: list[bytes] = []
        self._size = 0
        self._sent = 0
        self._status = 0
        self._outcome = ""
        self._record_id = ""
        self._started = time.perf_counter()
        self._delivery: Delivery | None = None
        self._timer: asyncio.TimerHandle | None = None

    @property
    def is_over(self) -> bool:
        """See :class:`..exchange.writer.Exchange`."""
        return self._phase is _Phase.OVER

    # -- the request -------------------------------------------------------------------------

    def start(self) -> None:
        """See :class:`..exchange.writer.Exchange`."""
        if not self._route.share.enter():
            self._refuse(FULL_APP)
            return
        self._is_counted = True
        self._lane.users += 1
        if isinstance(self._route, CheckedRoute):
            self._phase = _Phase.CHECKED
            self._writer.hold()
            self._route.when_decided(self._let_in)
        else:
            self._begin()

    def _begin(self) -> None:
        if self._request.length == 0:
            self._decide()
        elif self._request.expects_continue:
            self._writer.informational(ResponseHead(100, []))

    def _let_in(self, refusal: Reply | None) -> None:
        """A password was checked, or not in time."""
        if self._phase is not _Phase.CHECKED:
            return  # its sender has left
        if refusal is None:
            self._phase = _Phase.READING
        self._writer.release()  # what came of the body meanwhile is read now
        if refusal is None:
            if self._phase is _Phase.READING:
                self._begin()
        elif self._phase is _Phase.CHECKED:
            self._refuse(refusal)

    def send_body(self, data: bytes, *, end: bool) -> None:
        """See :class:`..exchange.writer.Exchange`: collect it."""
        self._is_whole = self._is_whole or end
        if self._phase is not _Phase.READING:
            return
        if data:
            if not self._book.hold(self._route.token_id, len(data)):
                self._refuse(_NO_MEMORY)
                return
            self._pieces.append(data)
            self._size += len(data)
        if end:
            self._decide()

    def _decide(self) -> None:
        """Pass the request on, or store it."""
        book, lane, head = self._book, self._lane, self._head
        body = b"".join(self._pieces)
        self._pieces.clear()
        record = InboxRecord(
            request_id_of(lane.lane, head, body), lane.lane, book.next_seq(), 0, b""
        )
        try:
            fields = [*head.fields, *delivered_fields(record, 1)]
            encode_request(StreamKind.HTTP, head._replace(fields=fields))
            payload = encode_request(StreamKind.HTTP, head) + body
        except HeadError:
            self._refuse(TOO_LARGE_A_HEAD)
            return
        record = record._replace(payload=payload)
        self._record_id = record.id
        way = lane.session()
        if way is None:
            self._phase = _Phase.STORING
            lane.keep(record, self.stored)
            return
        self._phase = _Phase.PASSED_ON
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(book.config.patience, self._wait_no_longer)
        self._delivery = lane.pass_on(record, way, self)

    def _wait_no_longer(self) -> None:
        """The app takes long: its sender hears that the request is safe."""
        self._timer = None
        delivery = self._delivery
        if self._phase is _Phase.PASSED_ON and delivery is not None and not delivery.is_over:
            self._lane.keep_delivered(delivery, self.stored)

    def stored(self, is_on_disk: bool) -> None:
        """See :class:`.delivery.Sender`."""
        self._stop_timer()
        self._delivery = None
        if self._phase is _Phase.OVER:
            return
        if not is_on_disk:
            self._refuse(FULL)
            return
        body = b'{"stored": true, "id": "%s"}\n' % self._record_id.encode()
        head = ResponseHead(
            202,
            [
                (b"content-type", b"application/json"),
                (b"content-length", b"%d" % len(body)),
                (b"cache-control", b"no-store"),
                (ID_FIELD, self._record_id.encode()),
                (b"x-request-id", self._head.request_id),
            ],
        )
        self._status, self._outcome = 202, _STORED
        self._sent = len(body)
        self._end(202)
        if self._writer.start(head, body, end=True) is None:
            self._writer.finish()

    def abandon(self, code: int, outcome: str, status: int) -> None:
        """See :class:`..exchange.writer.Exchange`: what is whole reaches the app nevertheless."""
        if self._phase is _Phase.OVER:
            return
        delivery, self._delivery = self._delivery, None
        was_waiting = self._phase is _Phase.PASSED_ON
        self._outcome = outcome
        self._end(self._status or status)
        if delivery is None or delivery.is_over:
            return
        if was_waiting and not delivery.is_stored:
            self._lane.keep_delivered(delivery, _nobody_waits)
        else:
            delivery.sender = None
            delivery.sender_takes_more()

    def writable(self) -> None:
        """See :class:`..exchange.writer.Exchange`."""
        if self._delivery is not None:
            self._delivery.sender_takes_more()

    def time_out(self) -> None:
        """See :class:`..exchange.writer.Exchange`: it never waits for an app."""
        self._let_in(_UNCHECKED)

    # -- the response (Sender) ---------------------------------------------------------------

    @property
    def is_paused(self) -> bool:
        """See :class:`.delivery.Sender`."""
        return self._writer.is_paused

    def response_begins(self, head: ResponseHead, data: Buffer, *, end: bool) -> str | None:
        """See :class:`.delivery.Sender`."""
        self._stop_timer()
        self._status = head.status
        why = self._writer.start(head, data, end=end)
        if why is None:
            self._phase = _Phase.RESPONDING
            self._took(len(data), end=end)
        return why

    def response_goes_on(self, data: Buffer, *, end: bool) -> str | None:
        """See :class:`.delivery.Sender`."""
        why = self._writer.data(data, end=end)
        if why is None:
            self._took(len(data), end=end)
        return why

    def response_ends(self, fields: Fields) -> str | None:
        """See :class:`.delivery.Sender`."""
        why = self._writer.trailers(fields)
        if why is None:
            self._took(0, end=True)
        return why

    def response_failed(self, why: str) -> None:
        """See :class:`.delivery.Sender`."""
        if self._phase is _Phase.OVER:
            return
        if self._writer.has_started:
            self._outcome = why
            self._end(self._status)
            self._writer.abort()
        else:
            self._refuse(
                Reply(502, f"the app's response was refused: {why}", reason="bad-response")
            )

    # -- inside ------------------------------------------------------------------------------

    def _took(self, size: int, *, end: bool) -> None:
        self._sent += size
        if end:
            self._delivery = None
            self._end(self._status)
            self._writer.finish()

    def _refuse(self, reply: Reply) -> None:
        self._outcome = reply.why
        self._end(reply.status)
        keep_alive = self._is_whole and not reply.closes
        self._writer.reply(reply, request_id=self._head.request_id, keep_alive=keep_alive)

    def _stop_timer(self) -> None:
        timer, self._timer = self._timer, None
        if timer is not None:
            timer.cancel()

    def _end(self, status: int) -> None:
        self._phase = _Phase.OVER
        self._stop_timer()
        self._pieces.clear()
        if self._size:
            self._book.let_go(self._route.token_id, self._size)
            self._size = 0
        if self._is_counted:
            self._is_counted = False
            self._lane.users -= 1
            self._route.share.leave()
        head = self._head
        is_head = head.method == b"HEAD"
        self._book.notify(
            Entry(
                head.request_id,
                head.arrival.peer_host,
                head.method,
                self._route.hostname,
                head.target,
                status,
                0 if is_head else self._sent,
                time.perf_counter() - self._started,
                self._outcome,
            )
        )


def _nobody_waits(is_on_disk: bool) -> None:
    """The sender has left."""
