from __future__ import annotations

import pytest
from tests.asgi.memory import request_head

from asgi_tunnel.inspector.journal import MAX_CHANGES, Journal
from asgi_tunnel.inspector.record import Record
from asgi_tunnel.inspector.recorder import Recorder
from asgi_tunnel.inspector.ring import Kept, Ring
from asgi_tunnel.inspector.settings import Inspect


def one(ring: Ring, size: int) -> Kept:
    """Add something of a size."""
    kept = Kept(ring.next_seq)
    kept.held = size
    ring.add(kept)
    return kept


def test_the_oldest_gives_way() -> None:
    """As many are kept as fit into the bytes; who has given way is counted and told."""
    ring = Ring(1000)
    kept = [one(ring, 300) for _ in range(5)]
    assert [x.seq for x in ring.newest(100)] == [5, 4, 3]
    assert (ring.held, ring.lost, len(ring)) == (900, 2, 3)
    assert [x.is_dropped for x in kept] == [True, True, False, False, False]
    assert ring.find(2) is None
    assert ring.find(3) is kept[2]
    assert ring.find(6) is None


def test_one_that_grows_makes_others_give_way() -> None:
    """Also itself, when nothing else is left; afterwards it is not counted any more."""
    ring = Ring(1000)
    first, second = one(ring, 100), one(ring, 100)
    ring.recount(second, 950)
    assert first.is_dropped
    ring.recount(second, 1001)
    assert second.is_dropped
    ring.recount(second, 5000)
    assert (ring.held, len(ring), ring.lost) == (0, 0, 2)
    assert one(ring, 10).seq == 3


@pytest.mark.parametrize(("before", "expected"), [(100, [4, 3, 2]), (4, [3, 2]), (2, []), (0, [])])
def test_pages(before: int, expected: list[int]) -> None:
    """What is older than a number, newest first."""
    ring = Ring(300)
    for _ in range(4):
        one(ring, 100)
    assert [x.seq for x in ring.newest(before)] == expected


def test_all_are_forgotten() -> None:
    """Numbers go on, so that no id means something else later."""
    ring = Ring(1000)
    kept = one(ring, 100)
    ring.clear()
    assert (ring.held, len(ring), kept.is_dropped) == (0, 0, True)
    assert one(ring, 100).seq == 2
    assert ring.find(2) is not None


def test_a_hundred_thousand_exchanges_stay_within_the_bytes() -> None:
    """Whatever they hold, the count is never above the bound, and it is what they hold."""
    recorder = Recorder(Inspect(level="full", max_bytes=1_000_000, max_body=2000))
    head = request_head("POST", "/a?b=c", (b"content-type", b"application/json"))
    for number in range(100_000):
        record = recorder.begin(head)
        assert record is not None
        if not number % 100:
            record.on_request_body(b'{"a": "' + 5000 * b"x", True)
            record.on_head(200, [(b"content-type", b"text/plain")])
            record.on_body(3000 * b"y")
        record.finish()
        assert recorder.ring.held <= 1_000_000
    kept = recorder.ring.newest(10**9)
    assert recorder.ring.held == sum(x.held for x in kept)
    assert len(kept) + recorder.ring.lost == 100_000


def test_who_looks_on_has_a_place() -> None:
    """A reader gets what came after its place, and is told of what it has missed."""
    journal = Journal()
    journal.note(1)
    assert journal.read(0, 10) == ([], 0, 0)  # nobody looked on
    journal.viewers = 1
    for seq in range(5):
        journal.note(seq)
    assert journal.read(0, 10) == ([0, 1, 2, 3, 4], 5, 0)
    assert journal.read(0, 2) == ([3, 4], 5, 3)
    assert journal.read(5, 2) == ([], 5, 0)
    for seq in range(2 * MAX_CHANGES):
        journal.note(seq)
    seqs, place, missed = journal.read(5, 10**6)
    assert (len(seqs), place, missed) == (MAX_CHANGES, 5 + 2 * MAX_CHANGES, MAX_CHANGES)


def test_a_record_that_gave_way_keeps_nothing() -> None:
    """A long exchange is counted on, and holds no content any more."""
    recorder = Recorder(Inspect(level="full", max_bytes=64 * 1024, max_body=10_000))
    record = recorder.begin(request_head())
    assert isinstance(record, Record)
    record.on_head(200, [(b"content-type", b"text/plain")])
    for _ in range(100):
        recorder.begin(request_head())
    assert record.is_dropped
    record.on_body(5000 * b"x")
    record.on_message("hello", 5, True)
    record.raised(ValueError("x"))
    record.finish()
    detail = record.detail("x")
    assert (detail["sent"], detail["messages"], detail["traceback"]) == (5005, 1, None)
    assert recorder.ring.held <= 64 * 1024
