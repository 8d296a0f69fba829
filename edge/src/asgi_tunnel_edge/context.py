"""What all parts of one edge share: limits, clock, request ids, observers, and switches.

It knows nothing of connections, sessions or fronts, and everybody may hold it. ``server`` makes
it; :mod:`.connections.sweep` and ``server`` set the switches.
"""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable, Sequence
from typing import Final

from .observers.access_log import Entry
from .observers.observer import ExchangeObserver, ExchangeTracer, notify
from .observers.refusals import RefusalFilter, RefusalSum
from .observers.traces import TraceRing
from .pages import Pages, plain_pages
from .quotas import TokenLimiter
from .replies import BY_SHARE, Reply
from .request import Request
from .settings.config import Limits

__all__ = ["EdgeContext"]

_ID_LENGTH: Final = 32
_IDS: Final = 256
"""Request ids made at once: a system call for each would cost more than the rest of it."""


class EdgeContext:
    """Shared by everything that serves visitors.

    Args:
        limits: From ``edge.toml``.
        observers: Hear of each exchange; what one visitor is refused again and again is summed up.
        now: Monotonic seconds; the running loop's clock by default.
        pages: What replies look like; by default without an operator's name on them.
        workers: Serving processes that share what the tokens may take.

    Attributes:
        tokens: Says what each token may take.
        refusals: Sums up the replies to what visitors do wrong, for the observers.
        is_stopping: The edge drains: connections close once they are idle.
        is_replaced: Another process serves in its place: what is connected may stay for a while.
        is_ending: All that is in progress is cut in a moment: what other nodes send is for another.
        is_overloaded: No memory is left for new work.
        tracer: Makes spans of exchanges; None: nobody does.
        traces: Keeps where the time of exchanges went; None: nobody looks.
    """

    def __init__(
        self,
        *,
        limits: Limits,
        observers: Sequence[ExchangeObserver] = (),
        now: Callable[[], float] | None = None,
        pages: Pages | None = None,
        workers: int = 1,
    ) -> None:
        self.limits = limits
        self.pages = pages or plain_pages()
        self.tokens = TokenLimiter(limits, workers)
        self.now: Callable[[], float] = now or asyncio.get_running_loop().time
        self.refusals = RefusalSum(observers)
        self._guests: tuple[ExchangeObserver, ...] = ()
        self.observers: Sequence[ExchangeObserver] = ()
        if observers:
            self.observers = (RefusalFilter(self.refusals, observers, BY_SHARE, self.now),)
        self.is_stopping = False
        self.is_replaced = False
        self.is_ending = False
        self.is_overloaded = False
        self.tracer: ExchangeTracer | None = None
        self.traces: TraceRing | None = None
        self._ids = b""
        self._next_id = 0

    def trace(self, tracer: ExchangeTracer) -> None:
        """Have each exchange traced; before the first one begins."""
        self.tracer = tracer
        self.observers = (*self.observers, tracer)

    def attach(self, observer: ExchangeObserver) -> None:
        """Let one more observer hear of each exchange that begins from now on, refused ones too."""
        if observer not in self._guests:
            self._guests = (*self._guests, observer)
            self.observers = (*self.observers, observer)

    def detach(self, observer: ExchangeObserver) -> None:
        """Take back :meth:`attach`; of exchanges that have begun it may still hear."""
        self._guests = tuple(one for one in self._guests if one is not observer)
        self.observers = tuple(one for one in self.observers if one is not observer)

    def next_request_id(self) -> bytes:
        """Return 128 random bits in hex: unique, and telling nobody how many there were."""
        start = self._next_id
        if start == len(self._ids):
            self._ids = os.urandom(_IDS * _ID_LENGTH // 2).hex().encode()
            start = 0
        self._next_id = end = start + _ID_LENGTH
        return self._ids[start:end]

    def note_reply(
        self, reply: Reply, request: Request | None, peer: bytes, request_id: bytes
    ) -> None:
        """Tell the observers of a reply in the place of an exchange.

        Args:
            reply: What was said.
            request: Of which; None when it could not be read. Nothing of it is repeated then: what
                looks like its first line may be a body, with a password in it.
            peer: The visitor's address.
            request_id: What the visitor can quote.
        """
        entry = Entry(
            request_id,
            peer,
            b"-" if request is None else request.method,
            "-" if request is None else request.hostname or "-",
            b"-" if request is None else request.target,
            reply.status,
            0,
            0.0,
            reply.outcome,
        )
        if 400 <= reply.status < 500:
            notify(self._guests, entry)
            self.refusals.closed(entry, self.now())
        else:
            notify(self.observers, entry)
