"""The table of results that each run ends with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

Row = Callable[..., None]


@pytest.fixture
def row(record_property: Callable[[str, object], None]) -> Row:
    """Add a row to the table: the fault, and what was counted."""

    def add(fault: str, **figures: object) -> None:
        counted = ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in figures.items())
        record_property("fault", f"| {fault} | {counted} |")

    return add


def pytest_terminal_summary(terminalreporter: Any) -> None:
    """Print the rows; they come back from worker processes with their reports."""
    rows = [
        value
        for kind in ("passed", "failed")
        for report in terminalreporter.getreports(kind)
        for name, value in report.user_properties
        if name == "fault"
    ]
    if rows:
        terminalreporter.section("faults")
        for one in ("| fault | counted |", "|---|---|", *rows):
            terminalreporter.write_line(one)
