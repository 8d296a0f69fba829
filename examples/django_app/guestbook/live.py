"""The live stream: new entries as server-sent events.

The database is the queue, so a stream that reconnects misses nothing and entries written by another
process arrive too. The bell only makes it prompt: it wakes the streams of this process at once.
"""

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Final

from django.template.loader import render_to_string

from guestbook.models import Entry

_POLL_INTERVAL: Final = 5.0  # seconds; how late another process's entry may be; the heartbeat too
_RETRY_DELAY: Final = 1000  # milliseconds; the browser waits this long before it reconnects
_BATCH_SIZE: Final = 50  # entries per query


class Bell:
    """Wakes every waiting event stream of this process; safe to ring from any thread."""

    def __init__(self) -> None:
        """Start with nobody waiting."""
        self._lock = threading.Lock()
        self._waiting: dict[asyncio.Event, asyncio.AbstractEventLoop] = {}

    @contextmanager
    def listen(self) -> Iterator[asyncio.Event]:
        """Give the calling stream an event that is set by each ring."""
        rung = asyncio.Event()
        with self._lock:
            self._waiting[rung] = asyncio.get_running_loop()
        try:
            yield rung
        finally:
            with self._lock:
                del self._waiting[rung]

    def ring(self) -> None:
        """Wake all streams. Synchronous views call this from their thread."""
        with self._lock:
            for rung, loop in self._waiting.items():
                loop.call_soon_threadsafe(rung.set)


bell: Final = Bell()


async def stream_entries(after: int) -> AsyncIterator[str]:
    """Yield one event per entry whose id is above `after`, oldest first, for ever.

    The first piece goes out at once, so the browser knows that the stream is open. Cancelling loses
    nothing: the browser reconnects with the id of the last event it saw.
    """
    yield f"retry: {_RETRY_DELAY}\n\n"
    with bell.listen() as rung:
        while True:
            rung.clear()  # before the query: an entry saved during it rings again
            fresh = Entry.objects.filter(pk__gt=after).order_by("pk")[:_BATCH_SIZE]
            async for entry in fresh:
                after = entry.pk
                yield _format_event(entry)
            try:
                async with asyncio.timeout(_POLL_INTERVAL):
                    await rung.wait()
            except TimeoutError:
                yield ": still here\n\n"


def _format_event(entry: Entry) -> str:
    """Return the event of one entry: JSON keeps the HTML on one line, as the format wants."""
    html = render_to_string("guestbook/_entry.html", {"entry": entry})
    data = json.dumps({"id": entry.pk, "html": html})
    return f"event: entry\nid: {entry.pk}\ndata: {data}\n\n"
