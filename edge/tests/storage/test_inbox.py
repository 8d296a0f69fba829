from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from asgi_tunnel_edge.errors import StorageError
from asgi_tunnel_edge.storage import inbox as module
from asgi_tunnel_edge.storage.encryption import SecretBox
from asgi_tunnel_edge.storage.inbox import InboxRecord, InboxStore, Lane

LANE = Lane("tok_1", "shop.a.test", "POST /hooks")


@pytest.fixture
def store(tmp_path: Path) -> Iterator[InboxStore]:
    """An open one."""
    store = InboxStore(tmp_path / "inbox.sqlite3", tmp_path / "tls" / "store.key")
    store.open()
    yield store
    store.close()


def record(number: int, lane: Lane = LANE, payload: bytes = b"payload") -> InboxRecord:
    """One request."""
    return InboxRecord(f"{number:032x}", lane, number, 0, payload)


def insert(store: InboxStore, *records: InboxRecord) -> list[bool]:
    """Keep some, in one transaction."""
    with store.transaction():
        return [store.insert(one) for one in records]


def numbers(store: InboxStore, lane: Lane = LANE, *, max_bytes: int = 10**6) -> list[int]:
    """Those that wait in a lane."""
    found, _ = store.waiting(lane, limit=100, max_bytes=max_bytes)
    return [one.seq for one in found]


def test_order(store: InboxStore) -> None:
    """By number, whatever the order of the inserts; each lane for itself."""
    other = LANE._replace(rule="POST /other")
    insert(store, record(3), record(1), record(2), record(4, other))
    assert numbers(store) == [1, 2, 3]
    assert numbers(store, other) == [4]
    assert store.lanes() == {LANE: 3, other: 1}
    assert store.usage() == {"tok_1": (4, 28)}


def test_a_part_of_a_lane(store: InboxStore) -> None:
    """By count, by bytes, without those that are taken; it says whether these are all."""
    insert(store, *(record(number, payload=bytes(100)) for number in range(5)))
    assert store.waiting(LANE, limit=2, max_bytes=10**6)[1] is False
    assert numbers(store, max_bytes=300) == [0, 1]
    assert numbers(store, max_bytes=1) == [0]
    taken = frozenset(f"{number:032x}" for number in (0, 2))
    found, are_all = store.waiting(LANE, limit=10, max_bytes=10**6, taken=taken)
    assert [one.seq for one in found] == [1, 3, 4]
    assert are_all


def test_twice(store: InboxStore) -> None:
    """What waits already is not kept again; what failed waits again."""
    assert insert(store, record(1), record(1)._replace(seq=9)) == [True, False]
    assert numbers(store) == [1]
    with store.transaction():
        store.note(record(1).id, 3, "why", failed=True)
    assert numbers(store) == []
    assert insert(store, record(1)._replace(seq=9)) == [True]
    assert numbers(store) == [9]
    stranger = record(1, LANE._replace(token_id="tok_2"))
    assert insert(store, stranger) == [False]


def test_failed_and_repeated_under_another_rule(store: InboxStore) -> None:
    """The app has changed its marks meanwhile: it waits where the sender's request came."""
    insert(store, record(1))
    with store.transaction():
        store.note(record(1).id, 1, "why", failed=True)
    other = LANE._replace(hostname="*.a.test", rule="POST /h*")
    assert insert(store, record(1, other)._replace(seq=9)) == [True]
    assert store.lanes() == {other: 1}
    assert numbers(store, other) == [9]


def test_a_transaction_is_all_or_nothing(store: InboxStore) -> None:
    """Also where the code in the block fails."""

    def fail() -> None:
        with store.transaction():
            store.insert(record(1))
            raise ValueError("x")

    with pytest.raises(ValueError, match="x"):
        fail()
    assert numbers(store) == []
    insert(store, record(2))
    assert numbers(store) == [2]


