"""Replies of the edge as HTTP/1.1, and the lines that every response begins with."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Final

from ..pages import Pages
from ..replies import REASON_FIELD, Reply, phrase, reason_of

_CORS: Final = (
    b"access-control-allow-origin: *\r\n"
    b"access-control-expose-headers: retry-after, x-asgi-tunnel-reason, x-request-id\r\n"
)
"""Of a 5xx, so that a page of another origin sees it and no CORS error. Not for credentials; and
preflights are the app's to allow: a browser may use the permission when the app is back."""

_lines: dict[int, bytes] = {}


def status_line(status: int) -> bytes:
    """Return ``HTTP/1.1 200 OK`` with its line end."""
    line = _lines.get(status)
    if line is None:
        line = _lines[status] = f"HTTP/1.1 {status} {phrase(status)}\r\n".encode()
    return line


_dates: dict[int, bytes] = {}


def date_field() -> bytes:
    """Return the Date line of this second."""
    now = int(time.time())
    line = _dates.get(now)
    if line is None:
        _dates.clear()
        line = _dates[now] = f"date: {formatdate(now, usegmt=True)}\r\n".encode()
    return line


def encode_reply(
    reply: Reply,
    pages: Pages,
    *,
    accept: bytes,
    request_id: bytes,
    method: bytes,
    keep_alive: bool,
) -> bytes:
    """Return a whole HTTP/1.1 response.

    Args:
        reply: What to say.
        pages: What it looks like.
        accept: The visitor's Accept field.
        request_id: Sent as a field too; empty: there is none.
        method: Of the request; HEAD gets the head that GET would get, without a body.
        keep_alive: Whether the connection stays.
    """
    is_head = method == b"HEAD"
    body, fields = pages.render(
        reply, accept=accept, request_id=request_id, is_get=is_head or method == b"GET"
    )
    head = [
        status_line(reply.status),
        date_field(),
        fields,
        b"content-length: %d\r\n" % len(body),
        b"cache-control: no-store\r\n",
        b"%s: %s\r\n" % (REASON_FIELD, reason_of(reply).encode()),
    ]
    if request_id:
        head.append(b"x-request-id: " + request_id + b"\r\n")
    if reply.retry_after is not None:
        head.append(b"retry-after: %d\r\n" % reply.retry_after)
    if reply.status >= 500:
        head.append(_CORS)
    for name, value in reply.fields:
        head.append(name + b": " + value + b"\r\n")
    if not keep_alive:
        head.append(b"connection: close\r\n")
    head.append(b"\r\n")
    if not is_head:
        head.append(body)
    return b"".join(head)
