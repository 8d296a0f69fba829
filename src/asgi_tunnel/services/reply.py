"""Short responses that the table itself gives: a refusal, a redirect, a fixed status."""

from __future__ import annotations

from collections.abc import Iterable
from http import HTTPStatus
from typing import Final

from ..asgi.types import Receive, Scope, Send

RETRY_AFTER: Final = 5
"""Seconds that a visitor of a service which is away is told to wait: a restart takes that long."""

Field = tuple[bytes, bytes]


async def reply(
    scope: Scope,
    receive: Receive,
    send: Send,
    status: int,
    text: str,
    fields: Iterable[Field] = (),
) -> None:
    """Answer with plain text; a WebSocket is refused with the same response.

    Args:
        scope: Of ``http`` or ``websocket``.
        receive: Of the call.
        send: Of the call.
        status: 200 to 599.
        text: One sentence for the visitor; empty for none.
        fields: More header fields.
    """
    body = b"" if status in (204, 304) else text.encode()
    headers = text_fields(body, fields)
    if scope["type"] == "websocket":
        await receive()  # websocket.connect comes first
        if "websocket.http.response" not in (scope.get("extensions") or {}):
            await send({"type": "websocket.close", "code": 1008, "reason": ""})
            return
        kind = "websocket.http.response"
    else:
        kind = "http.response"
        if scope["method"] == "HEAD":
            body = b""
    await send({"type": f"{kind}.start", "status": status, "headers": headers})
    await send({"type": f"{kind}.body", "body": body, "more_body": False})


async def refuse(
    scope: Scope, receive: Receive, send: Send, status: int, why: str, *, retry: bool = False
) -> None:
    """Answer with an error: its status, its name and one sentence.

    Args:
        scope: Of the call.
        receive: Of the call.
        send: Of the call.
        status: 400 to 599.
        why: A sentence without a full stop; it names nothing of the own network.
        retry: It may be another answer in a moment: Retry-After.
    """
    text, fields = refusal(status, why, retry=retry)
    await reply(scope, receive, send, status, text, fields)


def refusal(status: int, why: str, *, retry: bool = False) -> tuple[str, list[Field]]:
    """Return the text of an error and its own header fields; arguments as :func:`refuse`."""
    fields = [(b"cache-control", b"no-store")]
    if retry:
        fields.append((b"retry-after", b"%d" % RETRY_AFTER))
    return f"{status} {HTTPStatus(status).phrase}: {why}\n", fields


def text_fields(body: bytes, fields: Iterable[Field]) -> list[Field]:
    """Return the header fields of a plain text."""
    return [
        (b"content-type", b"text/plain; charset=utf-8"),
        (b"content-length", b"%d" % len(body)),
        *fields,
    ]
