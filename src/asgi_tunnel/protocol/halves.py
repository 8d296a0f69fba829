"""The state machine of one direction of a stream, as a table (docs/protocol.md section 4).

A stream is two halves, one for each direction.  A half owes its head first (OPEN toward the app,
HEAD toward the visitor), then carries data, then is over; the stream is closed when both halves
are.  Nothing else about a stream is a state.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from typing import Final


class Half(IntEnum):
    """State of one direction.  An IntEnum, because its hash is C and it is on the hot path."""

    HEAD = 0  #: the head is still to come; interim heads (1xx) may precede it
    BODY = 1  #: the head has passed, data may follow
    ENDED = 2  #: the direction is over


class Step(IntEnum):
    """What passes in one direction."""

    INTERIM = 0  #: HEAD with a 1xx status other than 101
    HEAD = 1  #: OPEN, or HEAD with a final status
    DATA = 2  #: DATA
    TRAILERS = 3  #: TRAILERS
    CLOSE = 4  #: CLOSE
    END = 5  #: the END flag of OPEN, HEAD or DATA
    RESET = 6  #: RESET, from either side


TRANSITIONS: Final[Mapping[tuple[Half, Step], Half]] = {
    (Half.HEAD, Step.INTERIM): Half.HEAD,
    (Half.HEAD, Step.HEAD): Half.BODY,
    (Half.HEAD, Step.RESET): Half.ENDED,
    (Half.BODY, Step.DATA): Half.BODY,
    (Half.BODY, Step.TRAILERS): Half.ENDED,
    (Half.BODY, Step.CLOSE): Half.ENDED,
    (Half.BODY, Step.END): Half.ENDED,
    (Half.BODY, Step.RESET): Half.ENDED,
    (Half.ENDED, Step.RESET): Half.ENDED,
}
"""Pairs that are absent are violations."""
