from __future__ import annotations

import asyncio
import logging
import shutil
import sqlite3
import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edge.tests.storage.conftest import record
from tests.e2e.harness import allowed

from asgi_tunnel_edge.ban import ScannerBan
from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage import SnapshotWatcher, Store, load_snapshot_file
from asgi_tunnel_edge.storage.watcher import SnapshotReader
from asgi_tunnel_edge.tokens import Refusal, TokenRecord

if TYPE_CHECKING:
    from collections.abc import Iterator

    from asgi_tunnel_edge.storage.dialect import Location
    from asgi_tunnel_edge.tokens import Snapshot


@dataclass
class Setup:
    """A store with one token, and a reader of it."""

    store: Store
    file: Path
    reader: SnapshotReader


def make(location: Location, file: Path) -> Iterator[Setup]:
    """A store with the token `shop`."""
    store = Store(location)
    store.migrate()
    store.create_token(record("shop"))
    reader = SnapshotReader(location, file)
    yield Setup(store, file, reader)
    reader.close()


@pytest.fixture
def setup(location: Location, tmp_path: Path) -> Iterator[Setup]:
    """A store in each kind of database."""
    yield from make(location, tmp_path / "snapshot.json")


@pytest.fixture
def on_disk(tmp_path: Path) -> Iterator[Setup]:
    """A store in a file, which can be taken away."""
    yield from make(tmp_path / "edge.sqlite3", tmp_path / "snapshot.json")


def names(snapshot: Snapshot | None) -> set[str]:
    """The names of a snapshot's tokens."""
    assert snapshot is not None
    return {token.name for token in snapshot.tokens.values()}


def look(reader: SnapshotReader) -> Snapshot:
    """The next look that finds a change; PostgreSQL tells of it a moment after the commit."""
    end = time.monotonic() + 10
    while (found := reader.poll()) is None:
        assert time.monotonic() < end, "no change was seen"
        time.sleep(0.001)
    return found


def path_of(store: Store) -> Path:
    """The file of a store."""
    return Path(store.location)


def remove(store: Store) -> None:
    """Take the database away, with SQLite's own files."""
    for path in list(path_of(store).parent.glob("edge.sqlite3*")):
        path.unlink()


def test_sees_changes_only(setup: Setup) -> None:
    """A look gives a snapshot after a change, and None as long as there is none."""
    assert names(setup.reader.load()) == {"shop"}
    assert setup.reader.poll() is None
    setup.store.create_token(record("blog"))
    assert names(look(setup.reader)) == {"shop", "blog"}
    assert setup.reader.poll() is None


def test_saves_each_snapshot(setup: Setup) -> None:
    """The file beside the database is always the newest snapshot."""
    first = setup.reader.load()
    assert load_snapshot_file(setup.file) == first
    setup.store.revoke_tokens(["shop"])
    assert load_snapshot_file(setup.file) == first
    second = look(setup.reader)
    setup.reader.save()
    assert load_snapshot_file(setup.file) == second != first


