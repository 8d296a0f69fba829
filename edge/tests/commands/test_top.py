from __future__ import annotations

from typing import Any

import pytest

from asgi_tunnel_edge.commands.top import Rates, render
from asgi_tunnel_edge.observers.live_counts import BUCKETS, NOBODY


def host(name: str, requests: int, *, errors: int = 0, sent: int = 0, slow: int = 0) -> Any:
    """The counts of one hostname; ``slow`` requests took 1.5 s, the others 1 ms."""
    durations = [0] * BUCKETS
    durations[0], durations[18] = requests - slow, slow
    return {
        "name": name,
        "requests": requests,
        "statuses": [0, requests - errors, 0, 0, errors],
        "sent": sent,
        "durations": durations,
    }


def process(*hostnames: Any, pid: int = 7, moved: int = 0, generation: int = 1) -> Any:
    """What one process says."""
    return {
        "pid": pid,
        "generation": generation,
        "hostnames": list(hostnames),
        "moved": moved,
        "tunnels": 2,
        "waiting": 0,
        "connections": 3,
        "in_flight": 1,
        "is_overloaded": False,
    }


def test_rates_of_all_processes() -> None:
    """What two generations have is added; what was counted before the first look is not a rate."""
    rates = Rates()
    rates.add([process(host("a.test", 1000), moved=500)], 10.0)
    found = rates.add(
        [
            process(host("a.test", 1010, errors=2, sent=400, slow=2), moved=700),
            process(host("b.test", 4), pid=8, generation=2),
        ],
        12.0,
    )
    assert (found["generation"], found["tunnels"], found["connections"]) == (2, 4, 6)
    assert (found["requests_per_second"], found["tunnel_bytes_per_second"]) == (5.0, 100.0)
    (only,) = found["hostnames"]
    assert only["statuses_per_second"] == {"1xx": 0, "2xx": 4, "3xx": 0, "4xx": 0, "5xx": 1}
    assert only["bytes_per_second"] == 200
    assert only["p50"] == 0.001
    assert only["p95"] == pytest.approx(1.5, rel=0.25)
    found = rates.add([process(host("b.test", 14), pid=8, generation=2)], 13.0)
    assert [(one["hostname"], one["requests_per_second"]) for one in found["hostnames"]] == [
        ("b.test", 10.0),
        ("a.test", 0.0),
    ]


def test_counts_that_begin_anew() -> None:
    """The edge forgets them when nobody has looked for a while."""
    rates = Rates()
    rates.add([process(host("a.test", 100))], 0.0)
    found = rates.add([process(host("a.test", 3))], 1.0)
    assert found["requests_per_second"] == 3.0


def shown(width: int, height: int = 0, *, has_colour: bool = False) -> list[str]:
    """A screen with three hostnames, one of which fails."""
    rates = Rates()
    names = ("a-very-long-name-of-a-shop.example.test", "b.test", NOBODY)
    rates.add([process(*(host(name, 0) for name in names))], 0.0)
    found = rates.add([process(host(names[0], 200), host("b.test", 2, errors=1), host("-", 1))], 1)
    return render(found, width=width, height=height, has_colour=has_colour)


def test_a_screen() -> None:
    """A line for each hostname, the busiest first."""
    lines = shown(0)
    assert lines[3].split() == [
        "HOSTNAME",
        "REQ/S",
        "2xx",
        "3xx",
        "4xx",
        "5xx",
        "BYTES/S",
        "p50",
        "p95",
    ]
    assert lines[4].startswith("a-very-long-name-of-a-shop.example.test    200  200")
    assert lines[5].split() == [
        "b.test",
        "2.0",
        "1.0",
        "0",
        "0",
        "1.0",
        "0",
        "B",
        "1",
        "ms",
        "1",
        "ms",
    ]
    assert lines[6].startswith("(names that no token has)")


@pytest.mark.parametrize("width", [1, 20, 40, 75, 76, 120])
def test_narrow_terminals(width: int) -> None:
    """No line is longer than the terminal, and the numbers stay as long as there is room."""
    lines = shown(width)
    assert max(map(len, lines)) <= width
    if width >= 40:
        assert lines[5].split()[:2] == ["b.test", "2.0"]


def test_few_lines() -> None:
    """What has no room is counted."""
    assert len(shown(80, 5)) == 5
    assert shown(80, 5)[-1] == "... 3 more"


def test_colour() -> None:
    """A row with 5xx is red, and only where it is wanted."""
    lines = shown(80, has_colour=True)
    assert lines[5].startswith("\x1b[31mb.test")
    assert not lines[4].startswith("\x1b")
    assert "\x1b" not in "".join(shown(80))
