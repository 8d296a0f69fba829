"""Malformed and ambiguous requests get one precise answer, and no app runs what hides in them."""

from __future__ import annotations

import pytest

from .cases import CASES, Case
from .conftest import World
from .wire import split_answers


def test_no_attack_is_told_twice() -> None:
    """The table holds at least 150 attacks, each with a name of its own."""
    assert len(CASES) >= 150
    assert len({str(case) for case in CASES}) == len(CASES)


@pytest.mark.parametrize("case", CASES, ids=str)
def test_malformed_request_is_refused(world: World, case: Case) -> None:
    """The edge gives one answer and closes; nothing is relayed; a neighbour is served."""
    with world.wire() as wire:
        wire.send(case.data)
        answers = split_answers(wire.rest())
    assert [answer.status in case.statuses for answer in answers] == [True], answers
    assert answers[0].field(b"connection") == b"close"
    assert answers[0].field(b"cache-control") == b"no-store"
    assert b"smuggled" not in answers[0].body
    for event in world.check_neighbour():
        if event["target"] == "/idle":
            continue  # of an earlier test, which reads late what its visitor has left
        assert case.may_run, event
        assert event["target"] == "/case"
        assert event["event"] in ("run", "disconnect")
