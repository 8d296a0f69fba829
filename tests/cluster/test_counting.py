"""The counts of `make cluster` say what visitors and apps have written down."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

from tests.cluster.counting import apps_back, count

if TYPE_CHECKING:
    from pathlib import Path


def _write(folder: Path, *rows: list[object]) -> Path:
    file = folder / "lines"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test_failed_unknown_and_twice_are_different(tmp_path: Path) -> None:
    """A POST without a response is not a failed one, and one executed twice is counted apart."""
    lines = _write(
        tmp_path,
        ["get", 1.0, 0.5, "200", 1],
        ["get", 1.0, 20.0, "ConnectionRefusedError", 9],
        ["post", 1.0, 0.1, "200 run1-0", 1],
        ["post", 1.0, 0.1, "unknown run1-1", 1],
        ["post", 1.0, 0.1, "503 run1-2", 1],
        ["post", 1.0, 0.1, "200 run1-3", 1],
    )
    counted = tmp_path / "counted"
    counted.write_text("run1-0\nrun1-1\nrun1-1\nrun2-9\nrun2-9\n")
    found = count(lines, counted, "run1")
    assert (found.requests, found.failed, found.unknown) == (6, 2, 1)
    assert found.outcomes == {"get ConnectionRefusedError": 1, "post 503": 1}
    assert found.twice == 1  # and what other visitors sent is theirs
    assert found.lost == 1  # run1-3: the visitor was told 200, and no app has executed it
    assert found.slowest == 0.5


def test_streams_that_were_lost_and_came_back(tmp_path: Path) -> None:
    """The first opening is no loss, and what comes out of order is noted."""
    lines = _write(
        tmp_path,
        ["sse", 1.0, 0.2, "first", 1],
        ["sse", 3.0, 1.5, "back", 1],
        ["ws", 3.0, 0.5, "back", 1],
        ["ws", 3.0, 0.5, "out of order: 3, '5'", 1],
    )
    found = count(lines, tmp_path / "none", "run1")
    assert (found.sse, found.ws) == ([1.5], [0.5])
    assert found.notes == ["ws out of order: 3, '5'"]


def test_apps_are_back_when_they_stay_so(tmp_path: Path) -> None:
    """Who is complete only before a loss is seen is not back yet."""
    lines = tmp_path / "lines"
    lines.write_text("9.0 2 4 2\n10.1 2 4 2\n10.5 2 3 1\n11.0 2 2 0\n12.5 2 4 2\n13.0 2 4 2\n")
    assert apps_back(lines, 10.0, 4) == 2.5
    lines.write_text("9.0 2 4 2\n10.5 2 3 1\n")
    assert apps_back(lines, 10.0, 4) is None
