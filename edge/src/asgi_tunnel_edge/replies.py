"""What the edge itself says to a visitor: short, uncacheable, and repeating nothing of the request.

A reply is decided by guards, dispatch, placement or an exchange, rendered here, and written by the
front that the visitor came through.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from html import escape
from http import HTTPStatus
from typing import Final, NamedTuple

__all__ = [
    "BY_SHARE",
    "RETRY_AFTER",
    "TOO_MANY_CONNECTIONS",
    "TOO_MANY_WAITING",
    "Reply",
    "phrase",
    "render",
]

RETRY_AFTER: Final = 5
"""Seconds after which to come back, for what a moment may mend: an app that is away, memory."""


class Reply(NamedTuple):
    """A response of the edge's own."""

    status: int
    why: str  #: one sentence that repeats nothing of the request
    retry_after: int | None = None  #: seconds
    fields: Sequence[tuple[bytes, bytes]] = ()  #: more header fields
    source: str = ""  #: which guard it was, for the log
    closes: bool = True  #: the connection is not kept, whatever the visitor asked for

    @property
    def outcome(self) -> str:
        """What the access log says of it."""
        return f"refused: {self.source}" if self.source else self.why


TOO_MANY_CONNECTIONS: Final = Reply(503, "too many connections come from this address", RETRY_AFTER)
TOO_MANY_WAITING: Final = Reply(503, "too many visitors wait for this app", RETRY_AFTER)

BY_SHARE: Final = frozenset({TOO_MANY_CONNECTIONS.why, TOO_MANY_WAITING.why})
"""What is said to a group that has its share: its own doing, as with a 4xx."""

_PAGE: Final = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">
<meta name="color-scheme" content="light dark"><title>{status} {phrase}</title>
<style>
body {{ font: 16px/1.5 system-ui, sans-serif; margin: 0; min-height: 100vh; display: grid;
  place-items: center; background: Canvas; color: CanvasText }}
main {{ max-width: 34rem; padding: 2rem }}
h1 {{ font-size: 1.5rem; margin: 0 0 .5rem }}
p {{ margin: .25rem 0; opacity: .8 }}
</style>
<main><h1>{title}</h1><p>{why}</p><p><small>{status} {phrase}{request}</small></p></main>
</html>
"""

_TITLES: Final = {
    404: "Nothing is served here",
    421: "This name is not served on this connection",
    502: "The app did not answer",
    503: "This app is offline at the moment",
    504: "The app took too long",
}


def phrase(status: int) -> str:
    """Return the standard words for a status."""
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return "Unknown"


def render(reply: Reply, *, accept: bytes, request_id: bytes) -> tuple[bytes, bytes]:
    """Return the body of a reply and its content type.

    Args:
        reply: What to say.
        accept: The visitor's Accept field: JSON, a page, or plain text comes back.
        request_id: Named in the body, so that a visitor can quote it; empty when there is none.
    """
    status, why = reply.status, reply.why
    identifier = request_id.decode("ascii", "replace")
    if b"application/json" in accept or b"+json" in accept:
        value = {"status": status, "error": phrase(status), "detail": why}
        if identifier:
            value["request_id"] = identifier
        return json.dumps(value).encode() + b"\n", b"application/json"
    if b"text/html" in accept:
        page = _PAGE.format(
            status=status,
            phrase=phrase(status),
            title=escape(_TITLES.get(status, phrase(status))),
            why=escape(why[:1].upper() + why[1:] + "."),
            request=f", request {escape(identifier)}" if identifier else "",
        )
        return page.encode(), b"text/html; charset=utf-8"
    return f"{status} {phrase(status)}: {why}\n".encode(), b"text/plain; charset=utf-8"
