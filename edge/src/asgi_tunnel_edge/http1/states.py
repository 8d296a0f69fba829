"""The states of a visitor's connection, and which one may follow which."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final

__all__ = ["NEXT", "State"]


class State(IntEnum):
    """What the connection is doing. An IntEnum: its hash is C, and it is on the hot path."""

    HEAD = 0  #: a request head is due, or the connection is idle
    BODY = 1  #: a request body is being relayed; the response may have begun
    RESPONSE = 2  #: the request is complete, its response is not
    HELD = 3  #: the request waits for an app
    UPGRADED = 4  #: a WebSocket or a tunnel has the connection
    DRAIN = 5  #: everything is said; what still comes is dropped, then the connection closes
    CLOSED = 6  #: the transport is gone


NEXT: Final[Mapping[State, frozenset[State]]] = {
    State.HEAD: frozenset(
        {State.BODY, State.RESPONSE, State.UPGRADED, State.DRAIN, State.CLOSED, State.HEAD}
    ),
    State.BODY: frozenset({State.RESPONSE, State.HELD, State.DRAIN, State.CLOSED}),
    State.RESPONSE: frozenset({State.HEAD, State.HELD, State.UPGRADED, State.DRAIN, State.CLOSED}),
    State.HELD: frozenset({State.BODY, State.RESPONSE, State.DRAIN, State.CLOSED}),
    State.UPGRADED: frozenset({State.DRAIN, State.CLOSED}),
    State.DRAIN: frozenset({State.DRAIN, State.CLOSED}),
    State.CLOSED: frozenset({State.CLOSED}),
}
"""Pairs that are absent are defects of ours: :class:`.connection.HTTP1Connection` asserts it."""
