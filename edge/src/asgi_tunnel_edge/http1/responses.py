"""Replies of the edge as HTTP/1.1, and the lines that every response begins with."""

from __future__ import annotations

import time
from email.utils import formatdate
from typing import Final

from ..replies import Reply, phrase, render

_CORS: Final = (
    b"access-control-allow-origin: *\r\n"
    b"access-control-expose-headers: retry-after, x-request-id\r\n"
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
    reply: Reply, *, accept: bytes, request_id: bytes, is_head: bool, keep_alive: bool
) -> bytes:
    """Return a whole HTTP/1.1 response.

    Args:
        reply: What to say.
        accept: The visitor's Accept field.
        request_id: Sent as a field too; empty when the request could not be read.
        is_head: Leave the body out.
        keep_alive: Whether the connection stays.
    """
    body, content_type = render(reply, accept=accept, request_id=request_id)
    head = [
        status_line(reply.status),
        date_field(),
        b"content-type: " + content_type + b"\r\n",
        b"content-length: %d\r\n" % len(body),
        b"cache-control: no-store\r\n",
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
