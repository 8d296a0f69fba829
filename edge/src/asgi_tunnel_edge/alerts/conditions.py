"""Decides when something that is wrong is said, and when that it is over: never too often.

Pure: what is wrong now, and the time, are arguments. What is wrong for a moment is not said; what
goes and comes is wrong all the time; and of one thing there is an alert each ``REPEAT`` at most.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from .message import Alert

__all__ = ["Conditions", "Problem"]

SETTLE: Final = 30.0
"""Seconds that all has to be well before it is said: an app that restarts again and again is
down."""

REPEAT: Final = 600.0
"""Seconds from one alert about a thing to the next: six an hour, whatever it does."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Problem:
    """What is wrong now."""

    event: str
    subject: str
    message: str  #: one sentence
    resolved: str  #: the sentence for its end
    delay: float = 0.0  #: seconds until it is said


@dataclass(slots=True)
class _Condition:
    """What is known of one thing. Times are monotonic seconds."""

    problem: Problem
    since: float  # when it began to be wrong; infinity: it is well
    began: float  # the same in seconds since 1970
    is_firing: bool = False
    well_since: float = math.inf
    quiet_until: float = -math.inf


class Conditions:
    """See the module.

    Args:
        firing: What an edge before this one has said, by key, with its ``since``.
        now: Monotonic seconds.
        settle: Seconds that all has to be well before it is said.
    """

    def __init__(self, firing: Mapping[str, Alert], *, now: float, settle: float = SETTLE) -> None:
        self._settle = settle
        self._known: dict[str, _Condition] = {}
        for key, alert in firing.items():
            problem = Problem(
                event=alert.event,
                subject=alert.subject,
                message=alert.message,
                resolved="it is over",
            )
            self._known[key] = _Condition(
                problem, now, alert.since, is_firing=True, quiet_until=now + REPEAT
            )

    @property
    def firing(self) -> dict[str, Alert]:
        """What was said to be wrong, and is not over, by key."""
        return {key: _alert(one) for key, one in self._known.items() if one.is_firing}

    def look(self, problems: Mapping[str, Problem], *, now: float, wall: float) -> list[Alert]:
        """Return what has to be said now.

        Args:
            problems: All that is wrong, by what it is about.
            now: Monotonic seconds.
            wall: Seconds since 1970.
        """
        found: list[Alert] = []
        for key, problem in problems.items():
            one = self._known.get(key)
            if one is None:
                one = self._known[key] = _Condition(problem, now, wall)
            elif one.since == math.inf:
                one.since, one.began = now, wall
            one.problem, one.well_since = problem, math.inf
            if not one.is_firing and now - one.since >= problem.delay and now >= one.quiet_until:
                one.is_firing, one.quiet_until = True, now + REPEAT
                found.append(_alert(one))
        for key in [key for key in self._known if key not in problems]:
            one = self._known[key]
            one.well_since = min(one.well_since, now)
            if not one.is_firing:
                one.since = math.inf
                if now >= one.quiet_until:
                    del self._known[key]
            elif now - one.well_since >= min(self._settle, one.problem.delay):
                one.is_firing, one.since = False, math.inf
                ended = replace(_alert(one), state="resolved", message=one.problem.resolved)
                found.append(ended)
        return found


def _alert(one: _Condition) -> Alert:
    problem = one.problem
    return Alert(
        event=problem.event,
        state="firing",
        subject=problem.subject,
        since=one.began,
        message=problem.message,
    )
