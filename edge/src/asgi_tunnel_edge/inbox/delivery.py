"""One request on its way to an app: a stream's handler.

Behind it may be a sender that still waits (:class:`Sender`), which gets the app's own response; or
nobody, when the request was stored before. What becomes of it afterwards is :mod:`.lane`'s.
"""

from __future__ import annotations

import asyncio
import time
from typing import Final, Protocol

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Fields, HeadError, ResponseHead, decode_request

from ..observers.access_log import Entry
from ..route import Route, Upstream
from ..storage.inbox import InboxRecord
from .book import Book, delivered_fields, settles

__all__ = ["LOST", "REFUSED", "Delivery", "Owner", "Sender"]

LOST: Final = "the tunnel to the app was lost"
REFUSED: Final = "the app takes no requests at the moment"
_TOO_LARGE: Final = "the request head is too large to be relayed"
_BROKEN: Final = "the app's side broke the tunnel's protocol"

MAX_DROPPED: Final = 1024 * 1024
"""Bytes of a response that nobody waits for, after which the app is told to stop: the status is all
that counts."""


class Sender(Protocol):
    """Who waits for the response to a request that is passed on without being stored."""

    def response_begins(self, head: ResponseHead, data: Buffer, *, end: bool) -> str | None:
        """Send the head of the response; return what is wrong with it, or None."""

    def response_goes_on(self, data: Buffer, *, end: bool) -> str | None:
        """Send more; returns as above."""

    def response_ends(self, fields: Fields) -> str | None:
        """Send trailers; returns as above."""

    @property
    def is_paused(self) -> bool:
        """Whether the sender reads slower than the app writes."""

    def response_failed(self, why: str) -> None:
        """The response that had begun will not be complete."""

    def stored(self, is_on_disk: bool) -> None:
        """There is no response for now: the request waits, or there is no room for it."""


class Owner(Protocol):
    """Hears what becomes of a delivery: one of these calls, once."""

    def settled(self, delivery: Delivery, status: int) -> None:
        """The app has responded, and will not get it again by itself."""

    def failed(self, delivery: Delivery, why: str, *, counts: bool, at_once: bool = False) -> None:
        """It has to be delivered again.

        Args:
            delivery: Which one.
            why: For the list.
            counts: The app may have begun with it.
            at_once: Another session is ready.
        """

    def away(self, delivery: Delivery) -> None:
        """The app's connection is lost, and may come back: a sender need not wait for that."""


