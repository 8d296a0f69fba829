"""What the edge itself answers: short, uncacheable, and repeating nothing of the request."""

from __future__ import annotations

import base64
import hashlib
import json
import time
from email.utils import formatdate
from html import escape
from http import HTTPStatus
from typing import Final

from asgi_tunnel.protocol.head import Fields

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


_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"


def accept_field(key: bytes) -> bytes:
    """Return the Sec-WebSocket-Accept line for a handshake's key (RFC 6455 section 4.2.2)."""
    digest = hashlib.sha1(key + _GUID, usedforsecurity=False).digest()
    return b"sec-websocket-accept: " + base64.b64encode(digest) + b"\r\n"


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


def answer(  # noqa: PLR0913 - each is one header field or less
    status: int,
    why: str,
    *,
    accept: bytes = b"",
    request_id: bytes = b"",
    retry_after: int | None = None,
    is_head: bool = False,
    keep_alive: bool = False,
    fields: Fields | None = None,
) -> bytes:
    """Return a whole HTTP/1.1 answer.

    Args:
        status: The HTTP status.
        why: One sentence that repeats nothing of the request.
        accept: The visitor's Accept field: JSON, a page, or plain text comes back.
        request_id: Named in the answer, so that a visitor can quote it.
        retry_after: Seconds.
        is_head: Leave the body out.
        keep_alive: Whether the connection stays.
        fields: More header fields.
    """
    body, content_type = _body(status, why, accept, request_id)
    head = [
        status_line(status),
        date_field(),
        b"content-type: " + content_type + b"\r\n",
        b"content-length: %d\r\n" % len(body),
        b"cache-control: no-store\r\n",
    ]
    if request_id:
        head.append(b"x-request-id: " + request_id + b"\r\n")
    if retry_after is not None:
        head.append(b"retry-after: %d\r\n" % retry_after)
    for name, value in fields or ():
        head.append(name + b": " + value + b"\r\n")
    if not keep_alive:
        head.append(b"connection: close\r\n")
    head.append(b"\r\n")
    if not is_head:
        head.append(body)
    return b"".join(head)


def _body(status: int, why: str, accept: bytes, request_id: bytes) -> tuple[bytes, bytes]:
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
