"""What the edge itself says to a visitor: short, uncacheable, and repeating nothing of the request.

A reply is decided by guards, dispatch, placement or an exchange, rendered by :mod:`.pages`, and
written by the front that the visitor came through.
"""

from __future__ import annotations

from collections.abc import Sequence
from http import HTTPStatus
from typing import Final, NamedTuple

__all__ = [
    "BY_SHARE",
    "REASON_FIELD",
    "RETRY_AFTER",
    "TOO_MANY_CONNECTIONS",
    "TOO_MANY_WAITING",
    "Reply",
    "phrase",
    "reason_of",
]

RETRY_AFTER: Final = 5
"""Seconds after which to come back, for what a moment may mend: an app that is away, memory."""

REASON_FIELD: Final = b"x-asgi-tunnel-reason"
"""Stands on each reply of the edge's own, and on no response of an app: it is taken out there."""

_BY_STATUS: Final = {
    400: "bad-request",
    401: "token-refused",
    405: "method-refused",
    408: "request-timeout",
    413: "body-too-large",
    414: "address-too-long",
    417: "expectation-failed",
    421: "misdirected",
    426: "upgrade-required",
    429: "rate-limited",
    431: "head-too-large",
    501: "not-implemented",
    502: "app-failed",
    503: "overloaded",
    504: "app-timeout",
    505: "http-version",
}
"""The reason where a status has one only."""


class Reply(NamedTuple):
    """A response of the edge's own."""

    status: int
    why: str  #: one sentence that repeats nothing of the request
    retry_after: int | None = None  #: seconds
    fields: Sequence[tuple[bytes, bytes]] = ()  #: more header fields
    source: str = ""  #: which guard it was, for the log
    closes: bool = True  #: the connection is not kept, whatever the visitor asked for
    reason: str = ""  #: a word of docs/reference/errors.md; empty: the status says it
    notice: str = ""  #: what the operator wrote for visitors
    until: int | None = None  #: when the operator expects the end; seconds since 1970

    @property
    def outcome(self) -> str:
        """What the access log says of it."""
        return f"refused: {self.source}" if self.source else self.why


TOO_MANY_CONNECTIONS: Final = Reply(
    503,
    "too many connections come from this address",
    RETRY_AFTER,
    reason="too-many-connections",
)
TOO_MANY_WAITING: Final = Reply(
    503, "too many visitors wait for this app", RETRY_AFTER, reason="too-many-waiting"
)

BY_SHARE: Final = frozenset({TOO_MANY_CONNECTIONS.why, TOO_MANY_WAITING.why})
"""What is said to a group that has its share: its own doing, as with a 4xx."""


def phrase(status: int) -> str:
    """Return the standard words for a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def reason_of(reply: Reply) -> str:
    """Return the word that programs know a reply by."""
    return reply.reason or _BY_STATUS.get(reply.status, "refused")
