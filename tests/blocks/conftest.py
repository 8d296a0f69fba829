"""Lists the blocks that are not run, at the end of a run that is about the pages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from .book import report

if TYPE_CHECKING:
    import pytest


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    """Say how many blocks there are, and which are not run."""
    terminalreporter.section("blocks of the pages")
    for line in report():
        terminalreporter.write_line(line)
