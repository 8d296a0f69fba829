"""Which clock runs in which state, with a clock that is turned by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import pytest

from asgi_tunnel_edge.http1 import deadlines as module
from asgi_tunnel_edge.http1.deadlines import (
    HALF_CLOSE_GRACE,
    LINGER,
    STATE_CLOCK,
    SWEEP,
    UNREAD_CHECK,
    Clock,
    Deadlines,
)
from asgi_tunnel_edge.http1.states import State
from asgi_tunnel_edge.settings.config import Limits
from asgi_tunnel_edge.settings.guards import Pace

LIMITS = Limits()


class Time:
    """Seconds, turned by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        """Return them."""
        return self.now


@pytest.mark.parametrize(
    ("start", "state", "seconds", "clock"),
    [
        (lambda one: one.await_head(), State.HEAD, LIMITS.head_timeout, Clock.REQUEST),
        (
            lambda one: one.await_next_request(),
            State.HEAD,
            LIMITS.keep_alive_timeout,
            Clock.REQUEST,
        ),
        (lambda one: one.watch_body(0), State.BODY, LIMITS.body_grace, Clock.BODY),
        (lambda one: one.hold(), State.HELD, LIMITS.hold_timeout - SWEEP, Clock.HOLD),
        (lambda one: one.end_hold(), State.HELD, 0.0, Clock.HOLD),
        (lambda one: one.linger(), State.DRAIN, LINGER, Clock.LINGER),
        (lambda one: one.bound_exchange(7.0), State.RESPONSE, 7.0, Clock.EXCHANGE),
        (lambda one: one.watch_writing(0), State.RESPONSE, LIMITS.body_grace, Clock.WRITE),
        (lambda one: one.half_closed(0), State.RESPONSE, HALF_CLOSE_GRACE, Clock.HALF_CLOSED),
        (lambda one: one.watch_unread(), State.BODY, UNREAD_CHECK, Clock.UNREAD),
    ],
)
def test_a_clock_runs_out_once(
    start: Callable[[Deadlines], None], state: State, seconds: float, clock: Clock
) -> None:
    """It says its name when its time has come, not before, and not twice."""
    time = Time()
    deadlines = Deadlines(LIMITS, time)
    deadlines.enter(state)
    start(deadlines)
    if seconds:
        assert deadlines.expired(time.now + seconds - 0.001, state) is None
    assert deadlines.expired(time.now + seconds, state) is clock
    assert deadlines.expired(time.now + 1000, state) is None


@pytest.mark.parametrize("state", State)
def test_a_state_stops_the_clock_of_the_one_before(state: State) -> None:
    """No head timeout fires while a response is written, and so on."""
    deadlines = Deadlines(LIMITS, Time())
    deadlines.await_head()
    deadlines.enter(state)
    assert deadlines.expired(1e9, state) is None


@pytest.mark.parametrize(
    ("state", "goes_on"),
    [
        (State.BODY, True),
        (State.RESPONSE, True),
        (State.HELD, True),
        (State.HEAD, False),
        (State.UPGRADED, False),
        (State.DRAIN, False),
    ],
)
def test_max_time_is_of_one_exchange(state: State, goes_on: bool) -> None:
    """It runs through the states of an exchange and stops with it."""
    deadlines = Deadlines(LIMITS, Time())
    deadlines.bound_exchange(1.0)
    deadlines.enter(state)
    assert (deadlines.expired(1e9, state) is Clock.EXCHANGE) is goes_on


def test_a_head_gets_no_more_time_by_dribbling() -> None:
    """Bytes of a head do not wind up its clock; on an idle connection they shorten it."""
    time = Time()
    deadlines = Deadlines(LIMITS, time)
    deadlines.await_head()
    time.now += LIMITS.head_timeout - 1
    deadlines.await_head()
    assert deadlines.expired(time.now + 1, State.HEAD) is Clock.REQUEST


@pytest.mark.parametrize(
    ("rate", "grace", "need"), [(500, 20.0, 10_000), (0, 60.0, 1), (1, 0.5, 1)]
)
def test_rates(rate: int, grace: float, need: int) -> None:
    """A body, or a reader, is slow below min_body_rate in body_grace seconds, or without a byte."""
    deadlines = Deadlines(Limits(min_body_rate=rate, body_grace=grace), Time())
    deadlines.watch_body(1000)
    deadlines.watch_writing(2000)
    assert deadlines.is_body_slow(1000 + need - 1)
    assert not deadlines.is_body_slow(1000 + need)
    assert deadlines.is_reader_slow(2000 + need - 1)
    assert not deadlines.is_reader_slow(2000 + need)


@pytest.mark.parametrize(("size", "pause"), [(10, 5.0), (1, 45.0), (1, 59.0)])
def test_a_pause_that_a_phone_makes_is_no_end(size: int, pause: float) -> None:
    """10 bytes every 5 s, or nothing for 45 s, is progress; both ways, by default."""
    time = Time()
    up, down = Deadlines(LIMITS, time), Deadlines(LIMITS, time)
    up.watch_body(0)
    down.watch_writing(0)
    moved = 0
    due = math.floor(time.now + pause)
    for _ in range(600):
        time.now += 1
        if time.now >= due:
            moved += size
            due += math.floor(pause)
        if up.expired(time.now, State.BODY) is Clock.BODY:
            assert not up.is_body_slow(moved)
            up.watch_body(moved)
        if down.expired(time.now, State.RESPONSE) is Clock.WRITE:
            assert not down.is_reader_slow(moved)
            down.watch_writing(moved)


def test_an_exchange_has_a_pace_of_its_own() -> None:
    """That of a hostname takes the place of the edge's."""
    time = Time()
    deadlines = Deadlines(LIMITS, time)
    deadlines.pace = Pace.of(100, 5.0)
    deadlines.watch_body(0)
    deadlines.watch_writing(0)
    time.now += 5.0
    assert deadlines.expired(time.now, State.BODY) is Clock.WRITE
    assert deadlines.expired(time.now, State.BODY) is Clock.BODY
    assert deadlines.is_body_slow(499)
    assert not deadlines.is_body_slow(500)


def test_a_half_closed_visitor_that_takes_a_byte_is_given_time() -> None:
    """Progress is one byte: its socket takes what there is."""
    deadlines = Deadlines(LIMITS, Time())
    deadlines.half_closed(10)
    assert deadlines.took_nothing(10)
    assert not deadlines.took_nothing(11)


@pytest.mark.plain  # compiled modules have no docstring
def test_the_table_in_the_docstring_is_the_code() -> None:
    """Each clock has its row, and each state's own clock is named beside it."""
    rows = {
        line.split()[0]: line
        for line in (module.__doc__ or "").splitlines()
        if line[:1].isupper() and line.split()[0] in Clock.__members__
    }
    assert set(rows) == set(Clock.__members__)
    for state, clock in STATE_CLOCK.items():
        assert state.name in rows[clock.name]
