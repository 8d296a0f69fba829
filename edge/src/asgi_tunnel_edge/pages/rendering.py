"""Renders a reply in the form that its visitor asks for: the part that runs for each reply.

It joins bytes and looks nothing up but one page; what they look like was decided before, by
:mod:`.template`.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from html import escape
from typing import Final, NamedTuple

from ..replies import Reply, phrase, reason_of

__all__ = [
    "HAS_ID",
    "HAS_NOTICE",
    "HAS_UNTIL",
    "IS_GET",
    "SLOTS",
    "Page",
    "Pages",
    "shown_time",
]

IS_GET: Final = 1
HAS_ID: Final = 2
HAS_NOTICE: Final = 4
HAS_UNTIL: Final = 8
"""What a variant of a page is made for; they are added up to its index."""

SLOTS: Final = ("detail", "retry_after", "request_id", "notice", "until", "until_text")
"""What differs from reply to reply, in the order of ``Pages.render``."""

_TEXT: Final = b"content-type: text/plain; charset=utf-8\r\n"
_JSON: Final = b"content-type: application/json\r\n"
_PROBLEM: Final = b"content-type: application/problem+json\r\n"


class Page(NamedTuple):
    """One page, cut where the values of a reply stand."""

    fields: bytes  #: its content type and policy, as lines of a head
    pieces: Sequence[bytes]  #: one more than there are slots
    slots: Sequence[int]  #: which of ``SLOTS`` follows each piece but the last

    def fill(self, values: Sequence[bytes]) -> bytes:
        """Return the whole page.

        Args:
            values: For each of ``SLOTS``, in HTML.
        """
        pieces = self.pieces
        parts = [pieces[0]]
        at = 1
        for slot in self.slots:
            parts.append(values[slot])
            parts.append(pieces[at])
            at += 1
        return b"".join(parts)


class Pages:
    """All pages of one edge.

    Args:
        pages: By reason: each variant at its index, IS_GET to HAS_UNTIL added up.
    """

    __slots__ = ("_pages",)

    def __init__(self, pages: Mapping[str, Sequence[Page]]) -> None:
        self._pages = dict(pages)

    def render(
        self, reply: Reply, *, accept: bytes, request_id: bytes, is_get: bool
    ) -> tuple[bytes, bytes]:
        """Return the body of a reply, and the lines of its head that belong to the body.

        Args:
            reply: What to say.
            accept: The visitor's Accept field: JSON, a page, or plain text comes back.
            request_id: Named in the body, so that a visitor can quote it; empty when there is none.
            is_get: Whether the page may load itself again: nothing is sent twice by that.
        """
        if b"application/json" in accept or b"+json" in accept:
            is_problem = b"application/problem+json" in accept
            return _as_json(reply, request_id), _PROBLEM if is_problem else _JSON
        if b"text/html" in accept:
            page = self._pages.get(reason_of(reply)) or self._pages["refused"]
            return _fill(page, reply, request_id, is_get)
        return _as_text(reply), _TEXT


def _fill(
    variants: Sequence[Page], reply: Reply, request_id: bytes, is_get: bool
) -> tuple[bytes, bytes]:
    index = IS_GET if is_get else 0
    if request_id:
        index |= HAS_ID
    notice = until = until_text = b""
    if reply.notice:
        index |= HAS_NOTICE
        notice = escape(reply.notice).encode()
    if reply.until is not None:
        index |= HAS_UNTIL
        until, until_text = shown_time(reply.until)
    why = reply.why
    seconds = reply.retry_after or 0
    page = variants[index if index < len(variants) else index & (IS_GET | HAS_ID)]
    body = page.fill(
        (
            escape(why).encode(),
            b"%d" % seconds,
            request_id,
            notice,
            until,
            until_text,
        )
    )
    return body, page.fields


def _as_json(reply: Reply, request_id: bytes) -> bytes:
    status = reply.status
    value: dict[str, object] = {
        "status": status,
        "error": phrase(status),
        "reason": reason_of(reply),
        "detail": reply.why,
    }
    if reply.notice:
        value["notice"] = reply.notice
    if reply.until is not None:
        value["until"] = shown_time(reply.until)[0].decode()
    if request_id:
        value["request_id"] = request_id.decode("ascii", "replace")
    return json.dumps(value).encode() + b"\n"


def _as_text(reply: Reply) -> bytes:
    status = reply.status
    text = f"{status} {phrase(status)}: {reply.why}\n"
    if reply.notice:
        text += f"{reply.notice}\n"
    if reply.until is not None:
        text += f"expected until {shown_time(reply.until)[0].decode()}\n"
    return text.encode()


_MONTHS: Final = (
    *("January", "February", "March", "April", "May", "June"),
    *("July", "August", "September", "October", "November", "December"),
)


def shown_time(seconds: int) -> tuple[bytes, bytes]:
    """Return a time in UTC for programs and for people.

    Args:
        seconds: Since 1970.
    """
    at = time.gmtime(seconds)
    # By hand: the words of strftime depend on the machine's language.
    day = f"{at.tm_mday} {_MONTHS[at.tm_mon - 1]} {at.tm_year}"
    exact = time.strftime("%Y-%m-%dT%H:%M:%SZ", at)
    return exact.encode(), f"{day}, {at.tm_hour:02}:{at.tm_min:02} UTC".encode()
