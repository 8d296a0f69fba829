"""The numbers of all serving processes of one edge as one: what the first of them shows.

A counter may only grow, or begin anew at nothing, or a Prometheus reads a leap into it. So what a
process had counted that is gone stays in the sum, and what the others had counted before this one
began is no part of it: for who reads it, everything begins anew with this process.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Sequence
from typing import Any

from .families import FAMILIES, Value, Values, merge

__all__ = ["Gathering", "as_plain", "of_plain"]


def as_plain(values: Values) -> list[list[Any]]:
    """Return values as JSON takes them: of each its name, its labels and itself."""
    return [
        [name, list(labels), value]
        for name, samples in values.items()
        for labels, value in samples.items()
    ]


def of_plain(plain: Sequence[Sequence[Any]]) -> Values:
    """Return what :func:`as_plain` was made of; names of another version are left out."""
    values: Values = {}
    for name, labels, value in plain:
        if name in FAMILIES:
            values.setdefault(name, {})[tuple(labels)] = value
    return values


class Gathering:
    """See the module.

    Args:
        own: Returns the values of this process.
        others: Returns those of each other one that serves, and its age in seconds, by process id.
        now: Monotonic seconds.
    """

    def __init__(
        self,
        own: Callable[[], Awaitable[Values]],
        others: Callable[[], Awaitable[dict[int, tuple[float, Values]]]],
        now: Callable[[], float] = time.monotonic,
    ) -> None:
        self._own = own
        self._others = others
        self._now = now
        self._began = now()
        self._before: dict[int, Values] = {}  # what each had counted when this process began
        self._last: dict[int, Values] = {}  # what each had counted when it was asked last
        self._gone: Values = {}  # of those that are gone, together

    async def read(self) -> Values:
        """Return all values as of now. Cancelling it loses nothing."""
        others = await self._others()
        own = await self._own()
        found = {pid: values for pid, (_, values) in others.items()}
        age = self._now() - self._began
        for pid in found.keys() - self._before.keys():
            is_older = others[pid][0] > age
            self._before[pid] = _counters(found[pid]) if is_older else {}
        for pid in self._last.keys() - found.keys():
            # One that only did not reply comes back with more: it is a new one then, for the sum.
            self._gone = merge([self._gone, self._since(pid)])
            self._before[pid] = self._last.pop(pid)
        self._last.update({pid: _counters(values) for pid, values in found.items()})
        counted = [self._since(pid) for pid in found]
        return merge([own, *map(_gauges, found.values()), *counted, self._gone])

    def _since(self, pid: int) -> Values:
        before = self._before.get(pid, {})
        return {
            name: {
                labels: _less(value, before.get(name, {}).get(labels))
                for labels, value in samples.items()
            }
            for name, samples in self._last[pid].items()
        }


def _counters(values: Values) -> Values:
    return {name: one for name, one in values.items() if FAMILIES[name].kind != "gauge"}


def _gauges(values: Values) -> Values:
    return {name: one for name, one in values.items() if FAMILIES[name].kind == "gauge"}


def _less(value: Value, before: Value | None) -> Value:
    if before is None:
        return value
    if isinstance(value, list):
        assert isinstance(before, list)
        return [max(one - other, 0) for one, other in zip(value, before, strict=True)]
    assert not isinstance(before, list)
    return max(value - before, 0)