def test_marks(store: InboxStore) -> None:
    """Set, changed, and taken back."""
    with store.transaction():
        store.set_marks("tok_1", "a.test", ["POST /a"])
        store.set_marks("tok_1", "b.test", ["POST /b"])
        store.set_marks("tok_1", "a.test", ["POST /c", "POST /d"])
        store.set_marks("tok_1", "b.test", [])
    assert store.marks() == {("tok_1", "a.test"): ("POST /c", "POST /d")}


def test_old_ones_and_too_many_failed_ones(
    store: InboxStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Those that still waited are counted, for the log."""
    monkeypatch.setattr(module, "MAX_FAILED", 2)
    insert(store, *(record(number) for number in range(10)))
    with store.transaction():
        for number in range(2, 8):
            store.note(record(number).id, 1, "", failed=True)
    with store.transaction():
        assert store.expire(2) == 2
    assert [row.seq for row in store.rows()] == [6, 7, 8, 9]
    with store.transaction():
        assert store.forget_tokens({"tok_1", "tok_2"}) == 4
    assert store.rows() == []


def test_another_process_is_seen(store: InboxStore, tmp_path: Path) -> None:
    """By a number that its own changes leave as it is."""
    insert(store, record(1))
    before = store.version
    insert(store, record(2))
    assert store.version == before
    other = InboxStore(store.path, tmp_path / "tls" / "store.key")
    other.open()
    insert(other, record(3))
    other.close()
    assert store.version != before


def test_a_lost_key(store: InboxStore, tmp_path: Path) -> None:
    """What cannot be read is set aside, and does not stand before what can."""
    insert(store, record(1))
    key = tmp_path / "tls" / "store.key"
    key.unlink()
    other = InboxStore(store.path, key)
    other.open()  # makes another one
    insert(other, record(2))
    assert numbers(other) == [2]
    [first, _] = other.rows()
    assert (first.state, "does not fit" in first.outcome) == ("failed", True)
    other.close()


def test_a_file_that_cannot_be_used(tmp_path: Path) -> None:
    """One sentence for each."""
    key = tmp_path / "tls" / "store.key"
    with pytest.raises(StorageError, match="No such file"):
        InboxStore(tmp_path / "none" / "inbox.sqlite3", key).open()
    broken = tmp_path / "broken"
    broken.write_bytes(b"hello" * 1000)
    with pytest.raises(StorageError, match="not a database"):
        InboxStore(broken, key).open()
    newer = tmp_path / "newer"
    with sqlite3.connect(newer) as connection:
        connection.execute("PRAGMA user_version = 9")
    connection.close()
    with pytest.raises(StorageError, match="newer version"):
        InboxStore(newer, key).open()
    with pytest.raises(StorageError, match="not open"):
        InboxStore(broken, key).rows()


def test_a_full_file(tmp_path: Path) -> None:
    """It says so, and what was there before stays and can be taken out."""
    store = InboxStore(tmp_path / "inbox", tmp_path / "tls" / "store.key", max_bytes=262_144)
    store.open()
    kept = 0
    with pytest.raises(StorageError, match="full"):  # noqa: PT012 - one of them
        for number in range(100):
            insert(store, record(number, payload=bytes(20_000)))
            kept += 1
    assert kept > 5
    assert len(numbers(store)) == kept
    with store.transaction():
        assert store.delete(record(0).id) == 1
    assert insert(store, record(100, payload=bytes(20_000))) == [True]
    store.close()


def test_one_key_for_two_who_make_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second one finds that the file is there, and takes it."""
    path = tmp_path / "key"
    first, second = SecretBox(path), SecretBox(path)
    monkeypatch.setattr(Path, "exists", lambda self: False)
    first.create()
    sealed = first.seal(b"x", purpose="p")
    second.create()
    assert second.open(sealed, purpose="p") == b"x"
    assert [one.name for one in tmp_path.iterdir()] == ["key"]


def test_many_in_one_commit(store: InboxStore) -> None:
    """Thousands a second, whatever one fsync takes."""
    began = time.monotonic()
    for start in range(0, 2000, 200):
        insert(store, *(record(number) for number in range(start, start + 200)))
    assert time.monotonic() - began < 10
    assert store.usage()["tok_1"][0] == 2000
