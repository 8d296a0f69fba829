"""Counts over time: written each minute, read with those that were not yet."""

from __future__ import annotations

from pathlib import Path

import pytest
from edge.tests.dashboard.house import SHOP, house

from asgi_tunnel_edge.history import History
from asgi_tunnel_edge.history.book import SPANS
from asgi_tunnel_edge.history.file import HOUR
from asgi_tunnel_edge.observers.access_log import Entry

NOW = 1_800_000_000 // HOUR * HOUR
SPAN = {one.name: one for one in SPANS}


class Clock:
    """Seconds since 1970, as a test wants them."""

    def __init__(self) -> None:
        self.now = float(NOW)

    def __call__(self) -> float:
        """Say what time it is."""
        return self.now


def entry(hostname: str, status: int = 200) -> Entry:
    """One exchange."""
    return Entry(b"id", b"192.0.2.1", b"GET", hostname, b"/", status, 100, 0.02, "")


def made(folder: Path, clock: Clock) -> History:
    """One with a file in a folder, whose names are all registered."""
    return History(folder / "history.sqlite3", lambda name: name, now=clock)


async def test_what_was_counted_is_read_before_and_after_it_is_written(tmp_path: Path) -> None:
    """In steps, and in whole; of some hostnames, or all."""
    clock = Clock()
    history = made(tmp_path, clock)
    history.counter.closed(entry("a"))
    history.counter.closed(entry("b", 500))
    (point,) = await history.points(SPAN["hour"])
    assert (point.start, point.tally.requests) == (NOW, 2)
    clock.now = NOW + 61
    await history.write()
    history.counter.closed(entry("a"))
    points = await history.points(SPAN["hour"], ["a"])
    assert [(one.start, one.tally.requests) for one in points] == [(NOW, 1), (NOW + 60, 1)]
    totals = await history.totals(SPAN["week"])
    assert {name: one.requests for name, one in totals.items()} == {"a": 2, "b": 1}
    assert await history.points(SPAN["hour"], []) == []
    assert history.counter.tallies["a"].requests == 1  # reading counts nothing twice


async def test_a_restart_and_a_reload_lose_nothing(tmp_path: Path) -> None:
    """Each process adds what it has, also within one minute."""
    clock = Clock()
    old, new = made(tmp_path, clock), made(tmp_path, clock)
    old.start()
    new.start()
    for _ in range(3):
        old.counter.closed(entry("a"))
    new.counter.closed(entry("a"))
    await old.stop()
    await old.stop()
    (point,) = await new.points(SPAN["hour"])
    assert point.tally.requests == 4
    await new.stop()
    (point,) = await made(tmp_path, clock).points(SPAN["hour"])
    assert point.tally.requests == 4


@pytest.mark.parametrize("name", SPAN)
def test_each_span_has_as_many_points_as_a_picture_shows(name: str) -> None:
    """Its steps are made of whole rows, and the rows are kept for so long."""
    from asgi_tunnel_edge.history.file import KEEP

    span = SPAN[name]
    assert 60 <= span.seconds / span.step <= 200
    assert span.step % span.row == 0
    assert KEEP[span.row] >= span.seconds


async def test_a_file_that_cannot_be_used_is_said_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The edge goes on, and shows what it has in memory."""
    (tmp_path / "history.sqlite3").write_bytes(b"no database" * 1000)
    history = made(tmp_path, Clock())
    history.counter.closed(entry("a"))
    await history.write()
    history.counter.closed(entry("b"))
    assert set(await history.totals(SPAN["hour"])) == {"b"}
    await history.write()
    assert caplog.text.count("cannot be used") == 1


async def test_an_edge_keeps_its_numbers_over_a_restart(tmp_path: Path) -> None:
    """Without a dashboard it has no such file."""
    async with house(tmp_path) as one:
        for _ in range(5):
            await one.live.get("/", host=SHOP)
        await one.live.get("/fail", host=SHOP)
    assert (tmp_path / "history.sqlite3").exists()
    history = History(tmp_path / "history.sqlite3", lambda name: name)
    totals = await history.totals(SPAN["day"])
    assert totals[SHOP].requests == 6
    assert totals[SHOP].errors == 1


async def test_an_edge_without_a_dashboard_counts_nothing(tmp_path: Path) -> None:
    """Nothing is loaded, attached or written."""
    from edge.tests.live import live_edge

    async with live_edge(tmp_path, limits={"hold_timeout": 0.1}) as live:
        assert len(live.edge.context.observers) == 1
        await live.get("/")
    assert not (tmp_path / "history.sqlite3").exists()
