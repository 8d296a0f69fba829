"""Numbers that travel in RESET, GOAWAY, DRAIN and REFUSE, and what each one means."""

from __future__ import annotations

from enum import IntEnum


class ResetCode(IntEnum):
    """Why one stream ended before its time (RESET)."""

    CANCELLED = 1  #: nobody waits for the rest: the visitor left
    INTERNAL_ERROR = 2  #: the app, or this side of the tunnel, failed
    REFUSED = 3  #: the stream was never started; another session may serve it
    PROTOCOL_ERROR = 4  #: the stream's content broke a rule (a bad head, a body of a wrong length)
    TIMEOUT = 5  #: a configured time ran out
    TOO_LARGE = 6  #: a configured size was exceeded
    SESSION_LOST = 7  #: never on the wire: the session that carried the stream is gone


class GoawayCode(IntEnum):
    """Why a whole session ends (GOAWAY)."""

    NO_ERROR = 0  #: drained and finished
    PROTOCOL_ERROR = 1  #: a frame broke a rule that has no code of its own
    FRAME_ERROR = 2  #: a frame is too large or has the wrong form
    FLOW_CONTROL = 3  #: more was sent than a window allowed
    STREAM_STATE = 4  #: a frame came that its stream's state does not allow
    STREAM_LIMIT = 5  #: more streams were opened than announced
    OVERLOAD = 6  #: a bound of this side was reached
    REVOKED = 7  #: the token is revoked or has expired: do not come back with it
    REPLACED = 8  #: a newer session of the same instance took over
    RESUME_FAILED = 9  #: the peer's counts do not fit what this side kept
    SHUTDOWN = 10  #: this process ends
    INTERNAL_ERROR = 11  #: a defect on this side
    KICKED = 12  #: somebody who operates this side has ended it: come back


class DrainReason(IntEnum):
    """Why a side wants no new streams (DRAIN)."""

    RESTART = 1  #: back in a moment: hold new exchanges
    SHUTDOWN = 2  #: gone after the streams that are open
    RENEW = 3  #: stream ids run out, or WELCOME would be another one: open a fresh session


class RefuseCode(IntEnum):
    """Why an edge does not start a session (REFUSE)."""

    UNAUTHENTICATED = 1  #: the token is unknown, wrong, revoked or expired
    VERSION = 2  #: no common protocol version
    HOSTNAME = 3  #: a wanted hostname is not the token's
    OVERLOAD = 4  #: come back after ``retry_after`` seconds
    MALFORMED = 5  #: the HELLO could not be read
