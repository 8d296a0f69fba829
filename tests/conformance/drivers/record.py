"""Writes what became of each test to a file, with whether anything of it went through a tunnel."""

from __future__ import annotations

import itertools
import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

RESULTS: Final = "CONFORMANCE_RESULTS"
"""The variable that names the file."""

_exchanges = itertools.count(1)
_last = [0]  # how many there have been in this process


def note_exchange() -> None:
    """Count one connection of a visitor to the edge, for the test that runs now."""
    _last[0] = next(_exchanges)


class _Recorder:
    def __init__(self, path: Path) -> None:
        self._path = path
        self._found: dict[str, dict[str, object]] = {}

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = _last[0]
        try:
            return (yield)
        finally:
            one = self._found.setdefault(item.nodeid, {"outcome": "failed", "why": "no report"})
            one["relayed"] = _last[0] > before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        known = self._found.get(report.nodeid)
        if known is not None and known["outcome"] == "failed":
            return
        if report.failed or known is None or report.when == "call" or report.skipped:
            self._found[report.nodeid] = {"outcome": report.outcome, "why": _why(report)}

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._found[report.nodeid] = {"outcome": "failed", "why": _why(report)}

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._found, indent=1))


def _why(report: pytest.TestReport | pytest.CollectReport) -> str:
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[:400]


def pytest_configure(config: pytest.Config) -> None:
    """Record, when a file is named."""
    if RESULTS in os.environ:
        config.pluginmanager.register(_Recorder(Path(os.environ[RESULTS])), "conformance-record")
