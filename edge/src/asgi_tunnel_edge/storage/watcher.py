"""Keeps a running edge's snapshot fresh while other processes change the store.

Four times a second one worker thread looks whether something was changed, which costs microseconds:
SQLite counts changes, and PostgreSQL has told of them by then (:class:`.dialect.Watch`). The event
loop never waits for the disk or the server. A store that fails changes nothing: the last snapshot
stays in force.
"""

from __future__ import annotations

import asyncio
import logging
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from asgi_tunnel_edge.errors import StorageError

from .location import dialect_of
from .reading import read_snapshot
from .snapshot import load_snapshot_file, save_snapshot_file

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from asgi_tunnel_edge.ban import ScannerBan
    from asgi_tunnel_edge.tokens import Snapshot

    from .dialect import Location

__all__ = ["BanSource", "SnapshotReader", "SnapshotWatcher", "UseSource"]

_log = logging.getLogger("asgi_tunnel_edge.storage")

#: Seconds. A revocation takes at most 1 s to have its effect; a quarter of that leaves room for a
#: busy machine.
POLL_INTERVAL: Final = 0.25

#: Looks from one write of new bans to the next: all of a second are one change of the store.
_SAVE_EVERY: Final = 4

#: Looks from one write of when tokens were used to the next: a minute.
_USES_EVERY: Final = 240

#: Seconds after which a look that has not ended is a failure: a server that does not answer.
_PATIENCE: Final = 5.0


class BanSource(Protocol):
    """Who bans addresses by itself: ``guards.scanner``."""

    def unsaved(self) -> Sequence[ScannerBan]:
        """Return the bans that are not in the store; the same ones again until :meth:`saved`."""

    def saved(self) -> None:
        """Hear that those of the last call are in the store, and in the next snapshot.

        Unless somebody has taken them back by then: then they are over.
        """


class UseSource(Protocol):
    """Who knows which tokens are used: ``directory``."""

    def take_used(self) -> Collection[str]:
        """Return the ids of the tokens that were used since the last call."""


class SnapshotReader:
    """The blocking half: finds out whether the store changed, and reads it then.

    One thread at a time uses it; what it says of itself may be read by others.

    Attributes:
        read_at: When the database could be read, at last; 0.0: never.
    """

    def __init__(self, database: Location, snapshot_file: Path) -> None:
        self._database = database
        self._file = snapshot_file
        self._dialect = dialect_of(database)
        self._watch = self._dialect.watch()
        self._seen: object = None  # its version when the snapshot was read
        self._look_began: float | None = None  # monotonic seconds; None: no look is going on
        self._snapshot: Snapshot | None = None
        self.read_at = 0.0  # seconds since 1970
        self._failing = False
        self._why = ""  # the last failure
        self._file_failing = False
        self._bans_failing = False
        self._uses_failing = False

    @property
    def is_failing(self) -> bool:
        """Whether the store could not be read at the last look, or this look hangs."""
        began = self._look_began
        return self._failing or (began is not None and time.monotonic() - began > _PATIENCE)

    @property
    def _trouble(self) -> tuple[type[Exception], ...]:
        return (OSError, StorageError, *self._dialect.errors)

    def load(self) -> Snapshot:
        """The first snapshot: from the store, and saved; or else the last saved one.

        Raises:
            StorageError: There is neither. An edge that knows no tokens does not start.
        """
        snapshot = self.poll()
        if snapshot is None:
            try:
                snapshot = load_snapshot_file(self._file)
            except StorageError as error:
                label, file = self._dialect.label, self._file
                sentence = f"neither the database {label} nor the snapshot {file} can be read"
                raise StorageError(f"{sentence} ({self._why}); {self._dialect.repair}") from error
            _log.warning(
                "started with the snapshot %s of generation %d, without the database",
                self._file,
                snapshot.generation,
            )
            self._snapshot = snapshot
        else:
            self._save(snapshot)
        return snapshot

    def poll(self) -> Snapshot | None:
        """Look once: a new snapshot, or None when nothing changed or nothing can be read."""
        label = self._dialect.label
        self._look_began = time.monotonic()
        try:
            snapshot = self._read()
        except self._trouble as error:
            self.close()
            self._why = " ".join(str(error).split())
            if not self._failing:
                self._failing = True
                _log.warning(
                    "the database %s cannot be read, going on without it: %s", label, self._why
                )
            return None
        finally:
            self._look_began = None
        self.read_at = time.time()
        if self._failing:
            self._failing = False
            _log.info("the database %s can be read again", label)
        if snapshot is None or snapshot == self._snapshot:
            return None
        self._snapshot = snapshot
        return snapshot

    def save(self) -> None:
        """Write the newest snapshot down, for a start without the database."""
        if self._snapshot is not None:
            self._save(self._snapshot)

    def save_bans(self, bans: Sequence[ScannerBan]) -> bool:
        """Write bans of the scanner guard into the store; return whether they are there."""
        from .store import Store  # see storage/reading.py

        try:
            Store(self._database).add_scanner_bans(bans)
        except StorageError as error:
            if not self._bans_failing:
                _log.warning("bans of the scanner guard are kept in memory only: %s", error)
            self._bans_failing = True
            return False
        self._bans_failing = False
        return True

    def save_uses(self, token_ids: Collection[str], now: float) -> None:
        """Write that tokens are used; one that the store does not have is left out.

        Over the connection that looks for changes, which does not see its own: nothing is read
        again. Those of a minute in which the store cannot be written are lost.
        """
        rows = [(int(now), one) for one in sorted(token_ids)]
        if not rows:
            return
        try:
            self._watch.update("UPDATE tokens SET last_used_at = ? WHERE id = ?", rows)
        except self._dialect.errors as error:
            self.close()  # its transaction may be open
            if not self._uses_failing:
                _log.warning("when tokens were used is not kept now: %s", error)
            self._uses_failing = True
        else:
            self._uses_failing = False

    def close(self) -> None:
        """Let go of the database; the next look opens it again."""
        self._watch.close()
        self._seen = None

    def _read(self) -> Snapshot | None:
        version = self._watch.version()
        if version == self._seen:
            return None
        # Noted before reading: a change in between costs one more look, and is never missed.
        with self._watch.moment() as select:
            snapshot = read_snapshot(select)
        self._seen = version
        return snapshot

    def _save(self, snapshot: Snapshot) -> None:
        try:
            save_snapshot_file(snapshot, self._file)
        except OSError as error:
            if not self._file_failing:
                _log.warning("the snapshot %s cannot be written: %s", self._file, error)
            self._file_failing = True
        else:
            self._file_failing = False


