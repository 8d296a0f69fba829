"""Prints cases so that a person can read them, and reads them back."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Final

from . import script
from .script import Case

_BYTES: Final = re.compile(r"""b(['"])(?:\\.|(?!\1).)*\1""")
_RUN: Final = re.compile(r"(\\x[0-9a-f]{2}|[a-z])\1{99,}")


@dataclass(frozen=True, repr=False)
class Shown:
    """A case that Hypothesis prints in the short form."""

    case: Case

    def __repr__(self) -> str:
        return show(self.case)


def show(case: Case) -> str:
    """Return a case as Python, with long runs of one byte made short."""
    return _BYTES.sub(_shorten, repr(case))


def _shorten(literal: re.Match[str]) -> str:
    quote = literal[1]

    def times(run: re.Match[str]) -> str:
        count = len(run[0]) // len(run[1])
        return f"{quote} + b{quote}{run[1]}{quote} * {count} + b{quote}"

    return _RUN.sub(times, literal[0])


def read(text: str) -> Case:
    """Return the case that :func:`show` has printed.

    Python's own evaluation: only for what this suite itself has written.
    """
    case: Case = eval(text, {**vars(script)})  # noqa: S307 - see above
    return case
