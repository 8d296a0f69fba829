"""Reads a recorded exchange in its JSON form, the DETAIL of docs/reference/inspector.md.

What is done with one (a curl command, a HAR, a test, a replay) starts from this form, so the same
code serves what this process has recorded and what came in from a file.
"""

from __future__ import annotations

import base64
import binascii
import re
import zlib
from collections.abc import Iterable, Mapping
from typing import Any, Final

from .redaction import REDACTED

__all__ = [
    "EDGE_FIELDS",
    "Detail",
    "Fields",
    "body_bytes",
    "decoded",
    "is_complete",
    "redactions",
    "request_body",
    "request_fields",
    "response_body",
    "response_fields",
    "value_of",
    "values_of",
]

EDGE_FIELDS: Final = frozenset(
    {
        "connection",
        "content-length",
        "keep-alive",
        "transfer-encoding",
        "x-forwarded-for",
        "x-forwarded-host",
        "x-forwarded-proto",
        "x-real-ip",
    }
)
"""Fields that belong to one connection, or that an edge writes for each request."""

MAX_DECODED: Final = 1024 * 1024
"""Bytes that a compressed body may become to be shown or compared: 64 KiB of one is 64 MiB."""

Detail = Mapping[str, Any]
"""One exchange, as ``GET /exchanges/ID`` has it."""

Fields = list[tuple[str, str]]
"""Header fields: names as they came, in order; values are latin-1."""

_CHARSET: Final = re.compile(r";\s*charset\s*=\s*\"?([A-Za-z0-9._-]{1,40})", re.IGNORECASE)
_CODINGS: Final = {"gzip": 31, "x-gzip": 31, "deflate": 15}  # zlib's wbits

# What stands right before a redacted value and names it: `token=` of a query, a form or a cookie,
# `"password": "` of JSON.
_NAMED: Final = re.compile(
    r"""(?: "(?P<key>[^"\\]{1,100})"\s*:\s*"? | (?P<name>[^\s=&?;,"]{1,100})="? )?\[redacted\]""",
    re.VERBOSE,
)


def body_bytes(body: Mapping[str, Any] | None) -> bytes:
    """Return what was kept of a body, or of a message; empty where nothing was."""
    if body is None:
        return b""
    if "base64" in body:
        try:
            return base64.b64decode(body["base64"])
        except binascii.Error:
            return b""
    text = str(body.get("text") or "")
    charset = _CHARSET.search(str(body.get("type") or ""))
    try:
        return text.encode("utf-8" if charset is None else charset[1])
    except (LookupError, UnicodeError):
        return text.encode("utf-8", "replace")


def is_complete(body: Mapping[str, Any] | None) -> bool:
    """Whether all of a body, or of a message, was kept."""
    return body is not None and int(body["kept"]) >= int(body["size"])


def request_body(detail: Detail) -> bytes:
    """Return what was kept of the request's body."""
    return body_bytes(detail["request"].get("body"))


def response_body(detail: Detail) -> bytes:
    """Return what was kept of the response's body, without its content coding where possible."""
    response = detail.get("response")
    if response is None:
        return b""
    return decoded(body_bytes(response.get("body")), response_fields(detail))


def request_fields(detail: Detail) -> Fields:
    """Return the fields of the request; none at level metadata.

    A body that was packed is kept as what was in it, so ``content-encoding`` is not there then.
    """
    fields = [(name, value) for name, value in detail["request"].get("fields") or ()]
    body = body_bytes(detail["request"].get("body"))
    if body and value_of(fields, "content-encoding") and decoded(body, fields) == body:
        fields = [one for one in fields if one[0].lower() != "content-encoding"]
    return fields


def response_fields(detail: Detail) -> Fields:
    """Return the fields of the response; none where there is no response."""
    response = detail.get("response") or {}
    return [(name, value) for name, value in response.get("fields") or ()]


def value_of(fields: Iterable[tuple[str, str]], name: str) -> str | None:
    """Return the first value of a field, or None."""
    return next((value for one, value in fields if one.lower() == name), None)


def values_of(fields: Iterable[tuple[str, str]], name: str) -> list[str]:
    """Return all values of a field."""
    return [value for one, value in fields if one.lower() == name]


def decoded(body: bytes, fields: Iterable[tuple[str, str]]) -> bytes:
    """Undo gzip or deflate; what is no such thing, not whole or too large stays as it is."""
    wbits = _CODINGS.get((value_of(fields, "content-encoding") or "").strip().lower())
    if wbits is None or not body:
        return body
    decoder = zlib.decompressobj(wbits)
    try:
        found = decoder.decompress(body, MAX_DECODED)
    except zlib.error:
        return body
    return found if decoder.eof else body


def redactions(detail: Detail) -> list[str]:
    """Name each value of the request that was not kept, once.

    Returns:
        ``authorization`` for a whole field, ``cookie: session`` for a part of one,
        ``query: token``, ``body: password``, ``message: pin`` for one of a WebSocket.
    """
    places = [("query", str(detail["path"]).partition("?")[2])]
    places += [(name.lower(), value) for name, value in request_fields(detail)]
    body = detail["request"].get("body") or {}
    places.append(("body", str(body.get("text") or "")))
    sent = (one for one in detail["exchange_messages"] if one["from"] == "visitor")
    places += [("message", str(one.get("text") or "")) for one in sent]
    return list(
        dict.fromkeys(
            place if (key := redacted_key(found)) is None else f"{place}: {key}"
            for place, text in places
            for found in find_redacted(text)
        )
    )


def find_redacted(text: str) -> list[re.Match[str]]:
    """Find each redacted value of a text, with the name that stands before it."""
    return list(_NAMED.finditer(text)) if REDACTED in text else []


def redacted_key(found: re.Match[str]) -> str | None:
    """Return the name that stands before a redacted value, or None."""
    return found["key"] or found["name"]