class SnapshotWatcher:
    """The event loop's half: owns the worker thread and the task that asks it.

    ::

        watcher = SnapshotWatcher(config.database, config.snapshot_path, directory.apply)
        snapshot = await watcher.start()
        ...
        await watcher.stop()
    """

    def __init__(
        self,
        database: Location,
        snapshot_file: Path,
        on_change: Callable[[Snapshot], None],
        *,
        bans: BanSource | None = None,
        uses: UseSource | None = None,
        interval: float = POLL_INTERVAL,
    ) -> None:
        """Prepare; nothing is read yet.

        Args:
            database: ``EdgeConfig.database``.
            snapshot_file: ``EdgeConfig.snapshot_path``.
            on_change: Called in the event loop with each snapshot after the first; must not block.
            bans: Whose bans are written into the store.
            uses: Knows which tokens are used; may also be set later.
            interval: Seconds between two looks.
        """
        self._reader = SnapshotReader(database, snapshot_file)
        self._on_change = on_change
        self._bans = bans
        self.uses = uses
        self._interval = interval
        self._snapshot: Snapshot | None = None
        self._worker: ThreadPoolExecutor | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def snapshot(self) -> Snapshot:
        """The newest snapshot; there is one once ``start`` has returned."""
        assert self._snapshot is not None, "start() comes first"
        return self._snapshot

    @property
    def is_failing(self) -> bool:
        """Whether the database could not be read at the last look."""
        return self._reader.is_failing

    @property
    def read_at(self) -> float:
        """When the database could be read, at last, in seconds since 1970; 0.0: never."""
        return self._reader.read_at

    async def start(self) -> Snapshot:
        """Read the first snapshot and begin to watch. Cancelling it leaves nothing running.

        Raises:
            StorageError: Neither the database nor a saved snapshot can be read.
        """
        loop = asyncio.get_running_loop()
        self._worker = ThreadPoolExecutor(1, thread_name_prefix="asgi-tunnel-edge-storage")
        try:
            self._snapshot = await loop.run_in_executor(self._worker, self._reader.load)
        except BaseException:
            self._close_worker()
            raise
        self._task = loop.create_task(self._watch(self._worker), name="snapshot-watcher")
        return self._snapshot

    async def stop(self) -> None:
        """End watching, at once; may be called twice. Cancelling it loses nothing."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        if self._worker is not None and self.uses is not None:
            self._worker.submit(self._reader.save_uses, self.uses.take_used(), time.time())
        self._close_worker()

    def _close_worker(self) -> None:
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.submit(self._reader.close)
            worker.shutdown(wait=False)

    async def _save_bans(self, bans: BanSource, worker: ThreadPoolExecutor) -> None:
        """Write new bans; cancelling it loses those of the last second."""
        unsaved = bans.unsaved()
        if unsaved:
            loop = asyncio.get_running_loop()
            if await loop.run_in_executor(worker, partial(self._reader.save_bans, unsaved)):
                bans.saved()

    async def _save_uses(self, uses: UseSource, worker: ThreadPoolExecutor) -> None:
        """Write which tokens are used; cancelling it loses those of the last minute."""
        save = partial(self._reader.save_uses, uses.take_used(), time.time())
        await asyncio.get_running_loop().run_in_executor(worker, save)

    async def _watch(self, worker: ThreadPoolExecutor) -> None:
        loop = asyncio.get_running_loop()
        looks = 0
        while True:
            await asyncio.sleep(self._interval)
            looks += 1
            try:
                if looks % _SAVE_EVERY == 0 and self._bans is not None:
                    await self._save_bans(self._bans, worker)
                if looks % _USES_EVERY == 0 and self.uses is not None:
                    await self._save_uses(self.uses, worker)
                snapshot = await loop.run_in_executor(worker, self._reader.poll)
                if snapshot is not None:
                    self._snapshot = snapshot
                    try:
                        self._on_change(snapshot)
                    finally:
                        # Only then: a revocation does not wait for the disk, and who finds a token
                        # in the file finds an edge that knows it.
                        await loop.run_in_executor(worker, self._reader.save)
            except Exception:  # noqa: BLE001
                # The task's outer edge. A defect here must not end the watch: revocations would
                # no longer arrive. The next look repeats what failed, if the store changes.
                _log.exception("looking for changes of the store failed")
