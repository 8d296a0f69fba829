"""Writes what became of each test to a file, with whether anything of it went through a tunnel."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import pytest

RESULTS: Final = "CONFORMANCE_RESULTS"
"""The variable that names the file."""

MAX_WHY: Final = 400
"""Characters of a failure's message that are kept."""


class _Visitors:
    """Counts connections of visitors to an edge."""

    count = 0


def note_exchange() -> None:
    """Count one connection, for the test that runs now."""
    _Visitors.count += 1


class _Recorder:
    def __init__(self, path: Path, root: Path) -> None:
        self._path = path
        self._root = root
        self._found: dict[str, dict[str, object]] = {}

    def _id(self, nodeid: str) -> str:
        """A test's id without the folder of this machine, which parameters may name."""
        return nodeid.replace(f"{self._root}/", "")

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        before = _Visitors.count
        try:
            return (yield)
        finally:
            nothing: dict[str, object] = {"outcome": "failed", "why": "no report"}
            one = self._found.setdefault(self._id(item.nodeid), nothing)
            one["relayed"] = _Visitors.count > before

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        known = self._found.get(self._id(report.nodeid))
        if known is not None and known["outcome"] == "failed":
            return
        if report.failed or known is None or report.when == "call" or report.skipped:
            self._note(report)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            self._note(report)

    def _note(self, report: pytest.TestReport | pytest.CollectReport) -> None:
        self._found[self._id(report.nodeid)] = {"outcome": report.outcome, "why": _why(report)}

    def pytest_sessionfinish(self) -> None:
        self._path.write_text(json.dumps(self._found, indent=1))


def _why(report: pytest.TestReport | pytest.CollectReport) -> str:
    if report.passed:
        return ""
    if isinstance(report.longrepr, tuple):  # a skip: file, line, reason
        return report.longrepr[2]
    crash = getattr(report.longrepr, "reprcrash", None)
    return str(crash.message if crash else report.longrepr)[:MAX_WHY]


def pytest_configure(config: pytest.Config) -> None:
    """Record, when a file is named."""
    if RESULTS in os.environ:
        recorder = _Recorder(Path(os.environ[RESULTS]), config.rootpath)
        config.pluginmanager.register(recorder, "conformance-record")
