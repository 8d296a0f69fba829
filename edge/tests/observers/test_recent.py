from __future__ import annotations

import json

from asgi_tunnel_edge.channel import MAX_MESSAGE
from asgi_tunnel_edge.observers.access_log import AccessLog, Entry
from asgi_tunnel_edge.observers.recent import MAX_LINES, RecentLines


def test_what_came_since() -> None:
    """Each look gets what is new; what came too fast is counted; the first look misses nothing."""
    recent = RecentLines(size=3)
    recent.extend([b"%d\n" % number for number in range(5)])
    assert recent.after(0) == {"lines": ["2", "3", "4"], "lost": 0, "next": 5, "more": 0}
    assert recent.after(5) == {"lines": [], "lost": 0, "next": 5, "more": 0}
    recent.extend([b"%d\n" % number for number in range(5, 10)])
    assert recent.after(5) == {"lines": ["7", "8", "9"], "lost": 2, "next": 10, "more": 0}


def test_a_place_of_another_process() -> None:
    """A process that has the id of one before it: nothing is taken for lost."""
    recent = RecentLines()
    recent.extend([b"1\n"])
    assert recent.after(77) == {"lines": [], "lost": 0, "next": 1, "more": 0}
    assert recent.after(-7)["lines"] == ["1"]


def test_pages() -> None:
    """T96: lines that are as long as the log makes them come in replies that fit the channel."""
    log = AccessLog()
    longest = Entry(b"1" * 32, b"192.0.2.1", b"GET", "a.test", b"\x1b" * 30_000, 200, 5, 0.5, "")
    for _ in range(MAX_LINES):
        log.closed(longest)
    log.flush()
    seen, place, asked = 0, 0, 0
    while seen < MAX_LINES:
        reply = log.recent.after(place)
        assert len(json.dumps(reply)) < MAX_MESSAGE
        seen += len(reply["lines"])
        assert reply["more"] == MAX_LINES - seen
        place = reply["next"]
        asked += 1
    assert asked > 1
