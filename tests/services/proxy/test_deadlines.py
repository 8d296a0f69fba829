"""One timer for everything that has a deadline, on a clock that a test turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

import pytest

from asgi_tunnel.services.proxy.deadlines import Deadlines


class Clock:
    """The part of an event loop that is used; it counts timers."""

    def __init__(self) -> None:
        self.now = 0.0
        self.started = 0
        self._timers: list[tuple[float, Callable[[], None], Clock.Handle]] = []

    class Handle:
        """A timer."""

        is_cancelled = False

        def cancel(self) -> None:
            """Stop it."""
            self.is_cancelled = True

    def time(self) -> float:
        """Now."""
        return self.now

    def call_at(self, when: float, callback: Callable[[], None]) -> Handle:
        """Start a timer."""
        self.started += 1
        self._timers.append((when, callback, self.Handle()))
        return self._timers[-1][2]

    @property
    def running(self) -> int:
        """Timers that will fire."""
        return len([one for one in self._timers if not one[2].is_cancelled])

    def turn_to(self, now: float) -> None:
        """Let time pass."""
        self.now = now
        due = [one for one in self._timers if one[0] <= now]
        self._timers = [one for one in self._timers if one[0] > now]
        for _, callback, handle in due:
            if not handle.is_cancelled:
                callback()


class Something:
    """Has a deadline, and may set or clear one when it comes."""

    def __init__(self, then: Callable[[], None] = lambda: None) -> None:
        self.seen: list[float] = []
        self._then = then

    def on_due(self, now: float) -> None:
        """Note it."""
        self.seen.append(now)
        self._then()


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """In the place of the event loop."""
    found = Clock()
    monkeypatch.setattr(asyncio, "get_running_loop", lambda: found)
    return found


def test_each_is_due_once_at_its_time(clock: Clock) -> None:
    """In whatever order they were set."""
    deadlines, late, soon = Deadlines(), Something(), Something()
    deadlines.set(late, 2.0)
    deadlines.set(soon, 1.0)
    for now in (0.9, 1.0, 1.9, 2.0, 9.0):
        clock.turn_to(now)
    assert (soon.seen, late.seen) == ([1.0], [2.0])
    assert clock.running == 0


def test_what_is_over_in_time_needs_no_timer_of_its_own(clock: Clock) -> None:
    """A thousand exchanges in a second, each with a deadline in a second: a few timers."""
    deadlines, count = Deadlines(), 1000
    for number in range(count):
        one = Something()
        deadlines.set(one, number / count + 1.0)
        deadlines.clear(one)
        clock.turn_to(number / count)
        assert one.seen == []
    assert clock.started <= 3


def test_a_deadline_is_put_off_and_put_forward(clock: Clock) -> None:
    """The last one that was set counts."""
    deadlines, one = Deadlines(), Something()
    deadlines.set(one, 1.0)
    deadlines.set(one, 3.0)
    clock.turn_to(1.0)
    assert one.seen == []
    deadlines.set(one, 2.0)
    clock.turn_to(2.0)
    clock.turn_to(3.0)
    assert one.seen == [2.0]


def test_what_is_due_may_set_and_clear(clock: Clock) -> None:
    """Its own next deadline, and that of another one which is due at the same time."""
    deadlines = Deadlines()
    other = Something()
    again = Something(lambda: deadlines.set(again, clock.now + 1.0))
    clearing = Something(lambda: deadlines.clear(other))
    for one in (clearing, other, again):
        deadlines.set(one, 1.0)
    for now in (1.0, 2.0, 3.0):
        clock.turn_to(now)
    assert (again.seen, clearing.seen, other.seen) == ([1.0, 2.0, 3.0], [1.0], [])
    assert clock.running == 1


def test_closing_leaves_no_timer(clock: Clock) -> None:
    """When nothing is left that needs it."""
    deadlines, one = Deadlines(), Something()
    deadlines.set(one, 1.0)
    deadlines.close()
    assert clock.running == 1
    deadlines.clear(one)
    deadlines.close()
    assert clock.running == 0
    deadlines.set(one, 2.0)
    clock.turn_to(2.0)
    assert one.seen == [2.0]
