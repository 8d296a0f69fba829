"""Writes what the inbox keeps, in one thread: many changes share one commit, and one fsync.

Changes are made in the order in which they were handed in, and so are reads between them; on a full
disk those that make room come first. The event loop never waits for the disk: callbacks say when
something is on it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final, NamedTuple

from ..errors import StorageError
from ..storage.inbox import InboxStore

__all__ = ["Change", "Journal"]

_log = logging.getLogger("asgi_tunnel_edge.inbox")

MAX_BATCH: Final = 256
"""Changes of one transaction: a disk that takes 10 ms to be sure writes 25,000 a second so."""

MAX_BATCH_BYTES: Final = 16 * 1024 * 1024
"""The same in bytes of requests: no visitor waits for much more than its own."""

RETRY: Final = 0.5
"""Seconds after which changes that must not be lost are tried again on a disk that fails."""

Change = Callable[[InboxStore], object]
"""Changes the store, within a transaction; what it returns goes to the callback."""

Done = Callable[[Any], None]
"""Gets what a change or a look has returned, or the StorageError."""


class _Entry(NamedTuple):
    change: Change
    done: Done | None
    is_kept: bool  # tried again until it succeeds
    makes_room: bool
    size: int


class Journal:
    """See the module.

    Args:
        store: Used in the thread only.
    """

    def __init__(self, store: InboxStore) -> None:
        self._store = store
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="asgi-tunnel-edge-inbox")
        self._loop = asyncio.get_running_loop()
        self._waiting: list[_Entry] = []
        self._is_writing = False
        self._is_closed = False
        self._idle: asyncio.Event = asyncio.Event()
        self._idle.set()
        self.is_failing = False

    def write(
        self,
        change: Change,
        done: Done | None = None,
        *,
        size: int = 0,
        is_kept: bool = False,
        makes_room: bool = False,
    ) -> None:
        """Make a change soon.

        Args:
            change: What to do.
            done: Called in the event loop when it is on disk, or has failed.
            size: Bytes, of a request.
            is_kept: A change that fails is tried again, for as long as this process runs.
            makes_room: It only deletes: on a full disk it comes before what needs room.
        """
        self._waiting.append(_Entry(change, done, is_kept, makes_room, size))
        self._idle.clear()
        if not self._is_writing:
            self._is_writing = True
            self._loop.call_soon(self._flush)

    def read(self, look: Callable[[InboxStore], object], done: Done) -> None:
        """Look at the store, behind the changes that are being written; ``done`` as above."""
        if not self._is_closed:
            future = self._loop.run_in_executor(self._worker, self._look, look)
            future.add_done_callback(lambda one: done(_result(one)))

    async def drain(self, seconds: float) -> None:
        """Return when all is written, or the time is over.  Cancelling it loses nothing."""
        try:
            await asyncio.wait_for(self._idle.wait(), seconds)
        except TimeoutError:
            _log.warning("%d changes of the inbox are not on disk", len(self._waiting))

    def close(self) -> None:
        """End the thread, once it has done what it has begun."""
        if not self._is_closed:
            self._is_closed = True
            self._worker.submit(self._store.close)
            self._worker.shutdown(wait=False)

    # -- in the event loop -------------------------------------------------------------------

    def _flush(self) -> None:
        if self._is_closed or not self._waiting:
            self._is_writing = False
            self._idle.set()
            return
        count = self._batch_size()
        batch, self._waiting = self._waiting[:count], self._waiting[count:]
        future = self._loop.run_in_executor(self._worker, self._commit, batch)
        future.add_done_callback(lambda one: self._committed(batch, _result(one)))

    def _batch_size(self) -> int:
        if self.is_failing:
            return len(self._waiting)  # what makes room may be behind much that needs it
        size = 0
        for count, one in enumerate(self._waiting[:MAX_BATCH], 1):
            size += one.size
            if size >= MAX_BATCH_BYTES:
                return count
        return min(len(self._waiting), MAX_BATCH)

    def _committed(self, batch: list[_Entry], results: Any) -> None:
        if isinstance(results, StorageError):
            results = [results] * len(batch)
        again: list[_Entry] = []
        failure: StorageError | None = None
        for entry, result in zip(batch, results, strict=True):
            if isinstance(result, StorageError):
                failure = result
                if entry.is_kept:
                    again.append(entry)
                    continue
            if entry.done is not None:
                entry.done(result)
        self._note(failure)
        self._waiting[:0] = again
        if again and len(again) == len(self._waiting):
            self._loop.call_later(RETRY, self._flush)  # nothing else waits for the disk
        else:
            self._flush()

    def _note(self, failure: StorageError | None) -> None:
        if failure is not None and not self.is_failing:
            _log.error("requests for apps that are away are refused: %s", failure)
        elif failure is None and self.is_failing:
            _log.info("the inbox can be written again")
        self.is_failing = failure is not None

    # -- in the thread -----------------------------------------------------------------------

    def _look(self, look: Callable[[InboxStore], object]) -> object:
        self._store.open()
        return look(self._store)

    def _commit(self, batch: list[_Entry]) -> list[object]:
        store = self._store
        try:
            store.open()
            with store.transaction():
                return [one.change(store) for one in batch]
        except StorageError as error:
            if not any(one.is_kept or one.makes_room for one in batch):
                raise
            found: list[object] = [error] * len(batch)
        # A disk that takes no new request may still take that one is done, and how it ended once
        # there is room for that.
        for makes_room in (True, False):
            chosen = [
                number
                for number, one in enumerate(batch)
                if one.makes_room is makes_room and (one.is_kept or makes_room)
            ]
            try:
                with store.transaction():
                    done = [batch[number].change(store) for number in chosen]
            except StorageError:
                continue
            for number, result in zip(chosen, done, strict=True):
                found[number] = result
        return found


def _result(future: asyncio.Future[Any]) -> Any:
    error = None if future.cancelled() else future.exception()
    if error is None:
        return StorageError("the inbox is closed") if future.cancelled() else future.result()
    if isinstance(error, StorageError):
        return error
    # The thread's outer edge: a defect must not leave a visitor without a reply.
    _log.error("writing the inbox failed by a defect", exc_info=error)
    return StorageError(f"the inbox failed by a defect ({error!r})")
