"""Writes the tables of HTTPS into ``docs/performance.md``: only a run puts figures there."""

from __future__ import annotations

from pathlib import Path
from typing import Final

from benchmarks.report import HOW_TO_READ, Report, describe, result_table, table
from benchmarks.summary import https_lines, rows

PAGE: Final = Path(__file__).parents[1] / "docs" / "performance.md"
PREFIXES: Final = ("tls-", "e2e-")
"""Of the workloads whose tables it has."""

BEGIN: Final = "<!-- https: written by `make bench ARGS=--write` -->"
END: Final = "<!-- /https -->"


def section(report: Report) -> str:
    """Return what a run shows of HTTPS, as Markdown."""
    results = [one for one in report.results if one.name.startswith(PREFIXES)]
    names = {name for one in results for name in one.rounds}
    facts = ", ".join(f"{name}: {value}" for name, value in report.machine.items())
    parts = [f"{report.made}, `{report.command}`; {facts}.", HOW_TO_READ]
    parts.append(table(["figure", "asked", "measured", "met"], rows(https_lines(report))))
    for one in results:
        parts += [f"### {one.title}", f"`{one.name}`", result_table(report, one)]
        parts += [f"- {name}: failed. {why}" for name, why in one.failures.items()]
    parts.append("\n".join(describe(report, names)))
    return "\n\n".join(parts)


def write(report: Report, page: Path = PAGE) -> None:
    """Put the section of a run in the place of the one before.

    Raises:
        ValueError: The run has nothing of HTTPS, or the page no place for it.
    """
    if not any(one.name.startswith(PREFIXES) and one.rounds for one in report.results):
        raise ValueError("this run measured no HTTPS, and the page stays as it is")
    before, begin, rest = page.read_text().partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{page} has no place for HTTPS: it is between {BEGIN} and {END}")
    page.write_text(f"{before}{begin}\n\n{section(report)}\n\n{end}{after}")
