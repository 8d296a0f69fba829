"""What ``doctor`` finds, on both sides: one line for a person, or JSON for a program.

It looks at nothing itself. Called by the commands ``doctor`` of both distributions.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Final, Literal

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = [
    "Finding",
    "as_document",
    "exit_code",
    "ok",
    "problem",
    "problem_of",
    "render",
    "skipped",
    "warning",
]

State = Literal["ok", "warning", "problem", "skipped"]

_STATE_WIDTH: Final = len("problem")


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that was looked at."""

    check: str  #: what was looked at, in one or two words: ``tls``
    state: State  #: ``skipped``: nothing is known, and ``what`` says why it was not looked at
    what: str  #: what there is
    why: str = ""  #: what that means; empty where all is well
    fix: str = ""  #: what to do, as an instruction; likewise


def ok(check: str, what: str) -> Finding:
    """All is well."""
    return Finding(check=check, state="ok", what=what)


def skipped(check: str, what: str) -> Finding:
    """It was not looked at, and ``what`` says why."""
    return Finding(check=check, state="skipped", what=what)


def warning(check: str, what: str, *, why: str, fix: str) -> Finding:
    """It works now, and may not for long or not for all."""
    return Finding(check=check, state="warning", what=what, why=why, fix=fix)


def problem(check: str, what: str, *, why: str, fix: str) -> Finding:
    """It does not work."""
    return Finding(check=check, state="problem", what=what, why=why, fix=fix)


def problem_of(check: str, sentence: str, *, why: str) -> Finding:
    """A problem that an error's own sentence explains: what is wrong, and then what to do."""
    mark = "; " if "; " in sentence else ": "
    what, _, fix = sentence.rpartition(mark)
    return problem(check, what, why=why, fix=fix)


def render(findings: Sequence[Finding]) -> str:
    """A line for each finding: state, what was looked at, and what, why and what to do."""
    width = max((len(one.check) for one in findings), default=0)
    return "\n".join(
        f"{one.state:<{_STATE_WIDTH}}  {one.check:<{width}}  "
        + "; ".join(text for text in (one.what, one.why, one.fix) if text)
        for one in findings
    )


def as_document(findings: Sequence[Finding]) -> dict[str, object]:
    """The same for a program: ``{"ok": ..., "findings": [...]}``."""
    return {"ok": exit_code(findings) == 0, "findings": [asdict(one) for one in findings]}


def exit_code(findings: Sequence[Finding]) -> int:
    """1 where there is a problem; a warning is none."""
    return 1 if any(one.state == "problem" for one in findings) else 0
