"""Rows in the file: added, bounded, forgotten, and read back."""

from __future__ import annotations

import sqlite3
import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from asgi_tunnel_edge.history.file import HOUR, KEEP, MAX_NAMES, MINUTE, OTHERS, HistoryFile
from asgi_tunnel_edge.history.tally import Tally

NOW = 1_800_000_000 // HOUR * HOUR


def tally(requests: int) -> Tally:
    """So many that were good."""
    one = Tally()
    for _ in range(requests):
        one.count(200, 10, 0.01)
    return one


def counts(file: HistoryFile, span: int, *names: str) -> dict[tuple[int, str], int]:
    """Requests by start and hostname."""
    rows = file.read(span, 0, names or None)
    return {(start, name): one.requests for start, name, one in rows}


def test_minutes_add_up_to_hours(tmp_path: Path) -> None:
    """And the same minute to itself: of another process, or before and after a restart."""
    file = HistoryFile(tmp_path / "history.sqlite3")
    assert counts(file, MINUTE) == {}
    file.add(NOW, {"a": tally(2), "b": tally(1)})
    file.add(NOW, {"a": tally(3)})
    HistoryFile(tmp_path / "history.sqlite3").add(NOW + 60, {"a": tally(1)})
    assert counts(file, MINUTE) == {(NOW, "a"): 5, (NOW, "b"): 1, (NOW + 60, "a"): 1}
    assert counts(file, HOUR) == {(NOW, "a"): 6, (NOW, "b"): 1}
    assert counts(file, HOUR, "b", "c") == {(NOW, "b"): 1}
    assert counts(file, HOUR, "' OR 1=1 --") == {}
    assert [start for start, _, _ in file.read(MINUTE, NOW + 60, None)] == [NOW + 60]
    mode = stat.S_IMODE((tmp_path / "history.sqlite3").stat().st_mode)
    assert mode == 0o600


def test_what_is_too_old_is_forgotten(tmp_path: Path) -> None:
    """Minutes after two days, hours after two months."""
    file = HistoryFile(tmp_path / "history.sqlite3")
    file.add(NOW, {"a": tally(1)})
    later = NOW + KEEP[MINUTE] + 60
    file.add(later, {"a": tally(1)})
    assert list(counts(file, MINUTE)) == [(later, "a")]
    assert len(counts(file, HOUR)) == 2
    much_later = NOW + KEEP[HOUR] + HOUR
    file.add(much_later, {"a": tally(1)})
    assert (NOW, "a") not in counts(file, HOUR)


def test_only_the_busiest_have_a_row(tmp_path: Path) -> None:
    """The others share one, in each minute and in each hour, and nothing is lost."""
    file = HistoryFile(tmp_path / "history.sqlite3")
    first = {f"a{number}": tally(2) for number in range(MAX_NAMES)} | {"z": tally(1)}
    file.add(NOW, first)
    file.add(NOW + 60, {f"b{number}": tally(1) for number in range(MAX_NAMES + 50)})
    minutes = counts(file, MINUTE)
    assert minutes[NOW, OTHERS] == 1
    assert minutes[NOW + 60, OTHERS] == 50
    hours = counts(file, HOUR)
    assert len(hours) <= MAX_NAMES + 2
    assert sum(hours.values()) == sum(minutes.values()) == 2 * MAX_NAMES + 1 + MAX_NAMES + 50


def test_two_processes_write_the_same_minute(tmp_path: Path) -> None:
    """Of a reload: each waits for the other, and neither takes anything away."""
    path = tmp_path / "history.sqlite3"

    def write(_: int) -> None:
        HistoryFile(path).add(NOW, {"a": tally(1), "b": tally(1)})

    with ThreadPoolExecutor(4) as threads:
        list(threads.map(write, range(20)))
    assert counts(HistoryFile(path), MINUTE) == {(NOW, "a"): 20, (NOW, "b"): 20}


def test_a_file_that_is_none(tmp_path: Path) -> None:
    """It is an error, for the caller to say."""
    path = tmp_path / "history.sqlite3"
    path.write_bytes(b"no database" * 1000)
    with pytest.raises(sqlite3.Error):
        HistoryFile(path).add(NOW, {"a": tally(1)})
    with pytest.raises(sqlite3.Error):
        HistoryFile(path).read(MINUTE, 0, None)
