from __future__ import annotations

from asgi_tunnel_edge.observers.access_log import Entry
from asgi_tunnel_edge.observers.recent import MAX_TARGET, PAGE, RecentEntries


def entry(number: int, target: bytes = b"/") -> Entry:
    """One, told from others by its id."""
    return Entry(b"%d" % number, b"192.0.2.1", b"GET", "a.test", target, 200, 5, 0.5, "")


def test_what_came_since() -> None:
    """Each look gets what is new; what came too fast is counted; the first look misses nothing."""
    recent = RecentEntries(size=3)
    for number in range(5):
        recent.closed(entry(number))
    first = recent.after(0)
    assert [one["request_id"] for one in first["entries"]] == ["2", "3", "4"]
    assert (first["lost"], first["next"], first["more"]) == (0, 5, 0)
    assert recent.after(5) == {"entries": [], "lost": 0, "next": 5, "more": 0}
    for number in range(5, 10):
        recent.closed(entry(number))
    second = recent.after(5)
    assert [one["request_id"] for one in second["entries"]] == ["7", "8", "9"]
    assert second["lost"] == 2


def test_pages() -> None:
    """One reply has so many; the next goes on behind it."""
    recent = RecentEntries()
    for number in range(PAGE + 7):
        recent.closed(entry(number))
    first = recent.after(0)
    assert (len(first["entries"]), first["more"]) == (PAGE, 7)
    second = recent.after(first["next"])
    assert [one["request_id"] for one in second["entries"]] == [str(PAGE + n) for n in range(7)]
    assert second["more"] == 0


def test_a_place_of_another_process() -> None:
    """A process that has the id of one before it: nothing is taken for lost."""
    recent = RecentEntries()
    recent.closed(entry(1))
    assert recent.after(77) == {"entries": [], "lost": 0, "next": 1, "more": 0}


def test_what_is_kept_of_a_target() -> None:
    """As much as in the log: the bound of the memory is the number of entries."""
    recent = RecentEntries()
    recent.closed(entry(1, b"/" * 30_000))
    (one,) = recent.after(0)["entries"]
    assert len(one["target"]) == MAX_TARGET
