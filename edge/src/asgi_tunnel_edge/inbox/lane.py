"""One marked route of one hostname: its requests reach the app one after the other, in order.

A request is passed straight on while the app is there and nothing waits before it; then its sender
gets the app's own response. Otherwise it is stored, and its sender gets 202. What the app did not
get, or did not want yet, is delivered again, before everything behind it.
"""

from __future__ import annotations

import logging
from collections import deque
from collections.abc import Callable
from functools import partial
from typing import Final

from ..errors import StorageError
from ..route import Route, Upstream
from ..storage.inbox import InboxRecord, InboxStore, Lane
from .book import Book
from .delivery import Delivery, Sender
from .journal import Change

__all__ = ["DeliveryLane"]

_log = logging.getLogger("asgi_tunnel_edge.inbox")

AHEAD: Final = 64
"""Requests that are read from the store at once."""

AHEAD_BYTES: Final = 1024 * 1024
"""The same in bytes; one request may be larger."""

BASE_DELAY: Final = 0.25
MAX_DELAY: Final = 60.0
"""Seconds after the first failed delivery of a request; doubled with each further one, up to the
other. A restart takes a second, and nobody looks at a broken app every second."""

Kept = Callable[[bool], None]
"""Hears whether a request is on disk."""


class DeliveryLane:
    """See the module.

    Args:
        book: Of the inbox.
        lane: Which one.

    Attributes:
        lane: As given.
        stored: Requests in the store that are not on their way to the app.
        users: Requests of visitors that are not whole, or have no response yet.
    """

    __slots__ = (
        "_ahead",
        "_book",
        "_busy",
        "_is_fetching",
        "_not_before",
        "_returning",
        "_storing",
        "_taken",
        "lane",
        "stored",
        "users",
    )

    def __init__(self, book: Book, lane: Lane) -> None:
        self.lane = lane
        self.stored = self.users = 0
        self._book = book
        self._busy: Delivery | None = None
        self._storing = 0  # requests on their way to the store
        self._returning = 0  # those of them that were passed on before; they come first
        self._ahead: deque[InboxRecord] = deque()  # the oldest ones of the store
        self._taken: set[str] = set()  # in the store, and delivered or on their way to the app
        self._is_fetching = False
        self._not_before = 0.0  # when the next delivery may begin, monotonic

    @property
    def is_idle(self) -> bool:
        """Whether nothing is known here that the store does not know."""
        is_quiet = self._busy is None and not self._is_fetching and not self._taken
        return is_quiet and self.stored <= 0 and not self._storing and not self.users

    @property
    def is_busy(self) -> bool:
        """Whether a request is on its way to the app."""
        return self._busy is not None

    # -- for senders -------------------------------------------------------------------------

    def session(self) -> tuple[Upstream, Route] | None:
        """Return what a request can be passed straight on by; None: it has to be stored."""
        if self._busy is not None or self._storing or self.stored > 0 or self._is_fetching:
            return None
        return self._ready() if self._book.may_pass_on else None

    def pass_on(self, record: InboxRecord, way: tuple[Upstream, Route], sender: Sender) -> Delivery:
        """Deliver a request whose sender waits for the response."""
        session, route = way
        delivery = self._busy = Delivery(self._book, self, record, route, sender)
        delivery.open(session)
        return delivery

    def keep(self, record: InboxRecord, done: Kept) -> None:
        """Store a request behind those that wait.

        Args:
            record: What to store.
            done: Called soon, perhaps at once.
        """
        self._store(record, done, None)

    def keep_delivered(self, delivery: Delivery, done: Kept) -> None:
        """Store a request that is on its way to the app: its sender waits no longer."""
        delivery.sender = None
        self._store(delivery.record, done, delivery)

    # -- Owner -------------------------------------------------------------------------------

    def settled(self, delivery: Delivery, status: int) -> None:
        """See :class:`.delivery.Owner`."""
        self._busy = None
        if delivery.is_stored:
            record = delivery.record
            if 200 <= status < 300:
                self._book.delivered += 1
                self._leave_store(delivery, partial(_delete, record.id), makes_room=True)
            else:
                _log.warning(
                    "the app refused the request %s to %s %s with %d; `asgi-tunnel-edge inbox "
                    "list` has it",
                    record.id,
                    self.lane.hostname,
                    self.lane.rule,
                    status,
                )
                outcome = f"the app's status was {status}"
                change = partial(_set_aside, record.id, record.attempts + 1, outcome)
                self._leave_store(delivery, change)
        self.look()

    def failed(self, delivery: Delivery, why: str, *, counts: bool, at_once: bool = False) -> None:
        """See :class:`.delivery.Owner`."""
        book = self._book
        self._busy = None
        record = delivery.record
        record = record._replace(attempts=record.attempts + counts)
        delay = 0.0 if at_once else min(BASE_DELAY * 2 ** max(record.attempts - 1, 0), MAX_DELAY)
        self._not_before = book.now() + delay
        sender, delivery.sender = delivery.sender, None
        if sender is not None:
            self._store(record, sender.stored, None, is_returning=True)
            return
        if not delivery.is_stored:  # there was no room for it, and its sender knows
            self.look()
            return
        if record.attempts >= book.config.max_attempts:
            _log.error(
                "the request %s to %s %s was delivered %d times in vain and is set aside (%s); "
                "`asgi-tunnel-edge inbox retry` lets it wait again",
                record.id,
                self.lane.hostname,
                self.lane.rule,
                record.attempts,
                why,
            )
            change = partial(_set_aside, record.id, record.attempts, why)
            self._leave_store(delivery, change)
            self._not_before = 0.0
        else:
            self._taken.discard(record.id)
            if counts:
                book.journal.write(partial(_note, record.id, record.attempts, why), is_kept=True)
            if not delivery.is_pending:
                self.stored += 1
                self._ahead.appendleft(record)
        self.look()

    def away(self, delivery: Delivery) -> None:
        """See :class:`.delivery.Owner`."""
        sender = delivery.sender
        if sender is not None:
            self.keep_delivered(delivery, sender.stored)

    # -- the store ---------------------------------------------------------------------------

    def follow(self, count: int) -> None:
        """Take over how many requests wait, by the store: another process has changed it."""
        self._ahead.clear()
        self.stored = count  # too many, with what is on its way; the next look at them says

    def look(self) -> None:
        """Deliver the next request, if there is one and it is time."""
        book = self._book
        if self._busy is not None or self._returning or self._is_fetching:
            return
        if self.stored <= 0 or book.now() < self._not_before:
            return
        way = self._ready()
        if way is None:
            return
        if not self._ahead:
            self._fetch()
            return
        session, route = way
        record = self._ahead.popleft()
        self.stored -= 1
        self._taken.add(record.id)
        delivery = self._busy = Delivery(book, self, record, route)
        delivery.open(session)

    def _ready(self) -> tuple[Upstream, Route] | None:
        book = self._book
        route = book.route(self.lane) if book.is_leading else None
        if route is None:
            return None
        session = route.choose()
        if session is None:
            route.seek()
            return None
        return session, route

    def _fetch(self) -> None:
        self._is_fetching = True
        look = partial(_oldest, self.lane, frozenset(self._taken))
        self._book.journal.read(look, self._fetched)

    def _fetched(self, found: tuple[list[InboxRecord], bool] | StorageError) -> None:
        self._is_fetching = False
        if isinstance(found, StorageError):
            _log.error("stored requests cannot be read: %s", found)
            self._not_before = self._book.now() + MAX_DELAY
            return
        records, are_all = found
        self._ahead = deque(one for one in records if one.id not in self._taken)
        if are_all:
            self.stored = len(self._ahead)
        self.look()

    def _store(
        self,
        record: InboxRecord,
        done: Kept,
        delivery: Delivery | None,
        *,
        is_returning: bool = False,
    ) -> None:
        book, size = self._book, len(record.payload)
        if not book.admit(self.lane.token_id, size):
            done(False)
            return
        first = is_returning or delivery is not None
        self._storing += 1
        self._returning += first
        if delivery is not None:
            delivery.is_stored = delivery.is_pending = True
            self._taken.add(record.id)

        def on_disk(result: object) -> None:
            self._storing -= 1
            self._returning -= first
            is_new, is_taken = result is True, False
            if delivery is not None:
                delivery.is_pending = False
                is_taken = record.id in self._taken
            if is_new:
                book.stored += 1
                self.stored += not is_taken
            if isinstance(result, StorageError):
                book.refused += 1
            book.written(self.lane.token_id, size, is_new=is_new)
            done(not isinstance(result, StorageError))
            self.look()

        book.journal.write(partial(_insert, record), on_disk, size=size)

    def _leave_store(self, delivery: Delivery, change: Change, *, makes_room: bool = False) -> None:
        """A request waits no longer."""
        # Its room is free when the store knows: a look at the store may come before that.
        self._book.journal.write(
            change, partial(self._left, delivery.record), is_kept=True, makes_room=makes_room
        )

    def _left(self, record: InboxRecord, count: object) -> None:
        """The store knows that a request waits no longer; ``count`` is 0 where it had none."""
        self._taken.discard(record.id)
        if count:
            self._book.release(self.lane.token_id, len(record.payload))


def _insert(record: InboxRecord, store: InboxStore) -> bool:
    return store.insert(record)


def _delete(request_id: str, store: InboxStore) -> int:
    return store.delete(request_id)


def _note(request_id: str, attempts: int, outcome: str, store: InboxStore) -> None:
    store.note(request_id, attempts, outcome)


def _set_aside(request_id: str, attempts: int, outcome: str, store: InboxStore) -> int:
    return store.note(request_id, attempts, outcome, failed=True)


def _oldest(lane: Lane, taken: frozenset[str], store: InboxStore) -> tuple[list[InboxRecord], bool]:
    return store.waiting(lane, limit=AHEAD, max_bytes=AHEAD_BYTES, taken=taken)
