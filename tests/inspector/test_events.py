from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from asgi_tunnel.inspector.events import EventSplitter

STREAM = b": hello\n\nid: 1\ndata: a\n\n\ndata: b\r\n\r\ndata: c\r\rdata: d\n\n"
EVENTS = [": hello", "id: 1\ndata: a", "data: b", "data: c", "data: d"]


def test_events_end_with_an_empty_line() -> None:
    """Whatever ends a line, an event ends where there are two."""
    assert [text for text, _ in EventSplitter(1000).split(STREAM)] == EVENTS


@given(st.lists(st.integers(0, len(STREAM)), max_size=6))
def test_pieces_change_nothing(cuts: list[int]) -> None:
    """An app may cut its stream anywhere."""
    splitter = EventSplitter(1000)
    places = [0, *sorted(cuts), len(STREAM)]
    found = [
        text for first, last in pairwise(places) for text, _ in splitter.split(STREAM[first:last])
    ]
    assert found == EVENTS
    assert splitter.held == 0


def test_a_long_event_is_cut() -> None:
    """Of an event without an end the beginning is held, and its size is all of it."""
    splitter = EventSplitter(10)
    for _ in range(1000):
        assert splitter.split(b"data: " + 94 * b"x") == []
    assert splitter.held == 10
    assert splitter.split(b"\n\ndata: y\n\n") == [("data: xxxx", 100_000), ("data: y", 7)]
