"""The states of a connection: what may follow what."""

from __future__ import annotations

import pytest

from asgi_tunnel_edge.http1.states import NEXT, State


def test_every_state_has_a_row() -> None:
    """The table is whole: a state without a row could never be left."""
    assert set(NEXT) == set(State)


@pytest.mark.parametrize("state", State)
def test_every_state_is_reached_and_ends(state: State) -> None:
    """Each state can come from HEAD, and each can end in CLOSED."""
    reached = {State.HEAD}
    while more := {after for one in reached for after in NEXT[one]} - reached:
        reached |= more
    assert state in reached
    assert State.CLOSED in NEXT[state]


def test_nothing_follows_the_end() -> None:
    """A closed connection stays closed; one that drains takes no request any more."""
    assert NEXT[State.CLOSED] == {State.CLOSED}
    assert NEXT[State.DRAIN] == {State.DRAIN, State.CLOSED}
