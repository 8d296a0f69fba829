"""``GET /live``: exchanges as they begin and end, as server-sent events."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncGenerator
from typing import Any, Final

from .reply import RefusedError
from .view import View

__all__ = ["follow"]

MAX_VIEWERS: Final = 64
"""Viewers at the same time: each costs the app's process some time for each exchange."""

BATCH_PAUSE: Final = 0.05
"""Seconds in which what happens is sent together: nobody reads faster, and a busy app has more to
do than to be looked at."""

MAX_BATCH: Final = 100
"""Events that are sent together; those before them are lost for this viewer."""

KEEP_ALIVE: Final = 15.0
"""Seconds of silence after which a comment is sent: who has gone away is noticed by it."""


async def follow(view: View, after: int | None) -> AsyncGenerator[bytes, None]:
    """Yield pieces of an event stream, for ever.

    Args:
        view: What the viewer may see.
        after: Begin with what is kept above this number; None: with what comes now.

    Raises:
        RefusedError: As many look on as may.

    Cancelling it, or closing it, ends the view.
    """
    journal = view.recorder.ring.journal
    if journal.viewers >= MAX_VIEWERS:
        raise RefusedError(503, f"{MAX_VIEWERS} look on already; close one of them")
    journal.viewers += 1
    try:
        place = journal.count
        yield b": live\n\n"
        if after is not None:
            for piece in _kept(view, after):
                yield piece
        while True:
            try:
                async with asyncio.timeout(KEEP_ALIVE):
                    await journal.changed(place)
            except TimeoutError:
                yield b": still here\n\n"
                continue
            await asyncio.sleep(BATCH_PAUSE)
            seqs, place, missed = journal.read(place, MAX_BATCH)
            yield b"".join(_changes(view, seqs, missed))
    finally:
        journal.viewers -= 1


def _kept(view: View, after: int) -> list[bytes]:
    """Return what is kept above a number, oldest first, as much as one batch has."""
    found: list[bytes] = []
    for one in view.newest(view.recorder.ring.next_seq):
        if one["seq"] <= after or len(found) >= MAX_BATCH:
            break
        found.append(_event("exchange", one))
    return found[::-1]


def _changes(view: View, seqs: list[int], missed: int) -> list[bytes]:
    pieces = [_event("lost", {"lost": missed})] if missed else []
    # One that has begun and ended since is sent once, as it is now.
    summaries = (view.summary(seq) for seq in dict.fromkeys(seqs))
    return pieces + [_event("exchange", one) for one in summaries if one is not None]


def _event(name: str, values: Any) -> bytes:
    return f"event: {name}\ndata: {json.dumps(values, separators=(',', ':'))}\n\n".encode()
