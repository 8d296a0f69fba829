"""What the parts of one inbox share: settings, what each token has in it, and the journal."""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import time
from collections.abc import Callable
from typing import Final

from asgi_tunnel.protocol.head import Fields, RequestHead

from ..observers.access_log import Entry
from ..replies import Reply
from ..route import Route
from ..settings.inbox import InboxConfig
from ..storage.inbox import InboxRecord, Lane
from .journal import Journal

__all__ = [
    "ATTEMPT_FIELD",
    "FULL",
    "ID_FIELD",
    "RECEIVED_FIELD",
    "Book",
    "delivered_fields",
    "request_id_of",
    "settles",
]

_log = logging.getLogger("asgi_tunnel_edge.inbox")

ID_FIELD: Final = b"x-asgi-tunnel-inbox-id"
RECEIVED_FIELD: Final = b"x-asgi-tunnel-inbox-received"
ATTEMPT_FIELD: Final = b"x-asgi-tunnel-inbox-attempt"
"""What the edge adds to a request to a marked route; visitors' own are removed
(:mod:`..identity.fields`)."""

SENDER_IDS: Final = (
    b"webhook-id",  # Standard Webhooks
    b"idempotency-key",
    b"x-github-delivery",
    b"svix-id",
    b"x-shopify-webhook-id",
)
"""Fields by which senders name one event, the same when they send it again."""

MAX_HELD: Final = 8 * 1024 * 1024
"""Bytes of bodies for one token that are in memory until they are stored or responded to, or two of
``max_body``; above it: 503. Who sends slowly to one app's routes takes no room from another's."""

HOLDERS: Final = 8
"""Tokens that may have as much at the same time."""

FULL: Final = Reply(
    503,
    "the app is away, and no more requests can be kept for it",
    60,
    closes=False,
    reason="inbox-full",
)

_LATER: Final = frozenset({408, 425, 429})


def settles(status: int) -> bool:
    """Whether a response says that the app has the request, and not that it should come again."""
    return status < 500 and status not in _LATER


def delivered_fields(record: InboxRecord, attempt: int) -> Fields:
    """Return the fields that a delivery has behind its own."""
    return [
        (ID_FIELD, record.id.encode()),
        (RECEIVED_FIELD, b"%d" % record.received),
        (ATTEMPT_FIELD, b"%d" % attempt),
    ]


def request_id_of(lane: Lane, head: RequestHead, body: bytes) -> str:
    """Return the id under which a request is delivered: 32 hex digits.

    Where the sender names the event, the same one for the same content: it repeats what was not
    acknowledged, and the app has to know that it is the same. Another content has another id,
    whoever sends it. Without such a name each request has an id of its own.
    """
    for name in SENDER_IDS:
        for field, value in head.fields:
            if field == name:
                digest = hashlib.sha256()
                hostname = head.hostname
                for part in (lane.token_id.encode(), hostname, head.method, head.target, value):
                    digest.update(b"%d:" % len(part) + part)
                digest.update(body)
                return digest.hexdigest()[:32]
    return os.urandom(16).hex()


class Book:
    """See the module.

    Args:
        config: ``[inbox]``.
        journal: Writes.
        find_route: By registered name.
        notify: Tells the observers of a delivery.

    Attributes:
        is_leading: This process delivers; another one of the same edge only stores.
        may_pass_on: No other process stores at the moment, so that nothing waits which this one has
            not seen, and a request need not be stored first.
        held: Bytes of bodies in memory, of all tokens.
        stored: Requests that were stored, for metrics and tests.
        delivered: Stored requests that an app has acknowledged.
        refused: Requests for which there was no room, or that the disk did not take.
    """

    def __init__(
        self,
        config: InboxConfig,
        journal: Journal,
        find_route: Callable[[str], Route | None],
        notify: Callable[[Entry], None],
    ) -> None:
        self.config = config
        self.journal = journal
        self.notify = notify
        self.is_leading = self.may_pass_on = False
        self.held = 0
        self.stored = self.delivered = self.refused = 0
        self.now = asyncio.get_running_loop().time
        self._find_route = find_route
        self._held: dict[str, int] = {}  # by token id
        self._max_held = max(MAX_HELD, 2 * config.max_body)
        self._usage: dict[str, tuple[int, int]] = {}  # requests and bytes, by token id
        self._storing: dict[str, tuple[int, int]] = {}  # of those, what is not in the store yet
        self._last = 0

    def next_seq(self) -> int:
        """Return a number above all before: the time in nanoseconds, which orders requests."""
        self._last = max(self._last + 1, time.time_ns())
        return self._last

    def route(self, lane: Lane) -> Route | None:
        """Return the route of a lane, as long as its token has the hostname."""
        route = self._find_route(lane.hostname)
        if route is None or route.token_id != lane.token_id or route.is_end_to_end:
            return None
        return None if route.is_closed else route

    # -- what each token has -----------------------------------------------------------------

    def hold(self, token_id: str, size: int) -> bool:
        """Take a piece of a body into memory; False: there is no room for it."""
        held = self._held.get(token_id, 0) + size
        if held > self._max_held or self.held + size > self._max_held * HOLDERS:
            return False
        self._held[token_id] = held
        self.held += size
        return True

    def let_go(self, token_id: str, size: int) -> None:
        """Take back :meth:`hold`."""
        self.held -= size
        left = self._held.get(token_id, 0) - size
        if left > 0:
            self._held[token_id] = left
        else:
            self._held.pop(token_id, None)

    def admit(self, token_id: str, size: int) -> bool:
        """Make room for a request of a token; False: it has its share."""
        count, total = self._usage.get(token_id, (0, 0))
        config = self.config
        if count >= config.max_requests or total + size > config.max_bytes:
            self.refused += 1
            return False
        _add(self._usage, token_id, size)
        _add(self._storing, token_id, size)
        return True

    def written(self, token_id: str, size: int, *, is_new: bool) -> None:
        """What was admitted is in the store; else nothing has come there."""
        _take(self._storing, token_id, size)
        if not is_new:
            self.release(token_id, size)

    def release(self, token_id: str, size: int) -> None:
        """A request has left the store."""
        _take(self._usage, token_id, size)

    @property
    def waiting(self) -> int:
        """Requests of all tokens."""
        return sum(count for count, _ in self._usage.values())

    def recount(self, usage: dict[str, tuple[int, int]]) -> None:
        """Take over what the store has; what is on its way there was not seen."""
        self._usage = usage
        for token_id, (count, size) in self._storing.items():
            before = usage.get(token_id, (0, 0))
            usage[token_id] = (before[0] + count, before[1] + size)


def _add(counts: dict[str, tuple[int, int]], token_id: str, size: int) -> None:
    count, total = counts.get(token_id, (0, 0))
    counts[token_id] = (count + 1, total + size)


def _take(counts: dict[str, tuple[int, int]], token_id: str, size: int) -> None:
    count, total = counts.get(token_id, (0, 0))
    if count > 1:
        counts[token_id] = (count - 1, max(total - size, 0))
    else:
        counts.pop(token_id, None)
