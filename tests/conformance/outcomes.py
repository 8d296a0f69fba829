"""Compares what became of a suite's tests with the table of the failures that are explained.

A table is ``expected/NAME.toml``: ``[[reason]]`` with ``why``, one sentence, and ``tests``, their
ids. An id may end before its parameters: it then stands for all of them.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one test.

    Attributes:
        outcome: "passed", "failed" or "skipped".
        why: The first words of its failure.
        relayed: Whether anything of it went to the edge.
    """

    outcome: str
    why: str = ""
    relayed: bool = False


@dataclass(slots=True)
class Verdict:
    """What the comparison found.

    Attributes:
        unexplained: Failures that the table does not have.
        passing: Entries of the table whose tests all pass.
        missing: Entries of the table without any test that ran.
        explained: Number of failures for each reason.
    """

    unexplained: dict[str, str] = field(default_factory=dict)
    passing: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    explained: dict[str, int] = field(default_factory=dict)

    @property
    def is_good(self) -> bool:
        """Whether everything is as the table says."""
        return not (self.unexplained or self.passing or self.missing)


def read_reasons(path: Path) -> dict[str, str]:
    """Return test id to reason; a test that is listed twice is an error."""
    reasons: dict[str, str] = {}
    for one in tomllib.loads(path.read_text())["reason"] if path.exists() else ():
        for test in one["tests"]:
            if test in reasons:
                raise ValueError(f"{path.name}: {test} is listed twice; leave one of the two")
            reasons[test] = " ".join(one["why"].split())
    return reasons


def compare(outcomes: Mapping[str, Outcome], reasons: Mapping[str, str]) -> Verdict:
    """Compare; a skipped test neither passes nor fails."""
    verdict = Verdict()
    ran: dict[str, list[str]] = {entry: [] for entry in reasons}
    for test, one in outcomes.items():
        entry = test if test in reasons else test.partition("[")[0]
        if entry in reasons:
            ran[entry].append(one.outcome)
        if one.outcome != "failed":
            continue
        if entry in reasons:
            why = reasons[entry]
            verdict.explained[why] = verdict.explained.get(why, 0) + 1
        else:
            verdict.unexplained[test] = one.why
    for entry, found in ran.items():
        if "failed" in found:
            continue
        (verdict.passing if "passed" in found else verdict.missing).append(entry)
    return verdict
