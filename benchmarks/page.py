"""Writes tables into ``docs/performance.md``: only a run puts figures there."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.report import HOW_TO_READ, Report, Result, describe, result_table, table
from benchmarks.summary import SERVICES, Line, https_lines, rows, services_lines

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
_HTTPS: Final = ("tls-", "e2e-")
_SERVICES: Final = ("small-get-1", "small-get-32", "bulk-down", "websocket-32b-100")
_NOT_BESIDE: Final = frozenset({"rathole", "bore", "chisel", "localtunnel"})
"""Systems that the page has elsewhere."""


@dataclass(frozen=True)
class Section:
    """A place of the page that a run writes.

    Attributes:
        name: Of its marks.
        results: What of a run belongs to it.
        lines: The figures that are asked for.
    """

    name: str
    results: Callable[[Report], list[Result]]
    lines: Callable[[Report], Iterable[Line]]

    @property
    def begin(self) -> str:
        """The mark in front of it."""
        return f"<!-- {self.name}: written by `make bench ARGS=--write` -->"

    @property
    def end(self) -> str:
        """The mark behind it."""
        return f"<!-- /{self.name} -->"


def _https(report: Report) -> list[Result]:
    return [one for one in report.results if one.name.startswith(_HTTPS) and one.rounds]


def _services(report: Report) -> list[Result]:
    return [
        replace(
            one, rounds={name: row for name, row in one.rounds.items() if name not in _NOT_BESIDE}
        )
        for one in report.results
        if one.name in _SERVICES and SERVICES in one.rounds
    ]


HTTPS: Final = Section("https", _https, https_lines)
LOCAL: Final = Section("services", _services, services_lines)
SECTIONS: Final = (HTTPS, LOCAL)


def text_of(section: Section, report: Report) -> str:
    """Return what a run shows, as Markdown."""
    results = section.results(report)
    names = {name for one in results for name in one.rounds}
    facts = ", ".join(f"{name}: {value}" for name, value in report.machine.items())
    parts = [f"{report.made}, `{report.command}`; {facts}.", HOW_TO_READ]
    parts.append(table(["figure", "asked", "measured", "met"], rows(section.lines(report))))
    for one in results:
        parts += [f"### {one.title}", f"`{one.name}`", result_table(report, one)]
        parts += [f"- {name}: failed. {why}" for name, why in one.failures.items()]
    parts.append("\n".join(describe(report, names)))
    return "\n\n".join(parts)


def write(report: Report, page: Path = PAGE) -> None:
    """Put what a run shows in the place of the one before, section by section.

    Raises:
        ValueError: The run has nothing for the page, or the page no place for it.
    """
    sections = [one for one in SECTIONS if one.results(report)]
    if not sections:
        raise ValueError("this run measured no HTTPS and no services, and the page stays as it is")
    text = page.read_text()
    for one in sections:
        before, begin, rest = text.partition(one.begin)
        _, end, after = rest.partition(one.end)
        if not begin or not end:
            raise ValueError(f"{page} has no place between {one.begin} and {one.end}")
        text = f"{before}{begin}\n\n{text_of(one, report)}\n\n{end}{after}"
    page.write_text(text)
