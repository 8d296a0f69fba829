"""Runs cases in all worlds, and tells allowed differences from the others."""

from __future__ import annotations

import asyncio
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from .allowed import Ends, find
from .compare import Difference, differences
from .cover import categories
from .script import Case, Conversation, End
from .show import show
from .visit import Outcome, visit
from .worlds import Worlds


@dataclass
class Tally:
    """What a run has covered."""

    cases: int = 0
    covered: Counter[str] = field(default_factory=Counter)
    allowed: Counter[str] = field(default_factory=Counter)


class DifferenceError(AssertionError):
    """The tunnel is not like uvicorn, and no entry of ``allowed.py`` says why."""

    def __init__(self, case: Case, found: list[Difference]) -> None:
        super().__init__()
        self.case = case
        self.found = found

    def __str__(self) -> str:
        return "\n".join([show(self.case), *map(str, self.found)])


async def run_case(case: Case, worlds: Worlds, tally: Tally) -> None:
    """Hold a conversation with every server.

    Raises:
        DifferenceError: One is left that is not allowed.
    """
    tunnel, *references = await asyncio.gather(
        visit(case, worlds.tunnel, worlds.app),
        *(visit(reference_case(case), world, worlds.app) for world in worlds.references),
    )
    tally.cases += 1
    tally.covered.update(categories(case))
    found = unexplained(case, tunnel, references, tally)
    if found:
        raise DifferenceError(case, found)


def reference_case(case: Case) -> Case:
    """Return what uvicorn is asked: a half-closed visitor gets no response of it."""
    if isinstance(case, Conversation) and case.end is End.HALF_CLOSE:
        return replace(case, end=End.PROBE)
    return case


def unexplained(
    case: Case, tunnel: Outcome, references: Sequence[Outcome], tally: Tally
) -> list[Difference]:
    """Return the differences that no entry allows.

    A fact that either uvicorn has is right. Where the two go different ways, because one of them
    refuses the request, that leaves a mixture: then the tunnel has to be like one of them alone.
    """
    first: list[Difference] | None = None
    for group in (references, *([one] for one in references)):
        found, names = _sort(differences(case, tunnel, group))
        if not found:
            tally.allowed.update(names)
            return []
        first = found if first is None else first
    return first or []


def _sort(differences: Iterable[Difference]) -> tuple[list[Difference], list[str]]:
    """Return those that nothing allows, and the names of the entries that allow the others."""
    found, names = [], []
    last = math.inf  # the exchange behind which nothing can be compared
    for difference in differences:
        number = math.inf if difference.number < 0 else difference.number
        if number > last:
            break
        entry = find(difference)
        if entry is None:
            found.append(difference)
            continue
        names.append(entry.name)
        if entry.ends is Ends.NOW:
            break
        if entry.ends is Ends.EXCHANGE:
            last = number
    return found, names
