"""Says what differs between two recorded exchanges, such as a request and its replay.

Bodies of JSON are compared key by key, texts line by line, anything else byte by byte. Fields that
differ each time, such as ``date``, are marked and make no two exchanges different.
"""

from __future__ import annotations

import difflib
import json
from collections.abc import Iterator
from itertools import islice
from typing import Any, Final

from .recorded import (
    Detail,
    Fields,
    body_bytes,
    is_complete,
    request_body,
    request_fields,
    response_body,
    response_fields,
    values_of,
)

__all__ = ["MAX_CHANGES", "MAX_LINES", "diff"]

MAX_CHANGES: Final = 500
"""Differences that are named of one part: nobody reads more."""

MAX_LINES: Final = 1000
"""Lines of a text that are compared one by one: comparing takes up to their number squared, and the
app waits meanwhile. Longer ones are compared as bytes."""

MAX_SHOWN: Final = 2000
"""Characters shown of one value."""

_USUAL: Final = frozenset({"date", "age", "server-timing", "x-request-id", "x-process-time"})
_CONTEXT: Final = 3  # lines around a change
_MISSING: Final = object()


def diff(first: Detail, second: Detail) -> dict[str, Any]:
    """Return what differs.

    Returns:
        ``a`` and ``b``, the two ids; ``is_same``; and ``changes``, a list of ``{"part", "at", "a",
        "b", "is_usual"}``: ``part`` is "request" or "response", ``at`` is "method", "path", "host",
        "status", "error", "field NAME", "body" or a place in a body of JSON, as in
        ``body.items[0].price``. A value that is not there is null. A text has ``lines`` in the form
        of ``diff -u``. At most :data:`MAX_CHANGES` of each part, and ``is_cut`` says that there
        are more.
    """
    request = _part("request", first, second)
    response = _part("response", first, second)
    changes, is_cut = [], False
    for found in (request, response):
        part = list(islice(found, MAX_CHANGES + 1))
        is_cut = is_cut or len(part) > MAX_CHANGES
        changes += part[:MAX_CHANGES]
    return {
        "a": first.get("id"),
        "b": second.get("id"),
        "is_same": all(one["is_usual"] for one in changes),
        "is_cut": is_cut,
        "changes": changes,
    }


def _part(part: str, first: Detail, second: Detail) -> Iterator[dict[str, Any]]:
    is_request = part == "request"
    for name in ("host", "method", "path") if is_request else ("status", "error"):
        if first[name] != second[name]:
            yield _change(part, name, first[name], second[name])
    fields = request_fields if is_request else response_fields
    yield from _fields(part, fields(first), fields(second))
    body = request_body if is_request else response_body
    yield from _bodies(part, body(first), body(second))
    sizes = [_unkept(one[part]) for one in (first, second)]
    if sizes[0] != sizes[1]:
        yield _change(part, "bytes of the body that were not kept", *sizes)
    if not is_request:
        yield from _messages(first, second)


def _fields(part: str, first: Fields, second: Fields) -> Iterator[dict[str, Any]]:
    for name in dict.fromkeys(one.lower() for one, _ in [*first, *second]):
        a, b = values_of(first, name), values_of(second, name)
        if a != b:
            shown = (", ".join(one) if one else None for one in (a, b))
            yield _change(part, f"field {name}", *shown, is_usual=name in _USUAL)


def _bodies(part: str, first: bytes, second: bytes) -> Iterator[dict[str, Any]]:
    if first == second:
        return
    found = _json_changes(part, first, second)
    if found:
        yield from found
        return
    lines = _lines(first), _lines(second)
    if lines[0] is None or lines[1] is None:
        yield _change(part, "body", _sketch(first), _sketch(second))
        return
    text = difflib.unified_diff(lines[0], lines[1], n=_CONTEXT, lineterm="")
    shown = [line[:MAX_SHOWN] for line in islice(text, 2, 2 + MAX_LINES)]
    yield {**_change(part, "body", _sketch(first), _sketch(second)), "lines": shown}


def _json_changes(part: str, first: bytes, second: bytes) -> list[dict[str, Any]]:
    """Compare two bodies of JSON; empty: one is none, nests too deep, or only spaces differ."""
    try:
        a, b = json.loads(first), json.loads(second)
        return list(islice(_values(part, "body", a, b), MAX_CHANGES + 1))
    except (ValueError, RecursionError):
        return []


def _messages(first: Detail, second: Detail) -> Iterator[dict[str, Any]]:
    """Compare what the app sent on a WebSocket, or in an event stream."""
    sent = [
        [body_bytes(one) for one in detail["exchange_messages"] if one["from"] == "app"]
        for detail in (first, second)
    ]
    for at in range(max(map(len, sent))):
        a, b = (one[at] if at < len(one) else None for one in sent)
        if a != b:
            shown = (None if one is None else _sketch(one) for one in (a, b))
            yield _change("response", f"message {at + 1}", *shown)


def _values(part: str, at: str, a: Any, b: Any) -> Iterator[dict[str, Any]]:
    """Compare two values of JSON."""
    if isinstance(a, dict) and isinstance(b, dict):
        for key in {**a, **b}:
            inner = f"{at}.{key}" if key.isidentifier() else f"{at}[{json.dumps(key)}]"
            yield from _values(part, inner, a.get(key, _MISSING), b.get(key, _MISSING))
    elif isinstance(a, list) and isinstance(b, list):
        for number in range(max(len(a), len(b))):
            pair = (one[number] if number < len(one) else _MISSING for one in (a, b))
            yield from _values(part, f"{at}[{number}]", *pair)
    elif a != b or type(a) is not type(b):  # True == 1
        yield _change(part, at, *(None if one is _MISSING else _shown(one) for one in (a, b)))


def _change(part: str, at: str, a: Any, b: Any, *, is_usual: bool = False) -> dict[str, Any]:
    return {"part": part, "at": at, "a": a, "b": b, "is_usual": is_usual}


def _shown(value: Any) -> str:
    """Return a value of JSON as JSON: a text in quotes, a number without, null as ``null``."""
    return json.dumps(value, ensure_ascii=False)[:MAX_SHOWN]


def _lines(data: bytes) -> list[str] | None:
    """Return the lines of a text; None: it is none, or a long one."""
    try:
        lines = data.decode().splitlines()
    except UnicodeDecodeError:
        return None
    return lines if len(lines) <= MAX_LINES and b"\0" not in data else None


def _sketch(data: bytes) -> str:
    """Return what a person sees first of bytes."""
    text = data.decode("utf-8", "replace") if b"\0" not in data else data[:64].hex(" ")
    shown = text if len(text) <= MAX_SHOWN else f"{text[:MAX_SHOWN]}..."
    return f"{len(data)} bytes: {shown}" if data else "empty"


def _unkept(part: Any) -> int:
    body = (part or {}).get("body")
    return 0 if body is None or is_complete(body) else int(body["size"]) - int(body["kept"])
