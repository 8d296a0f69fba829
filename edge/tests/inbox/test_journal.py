from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.inbox import journal as module
from asgi_tunnel_edge.inbox.journal import Journal
from asgi_tunnel_edge.storage.inbox import InboxStore


class Disk(InboxStore):
    """A store whose disk may be full.

    Attributes:
        commits: Transactions that were made.
        is_full: Inserts fail, and with ``is_broken`` everything.
    """

    def __init__(self, path: Path) -> None:
        super().__init__(path / "inbox.sqlite3", path / "key")
        self.commits = 0
        self.is_full = self.is_broken = False
        self.notes: list[object] = []

    def transaction(self) -> Any:
        """Count it."""
        self.commits += 1
        if self.is_broken:
            raise StorageError("the disk is broken")
        return super().transaction()

    def take(self, name: object, *, is_insert: bool = True) -> object:
        """A change."""
        if self.is_full and is_insert:
            raise StorageError("the disk is full")
        self.notes.append(name)
        return name


def insert(name: object, store: InboxStore) -> object:
    """Needs room."""
    assert isinstance(store, Disk)
    return store.take(name)


def delete(name: object, store: InboxStore) -> object:
    """Needs none."""
    assert isinstance(store, Disk)
    return store.take(name, is_insert=False)


@pytest.fixture
async def disk(tmp_path: Path) -> Disk:
    """A new one."""
    return Disk(tmp_path)


@pytest.fixture
async def journal(disk: Disk) -> AsyncIterator[Journal]:
    """Writes to the disk."""
    journal = Journal(disk)
    yield journal
    journal.close()


async def test_many_changes_share_a_commit(disk: Disk, journal: Journal) -> None:
    """In order, and each hears of its own."""
    found: list[object] = []
    for number in range(100):
        journal.write(partial(insert, number), found.append)
    await journal.drain(5)
    assert found == disk.notes == list(range(100))
    assert disk.commits == 1


async def test_batches_are_bounded(disk: Disk, journal: Journal) -> None:
    """By number and by bytes."""
    for number in range(module.MAX_BATCH + 1):
        journal.write(partial(insert, number))
    await journal.drain(5)
    assert disk.commits == 2
    for number in range(4):
        journal.write(partial(insert, number), size=module.MAX_BATCH_BYTES // 2)
    await journal.drain(5)
    assert disk.commits == 4


async def test_reads_see_what_was_written_before(journal: Journal) -> None:
    """They wait for changes that are on their way to the disk."""
    loop = asyncio.get_running_loop()
    seen: asyncio.Future[object] = loop.create_future()

    def look(store: InboxStore) -> object:
        assert isinstance(store, Disk)
        return list(store.notes)

    journal.write(partial(insert, 1), lambda _: journal.read(look, seen.set_result))
    assert await seen == [1]


async def test_a_full_disk(disk: Disk, journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """What needs room fails; what makes room is made; each state is said once."""
    caplog.set_level(logging.INFO)
    disk.is_full = True
    found: list[object] = []
    for number in range(3):
        journal.write(partial(insert, number), found.append)
    journal.write(partial(delete, "gone"), found.append, is_kept=True, makes_room=True)
    await journal.drain(5)
    assert [type(one) for one in found] == [StorageError] * 3 + [str]
    assert disk.notes == ["gone"]
    disk.is_full = False
    journal.write(partial(insert, 4))
    await journal.drain(5)
    assert disk.notes == ["gone", 4]
    said = [one for one in caplog.messages if "inbox" in one or "away" in one]
    assert said == [
        "requests for apps that are away are refused: the disk is full",
        "the inbox can be written again",
    ]


@pytest.mark.parametrize("notes", [1, module.MAX_BATCH + 1])
async def test_a_full_disk_gets_room(
    disk: Disk, journal: Journal, monkeypatch: pytest.MonkeyPatch, notes: int
) -> None:
    """What makes room is made though what needs it has to wait, and is in front of it."""
    monkeypatch.setattr(module, "RETRY", 0.01)
    disk.is_full = True

    def make_room(store: InboxStore) -> object:
        disk.is_full = False
        return delete("gone", store)

    for number in range(notes):
        journal.write(partial(insert, number), is_kept=True)
    journal.write(make_room, is_kept=True, makes_room=True)
    await journal.drain(5)
    assert disk.notes == ["gone", *range(notes)]


async def test_what_must_not_be_lost_is_tried_again(
    disk: Disk, journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Before what came behind it."""
    monkeypatch.setattr(module, "RETRY", 0.01)
    disk.is_broken = True
    found: list[object] = []
    has_failed = asyncio.Event()

    def failed(result: object) -> None:
        found.append(result)
        has_failed.set()

    journal.write(partial(delete, "first"), found.append, is_kept=True)
    journal.write(partial(insert, "refused"), failed)
    await has_failed.wait()
    journal.write(partial(delete, "second"), found.append, is_kept=True)
    disk.is_broken = False
    await journal.drain(5)
    assert disk.notes == ["first", "second"]
    assert isinstance(found[0], StorageError)
    assert found[1:] == ["first", "second"]


async def test_a_defect_is_a_failure(journal: Journal, caplog: pytest.LogCaptureFixture) -> None:
    """Nobody waits for ever."""
    found: list[object] = []

    def broken(store: InboxStore) -> object:
        raise RuntimeError("a defect")

    journal.write(broken, found.append)
    await journal.drain(5)
    assert isinstance(found[0], StorageError)
    assert "failed by a defect" in caplog.text


async def test_the_end(disk: Disk, caplog: pytest.LogCaptureFixture) -> None:
    """What does not get onto the disk in time is said."""
    journal = Journal(disk)
    disk.is_broken = True
    journal.write(partial(delete, 1), is_kept=True)
    await journal.drain(0.1)
    assert "1 changes of the inbox are not on disk" in caplog.text
    journal.close()
    journal.read(lambda _: None, lambda _: None)
    journal.close()
