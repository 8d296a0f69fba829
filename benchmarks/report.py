"""What was measured, as JSON for programs and as Markdown for people.

Nothing here starts or drives anything: :mod:`benchmarks.__main__` fills a :class:`Report`.
"""

from __future__ import annotations

from collections.abc import Container
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from functools import partial
from statistics import median
from typing import Any

from benchmarks.model import Figure

HOW_TO_READ = (
    "Cells are the median of all rounds, with the smallest and the largest one."
    " Ratios are quotients of medians; CPU is of all processes of a system together."
    " A round of a load of which other machines took more than 2 % of the CPU time was measured"
    " again, three times at most."
)

Row = dict[str, float]
"""Figures of one round by key; ``KEY.ROLE`` is the part of one process."""

STOLEN = "stolen"
"""Key of the share of CPU time that other machines took in a round; in no table."""


class Kind(StrEnum):
    """What a system is compared as."""

    DIRECT = "direct"
    OURS = "ours"
    REFERENCE = "reference"
    PEER = "peer"


@dataclass(frozen=True)
class Measured:
    """One system of a report.

    Attributes:
        kind: What it is compared as.
        version: Versions and settings.
        missing: Why it was not measured, or an empty string.
        is_tls: Visitors spoke TLS.
    """

    kind: Kind
    version: str
    missing: str = ""
    is_tls: bool = False


@dataclass(frozen=True)
class Result:
    """One workload or scene.

    Attributes:
        name: As for ``--only``.
        title: One line.
        figures: What was measured, by key; the first one is compared.
        rounds: Figures of each round, by system.
        failures: What went wrong, by system.
    """

    name: str
    title: str
    figures: dict[str, Figure]
    rounds: dict[str, list[Row]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)

    def values(self, system: str, key: str) -> list[float]:
        """Return one figure of all rounds that have it."""
        return [row[key] for row in self.rounds.get(system, []) if key in row]

    def median(self, system: str, key: str) -> float | None:
        """Return the median of a figure, or None when it was not measured."""
        values = self.values(system, key)
        return median(values) if values else None

    def best(self, systems: list[str], key: str) -> tuple[str, float] | None:
        """Return the system with the best median and that, or None when none was measured."""
        found = {name: self.median(name, key) for name in systems}
        known = {name: value for name, value in found.items() if value is not None}
        if not known:
            return None
        pick = max if self.figures[key].more_is_better else min
        name = pick(known, key=lambda one: known[one])
        return name, known[name]


@dataclass(frozen=True)
class Report:
    """A whole run.

    Attributes:
        made: When, as text.
        command: What makes it again.
        machine: Facts by name.
        systems: In the order of the tables.
        results: In the order of the run.
    """

    made: str
    command: str
    machine: dict[str, str]
    systems: dict[str, Measured]
    results: list[Result] = field(default_factory=list)

    def names(self, kind: Kind, *, is_tls: bool = False) -> list[str]:
        """Return the systems of a kind that were not missing, with or without TLS."""
        return [
            name
            for name, one in self.systems.items()
            if one.kind is kind and one.is_tls is is_tls and not one.missing
        ]

    def result(self, name: str) -> Result | None:
        """Return what a workload or a scene gave, or None when it was not in this run."""
        return next((one for one in self.results if one.name == name), None)

    def as_json(self) -> dict[str, Any]:
        """Return everything, each round included."""
        return asdict(self)


def number(value: float) -> str:
    """Return a figure with three digits that say something: 12,300, 45.6, 0.0123."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:#.3g}".rstrip(".")


def cell(values: list[float]) -> str:
    """Return median and spread: "12,300 (12,100-12,900)"; without a spread it stands alone."""
    if not values:
        return "-"
    if min(values) == max(values):
        return number(values[0])
    return f"{number(median(values))} ({number(min(values))}-{number(max(values))})"


def ratio(value: float | None, reference: float | None) -> str:
    """Return a quotient: "1.24x", or a dash where one side is unknown."""
    if value is None or not reference:
        return "-"
    return f"{value / reference:.2f}x"


def table(head: list[str], rows: list[list[str]]) -> str:
    """Return a Markdown table; all columns but the first are numbers."""
    rule = ["---", *["---:"] * (len(head) - 1)]
    return "\n".join("| " + " | ".join(row) + " |" for row in [head, rule, *rows])


def render(report: Report) -> str:
    """Return the report as Markdown."""
    from benchmarks.summary import summary

    parts = [
        "# Benchmark",
        f"{report.made}; `{report.command}`.",
        HOW_TO_READ,
        "## The figures that are asked for",
        summary(report),
    ]
    for result in report.results:
        parts += [f"## {result.title}", f"`{result.name}`", result_table(report, result)]
        parts += [f"- {name}: failed. {why}" for name, why in result.failures.items()]
    facts = [[key, value] for key, value in report.machine.items()]
    facts.append(["CPU time that others took, at most in a round", f"{_stolen(report):.1%}"])
    parts += ["## Machine", table(["", ""], facts)]
    parts += ["## Systems", "\n".join(describe(report))]
    return "\n\n".join(parts) + "\n"


def _stolen(report: Report) -> float:
    rows = (row for result in report.results for rows in result.rounds.values() for row in rows)
    return max((row.get(STOLEN, 0.0) for row in rows), default=0.0)


def result_table(report: Report, result: Result) -> str:
    """Return the figures of one workload or scene as Markdown."""
    key, first = next(iter(result.figures.items()))
    is_compared = any(name in result.rounds for name in report.systems)
    head = ["system", *(_title(figure) for figure in result.figures.values())]
    by_role = [one for one in result.figures if _roles(result, one)]
    head += [f"{result.figures[one].name}, by process" for one in by_role]
    if is_compared:
        head += [f"{first.name} / uvicorn direct", f"{first.name} / best peer"]
    is_tls = any(report.systems[one].is_tls for one in result.rounds if one in report.systems)
    of = partial(report.names, is_tls=is_tls)
    direct = next((result.median(name, key) for name in of(Kind.DIRECT)), None)
    # A reverse proxy is what TLS at the public machine is compared with: peers leave it to the app.
    best = result.best(of(Kind.PEER) + (of(Kind.REFERENCE) if is_tls else []), key)
    rows = []
    for name in result.rounds:
        row = [name, *(cell(result.values(name, one)) for one in result.figures)]
        row += [_parts(result, name, one) for one in by_role]
        if is_compared:
            mine = result.median(name, key)
            row += [ratio(mine, direct), ratio(mine, best[1] if best else None)]
        rows.append(row)
    return table(head, rows)


def _title(figure: Figure) -> str:
    return f"{figure.name}, {figure.unit}" if figure.unit not in ("", "1/s") else figure.name


def _roles(result: Result, key: str) -> bool:
    rows = (row for rows in result.rounds.values() for row in rows)
    return any(one.startswith(f"{key}.") for row in rows for one in row)


def _parts(result: Result, system: str, key: str) -> str:
    """Return the medians of a figure's parts: "edge 41.2, app 30.1"."""
    prefix = f"{key}."
    keys = dict.fromkeys(
        one for row in result.rounds[system] for one in row if one.startswith(prefix)
    )
    return ", ".join(
        f"{one.removeprefix(prefix)} {number(median(result.values(system, one)))}" for one in keys
    )


def describe(report: Report, names: Container[str] | None = None) -> list[str]:
    """Return a line for each system: what was measured, or why it was not.

    Args:
        report: Of a run.
        names: Only these; None: all.
    """
    return [
        f"- {name}: {f'not measured, {one.missing}' if one.missing else one.version}"
        for name, one in report.systems.items()
        if names is None or name in names
    ]