class Delivery:
    """See the module.

    Args:
        book: Of the inbox.
        owner: Hears of the end.
        record: What is delivered.
        route: To the app.
        sender: Who waits, if somebody does.

    Attributes:
        record: As given.
        sender: As given, until it is told something else.
        is_stored: It is in the store, or on its way there.
        is_pending: It is on its way there.
        is_over: The owner has heard of its end.
    """

    __slots__ = (
        "_book",
        "_dropped",
        "_head",
        "_owner",
        "_route",
        "_started",
        "_status",
        "_stream_id",
        "_timer",
        "_unconsumed",
        "_upstream",
        "is_over",
        "is_pending",
        "is_stored",
        "record",
        "sender",
    )

    def __init__(
        self,
        book: Book,
        owner: Owner,
        record: InboxRecord,
        route: Route,
        sender: Sender | None = None,
    ) -> None:
        self.record = record
        self.sender = sender
        self.is_stored = sender is None
        self.is_pending = self.is_over = False
        self._book = book
        self._owner = owner
        self._route = route
        self._status = 0  # of the response that settles it
        self._dropped = 0
        self._unconsumed = 0
        self._upstream: Upstream | None = None
        self._stream_id = 0
        self._started = time.perf_counter()
        self._timer: asyncio.TimerHandle | None = None
        _, self._head, _ = decode_request(record.payload)

    def open(self, upstream: Upstream) -> None:
        """Send it."""
        record = self.record
        _, head, begin = decode_request(record.payload)
        fields = [*head.fields, *delivered_fields(record, record.attempts + 1)]
        body = memoryview(record.payload)[begin:]
        self._upstream = upstream
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(self._book.config.timeout, self._time_out)
        try:
            self._stream_id = upstream.open_stream(
                StreamKind.HTTP, head._replace(fields=fields), self, end=not body
            )
        except HeadError:
            self._upstream = None
            self._fail(_TOO_LARGE)
            return
        if body:
            upstream.send_data(self._stream_id, bytes(body), end=True)

    def sender_takes_more(self) -> None:
        """The sender has taken what was written."""
        size, self._unconsumed = self._unconsumed, 0
        if size and self._upstream is not None and not self.is_over:
            self._upstream.consume(self._stream_id, size)

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """See :class:`..admission.supervisor.Stallable`: its connection is lost."""
        if self._status or self.is_over:
            return
        other = self._route.choose()
        if other is not None and other is not self._upstream:
            self._reset(ResetCode.CANCELLED)
            self._fail(LOST, at_once=True)
        else:
            self._owner.away(self)

    # -- the response (StreamHandler) --------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Decide by the status; a sender gets what settles the request."""
        status = head.status
        if status < 200:
            if status == 101:
                self._reset(ResetCode.PROTOCOL_ERROR)
                self._fail(_BROKEN)
            return
        if not settles(status):
            self._reset(ResetCode.CANCELLED)
            self._fail(f"the app's status was {status}", status)
            return
        self._status = status
        sender = self.sender
        if sender is not None:
            self._said(sender.response_begins(head, data, end=end))
        if not self.is_over:
            self._account(len(data), end)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Pass a piece of the response on, or drop it."""
        if self.is_over:
            return
        sender = self.sender
        if sender is not None:
            self._said(sender.response_goes_on(data, end=end))
        if not self.is_over:
            self._account(flow_controlled_size, end)

    def on_trailers(self, fields: Fields) -> None:
        """End the response."""
        sender = self.sender
        if sender is not None and not self.is_over:
            self._said(sender.response_ends(fields))
        if not self.is_over:
            self._account(0, end=True)

    def on_close(self, code: int, reason: str) -> None:
        """Not for HTTP."""
        self._reset(ResetCode.PROTOCOL_ERROR)
        self._end_early(_BROKEN)

    def on_writable(self) -> None:
        """The whole request was handed over at once."""

    def on_reset(self, code: int, reason: str) -> None:
        """The app gave it up, or its session is lost."""
        self._upstream = None
        if self._status:
            self._end_early(reason or LOST)
        elif code == ResetCode.REFUSED:
            self._fail(REFUSED, counts=False)
        elif code == ResetCode.SESSION_LOST:
            self._fail(LOST)
        else:
            self._fail("the app gave up on the request")

    # -- inside ------------------------------------------------------------------------------

    def _said(self, why: str | None) -> None:
        """The sender could not be sent the response: the app has the request nevertheless."""
        if why is not None:
            self._reset(ResetCode.PROTOCOL_ERROR)
            self._end_early(why)

    def _account(self, size: int, end: bool) -> None:
        upstream = self._upstream
        if upstream is None:
            return
        if end:
            upstream.release(self._stream_id)
            if self._unconsumed + size:
                upstream.consume(self._stream_id, self._unconsumed + size)
            self._settle()
            return
        sender = self.sender
        if sender is not None and sender.is_paused:
            self._unconsumed += size
            return
        if sender is None:
            self._dropped += size
            if self._dropped > MAX_DROPPED:
                self._reset(ResetCode.CANCELLED)
                self._settle()
                return
        if size:
            upstream.consume(self._stream_id, size)

    def _reset(self, code: ResetCode) -> None:
        upstream, self._upstream = self._upstream, None
        if upstream is not None:
            upstream.reset_stream(self._stream_id, code)

    def _time_out(self) -> None:
        if self._status:
            self._reset(ResetCode.CANCELLED)
            self._end_early("the response took too long")
        elif not self.is_over:
            self._reset(ResetCode.CANCELLED)
            self._fail(f"no response in {self._book.config.timeout:g} s")

    def _end_early(self, why: str) -> None:
        """End a response that is not complete; its status counts."""
        sender, self.sender = self.sender, None
        if sender is not None:
            sender.response_failed(why)
        if self._status:
            self._settle()
        else:
            self._fail(why)

    def _settle(self) -> None:
        if not self.is_over:
            self._close(self._status, "")
            self._owner.settled(self, self._status)

    def _fail(
        self, why: str, status: int = 0, *, counts: bool = True, at_once: bool = False
    ) -> None:
        if not self.is_over:
            self._close(status, why)
            self._owner.failed(self, why, counts=counts, at_once=at_once)

    def _close(self, status: int, outcome: str) -> None:
        self.is_over = True
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        if not self.is_stored:
            return  # its exchange is in the log
        head = self._head
        attempt = f"inbox: delivery {self.record.attempts + 1}"
        self._book.notify(
            Entry(
                head.request_id,
                head.arrival.peer_host,
                head.method,
                self._route.hostname,
                head.target,
                status or 502,
                0,
                time.perf_counter() - self._started,
                f"{attempt}: {outcome}" if outcome else attempt,
            )
        )
