"""`/api/events`: what happens, as server-sent events that survive a reconnect.

Events are numbered and the last ones kept, so a browser that comes back with Last-Event-ID gets
what it missed. No queue per visitor: each one reads the common journal at its own pace.
"""

import asyncio
import secrets
import time
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Annotated, Final

from fastapi import APIRouter, Depends, Header, Query
from fastapi.requests import HTTPConnection
from fastapi.sse import EventSourceResponse, ServerSentEvent

JOURNAL_LIMIT: Final = 200  # events kept for visitors who come back
HEARTBEAT_INTERVAL: Final = 10.0  # seconds; proxies cut silent connections after 30 to 60
RETRY_DELAY: Final = 1000  # milliseconds a browser waits before it reconnects by itself

router = APIRouter()


@dataclass(frozen=True, slots=True, kw_only=True)
class Event:
    """Something that happened."""

    number: int  # counts from 1
    kind: str  # "uploaded", "deleted", "created", "joined", "left", "message"
    data: dict[str, str | int | float]


class Journal:
    """The last events, and those who wait for the next one. Lives in one event loop."""

    def __init__(self) -> None:
        # Numbers begin again with each start of the app; the run's name keeps the ids apart.
        self._run = secrets.token_hex(4)
        self._events: deque[Event] = deque(maxlen=JOURNAL_LIMIT)
        self._count = 0
        self._changed = asyncio.Event()
        self._closed = False

    def add(self, kind: str, **details: str | int | float) -> None:
        """Record an event and wake everyone who follows."""
        self._count += 1
        data = {"type": kind, "time": time.time(), **details}
        self._events.append(Event(number=self._count, kind=kind, data=data))
        self._wake()

    def close(self) -> None:
        """End all streams, now."""
        self._closed = True
        self._wake()

    def id_of(self, event: Event) -> str:
        """Return the id under which a browser remembers an event."""
        return f"{self._run}-{event.number}"

    def position(self, last_event_id: str | None, *, recent: int) -> int:
        """Return the number of the last event a visitor has.

        Args:
            last_event_id: What the visitor remembers; ids of an earlier run mean "all of this one".
            recent: How many past events a visitor without memory gets.
        """
        if not last_event_id:
            return max(0, self._count - recent)
        run, _, number = last_event_id.partition("-")
        return int(number) if run == self._run and number.isdecimal() else 0

    async def follow(self, position: int) -> AsyncIterator[Event | None]:
        """Yield the events after `position` as they come, and None for each heartbeat."""
        while not self._closed:
            changed = self._changed  # taken before looking: an event in between is not missed
            for event in [event for event in self._events if event.number > position]:
                position = event.number
                yield event
            try:
                await asyncio.wait_for(changed.wait(), HEARTBEAT_INTERVAL)
            except TimeoutError:
                yield None

    def _wake(self) -> None:
        self._changed.set()
        self._changed = asyncio.Event()


def get_journal(connection: HTTPConnection) -> Journal:
    """Return the journal that the lifespan opened."""
    journal: Journal = connection.state.journal
    return journal


JournalDep = Annotated[Journal, Depends(get_journal)]


@router.get("/api/events", response_class=EventSourceResponse)
async def stream_events(
    journal: JournalDep,
    last_event_id: Annotated[str | None, Header()] = None,
    after: str | None = None,
    recent: Annotated[int, Query(ge=0, le=JOURNAL_LIMIT)] = 0,
) -> AsyncIterator[ServerSentEvent]:
    """Stream events until the visitor leaves or the app stops.

    Args:
        journal: The events.
        last_event_id: The browser's own memory after a lost connection.
        after: The same, for a page that opens a new stream by hand and cannot set the header.
        recent: Past events for a visitor who has none yet.
    """
    position = journal.position(last_event_id or after, recent=recent)
    yield ServerSentEvent(comment="connected", retry=RETRY_DELAY)
    async for event in journal.follow(position):
        if event is None:
            # An event, not a comment: the page sees it and notices when they stop.
            yield ServerSentEvent(event="heartbeat", data={})
        else:
            yield ServerSentEvent(event=event.kind, data=event.data, id=journal.id_of(event))