def test_starts_without_the_database(on_disk: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """An edge starts from the saved snapshot, says so, and takes the database when it is back."""
    saved = on_disk.reader.load()
    remove(on_disk.store)
    reader = SnapshotReader(path_of(on_disk.store), on_disk.file)
    assert reader.load() == saved
    assert reader.poll() is None
    assert "without the database" in caplog.text
    on_disk.store.migrate()
    on_disk.store.create_token(record("new"))
    assert names(reader.poll()) == {"new"}
    reader.close()


def test_does_not_start_without_both(tmp_path: Path) -> None:
    """T30: an edge that can know no tokens does not start."""
    reader = SnapshotReader(tmp_path / "edge.sqlite3", tmp_path / "snapshot.json")
    with pytest.raises(StorageError, match=r"neither the database .* nor the snapshot"):
        reader.load()
    assert list(tmp_path.iterdir()) == []


def test_missing_database_is_logged_once(on_disk: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """While the database is away nothing changes, and the log says so once; then it says when."""
    caplog.set_level(logging.INFO, "asgi_tunnel_edge.storage")
    on_disk.reader.load()
    copy = path_of(on_disk.store).with_name("copy")
    shutil.copy(path_of(on_disk.store), copy)
    remove(on_disk.store)
    read_at = on_disk.reader.read_at
    assert [on_disk.reader.poll() for _ in range(3)] == [None] * 3
    assert [entry.levelname for entry in caplog.records] == ["WARNING"]
    assert (on_disk.reader.is_failing, on_disk.reader.read_at) == (True, read_at)
    copy.rename(path_of(on_disk.store))
    assert on_disk.reader.poll() is None  # the same content is no change
    assert (on_disk.reader.is_failing, on_disk.reader.read_at > read_at) == (False, True)
    assert [entry.levelname for entry in caplog.records] == ["WARNING", "INFO"]
    on_disk.store.create_token(record("blog"))
    assert names(on_disk.reader.poll()) == {"shop", "blog"}


def test_broken_database(on_disk: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """A database that turned to rubbish changes nothing and is logged once."""
    on_disk.reader.load()
    remove(on_disk.store)
    path_of(on_disk.store).write_bytes(b"rubbish" * 1000)
    assert [on_disk.reader.poll() for _ in range(3)] == [None] * 3
    assert len(caplog.records) == 1


def test_locked_database(on_disk: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """A database that another program holds for itself changes nothing; later it is read again."""
    on_disk.reader.load()
    on_disk.reader.close()  # an exclusive lock needs to be alone at first
    other = sqlite3.connect(path_of(on_disk.store), isolation_level=None)
    other.execute("PRAGMA locking_mode = EXCLUSIVE")
    other.execute("UPDATE meta SET value = value + 1")
    try:
        assert on_disk.reader.poll() is None
        assert "going on without it" in caplog.text
    finally:
        other.close()
    snapshot = on_disk.reader.poll()
    assert snapshot is not None
    assert snapshot.generation == 2


def test_replaced_database(on_disk: Setup, tmp_path: Path) -> None:
    """A copy that is put in the database's place is read, not the old open file."""
    on_disk.reader.load()
    other = Store(tmp_path / "other")
    other.migrate()
    other.create_token(record("other"))
    path_of(other).replace(path_of(on_disk.store))
    assert names(on_disk.reader.poll()) == {"other"}


def test_snapshot_that_cannot_be_saved(setup: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """The edge goes on when the snapshot cannot be written; the log says so once."""
    setup.file.mkdir()
    assert names(setup.reader.load()) == {"shop"}
    setup.store.create_token(record("blog"))
    assert names(look(setup.reader)) == {"shop", "blog"}
    setup.reader.save()
    assert len([entry for entry in caplog.records if "cannot be written" in entry.message]) == 1


async def test_watcher_brings_a_revocation(setup: Setup) -> None:
    """A token revoked by another process is refused within a second."""
    arrived = asyncio.Event()
    watcher = SnapshotWatcher(setup.store.location, setup.file, lambda _: arrived.set())
    first = await watcher.start()
    assert watcher.snapshot is first
    assert isinstance(first.authenticate("tok_shop", "shop"), TokenRecord)
    await asyncio.to_thread(setup.store.revoke_tokens, ["shop"])
    began = time.monotonic()
    async with asyncio.timeout(15):
        await arrived.wait()
    assert time.monotonic() - began < allowed(1.0, began)
    answer = watcher.snapshot.authenticate("tok_shop", "shop")
    assert isinstance(answer, Refusal)
    assert answer.code == "revoked"
    await watcher.stop()
    await watcher.stop()


async def test_a_saved_snapshot_is_in_force(setup: Setup) -> None:
    """The edge follows a change before the change is in the file: who reads it there can use it."""
    in_file: asyncio.Queue[Snapshot] = asyncio.Queue()
    watcher = SnapshotWatcher(
        setup.store.location,
        setup.file,
        lambda _: in_file.put_nowait(load_snapshot_file(setup.file)),
        interval=0.01,
    )
    first = await watcher.start()
    assert load_snapshot_file(setup.file) == first
    async with asyncio.timeout(10):
        await asyncio.to_thread(setup.store.create_token, record("blog"))
        assert await in_file.get() == first
        while load_snapshot_file(setup.file) == first:  # noqa: ASYNC110 - of another thread
            await asyncio.sleep(0.005)
    await watcher.stop()


async def test_watcher_survives_its_callback(
    setup: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """A callback that fails is logged, and the next change arrives."""
    arrived: asyncio.Queue[set[str]] = asyncio.Queue()

    def apply(snapshot: Snapshot) -> None:
        arrived.put_nowait(names(snapshot))
        raise RuntimeError("a defect")

    watcher = SnapshotWatcher(setup.store.location, setup.file, apply, interval=0.01)
    await watcher.start()
    async with asyncio.timeout(10):
        await asyncio.to_thread(setup.store.create_token, record("blog"))
        assert await arrived.get() == {"shop", "blog"}
        await asyncio.to_thread(setup.store.create_token, record("wiki"))
        assert await arrived.get() == {"shop", "blog", "wiki"}
        while names(load_snapshot_file(setup.file)) != {"shop", "blog", "wiki"}:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
    await watcher.stop()
    assert "a defect" in caplog.text


async def test_watcher_that_cannot_start(tmp_path: Path) -> None:
    """Without database and snapshot, start fails and leaves no task behind."""
    watcher = SnapshotWatcher(tmp_path / "a", tmp_path / "b", lambda _: None)
    before = asyncio.all_tasks()
    with pytest.raises(StorageError):
        await watcher.start()
    await watcher.stop()
    assert asyncio.all_tasks() == before


async def test_loop_is_not_blocked_by_a_slow_disk(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """While a look hangs, the event loop goes on, and stop does not wait for it."""
    watcher = SnapshotWatcher(setup.store.location, setup.file, lambda _: None, interval=0.001)
    await watcher.start()
    hanging, release = asyncio.Event(), threading.Event()
    loop = asyncio.get_running_loop()

    def hang(_: SnapshotReader) -> None:
        loop.call_soon_threadsafe(hanging.set)
        release.wait(10)

    monkeypatch.setattr(SnapshotReader, "poll", hang)
    try:
        async with asyncio.timeout(10):
            await hanging.wait()
            await watcher.stop()
    finally:
        release.set()


class Bans:
    """A guard with one new ban."""

    def __init__(self) -> None:
        self.ban = ScannerBan(
            address="192.0.2.1", owner="", created_at=1, expires_at=1 << 40, reason="why"
        )
        self.is_saved = False

    def unsaved(self) -> list[ScannerBan]:
        """Hand it out until it is saved."""
        return [] if self.is_saved else [self.ban]

    def saved(self) -> None:
        """Note that it is."""
        self.is_saved = True


async def test_new_bans_are_saved(setup: Setup) -> None:
    """What a guard has banned is in the store, and then comes with a snapshot."""
    arrived: asyncio.Queue[tuple[ScannerBan, ...]] = asyncio.Queue()
    watcher = SnapshotWatcher(
        setup.store.location,
        setup.file,
        lambda snapshot: arrived.put_nowait(snapshot.scanner_bans),
        bans=(bans := Bans()),
        interval=0.001,
    )
    await watcher.start()
    async with asyncio.timeout(10):
        assert await arrived.get() == (bans.ban,)
    await watcher.stop()
    assert bans.is_saved
    assert setup.store.scanner_bans() == [bans.ban]


def test_bans_that_cannot_be_saved(on_disk: Setup, caplog: pytest.LogCaptureFixture) -> None:
    """A database that fails is said once, and asked again the next time."""
    ban = Bans().ban
    away = path_of(on_disk.store).with_name("away")
    path_of(on_disk.store).rename(away)
    assert [on_disk.reader.save_bans([ban]) for _ in range(3)] == [False] * 3
    assert caplog.text.count("are kept in memory only") == 1
    away.rename(path_of(on_disk.store))
    assert on_disk.reader.save_bans([ban])


def test_uses_are_written_without_reading_again(setup: Setup) -> None:
    """Who used a token is in the store, and its own write is no change for the reader."""
    first = setup.reader.load()
    setup.reader.save_uses({"tok_shop", "tok_nobody"}, 3000.7)
    assert setup.store.last_used() == {"tok_shop": 3000}
    seen = setup.reader._seen
    assert setup.reader.poll() is None
    assert setup.reader._seen == seen
    assert setup.store.generation() == first.generation


def test_a_change_right_before_uses_are_written_is_seen(setup: Setup) -> None:
    """What somebody else has written meanwhile, such as a revocation, is never missed."""
    setup.reader.load()
    setup.store.revoke_tokens(["shop"])
    setup.reader.save_uses({"tok_shop"}, 3000)
    assert look(setup.reader).tokens["tok_shop"].revoked


def test_uses_that_cannot_be_written_are_logged_once(
    on_disk: Setup, caplog: pytest.LogCaptureFixture
) -> None:
    """The edge goes on, and writes them when it can."""
    on_disk.reader.load()
    other = sqlite3.connect(path_of(on_disk.store), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    for _ in range(2):
        on_disk.reader.save_uses({"tok_shop"}, 3000)
        on_disk.reader.poll()
    other.execute("COMMIT")
    other.close()
    assert caplog.text.count("when tokens were used is not kept now") == 1
    on_disk.reader.save_uses({"tok_shop"}, 3001)
    assert on_disk.store.last_used() == {"tok_shop": 3001}


async def test_uses_are_asked_for_once_a_minute(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All tokens together, by one write; and once more when the edge stops."""
    monkeypatch.setattr("asgi_tunnel_edge.storage.watcher._USES_EVERY", 5)
    asked: list[int] = []
    twice = asyncio.Event()

    class Uses:
        def take_used(self) -> set[str]:
            asked.append(1)
            if len(asked) == 2:
                twice.set()
            return {"tok_shop"}

    watcher = SnapshotWatcher(
        setup.store.location, setup.file, lambda _: None, uses=Uses(), interval=0.01
    )
    await watcher.start()
    await twice.wait()
    await watcher.stop()
    assert len(asked) >= 3
    assert list(setup.store.last_used()) == ["tok_shop"]
