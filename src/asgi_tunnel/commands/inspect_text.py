"""How recorded exchanges look in a terminal: nothing of a visitor's moves its cursor."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from typing import Any, Final

from ..inspector.recorded import body_bytes, decoded
from .options import plain

__all__ = ["detail_lines", "diff_lines", "summary_line"]

MAX_SHOWN: Final = 8192
"""Bytes of a body that ``show`` prints; ``--json`` has all that was kept."""

MAX_MESSAGES: Final = 200
"""Messages that ``show`` prints, the newest ones."""

_ELLIPSIS: Final = "\u2026"
_TARGET: Final = 60  # columns of a target in a list


def summary_line(one: Mapping[str, Any], *, with_id: bool = False) -> str:
    """Return the line of an exchange in the list.

    Args:
        one: A SUMMARY.
        with_id: Its id in the place of its number: several processes have the same numbers.
    """
    name = one["id"] if with_id else f"{one['seq']:>5}"
    clock = time.strftime("%H:%M:%S", time.localtime(one["started"]))
    status = {"open": "...", "cut": "cut"}.get(one["state"], "")
    target = plain(f"{one['host']}{one['path']}")
    if len(target) > _TARGET:
        target = target[: _TARGET - 1] + _ELLIPSIS
    method = "WS" if one["kind"] == "websocket" else plain(one["method"])
    parts = [name, clock, f"{one['status'] or status or '-'!s:>3}", f"{method:<6}", target]
    parts.append(_duration(one["seconds"]))
    if one["status"] and status:
        parts.append(status)
    if one["replay_of"]:
        parts.append("replay")
    if one["error"]:
        parts.append(plain(one["error"]))
    return "  ".join(part for part in parts if part)


def detail_lines(detail: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of ``inspect show``."""
    started = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(detail["started"]))
    yield f"{detail['id']}  {started}  {detail['state']}  {_duration(detail['seconds'])}".rstrip()
    who = f", {plain(detail['visitor'])}" if detail["visitor"] else ""
    yield f"from {plain(detail['client']) or 'nobody'}{who} to {plain(detail['host'])}"
    if detail["replay_of"]:
        yield f"replay of {detail['replay_of']}"
    yield ""
    yield plain(f"{detail['method']} {detail['path']} HTTP/{detail['http_version']}")
    yield from _part(detail["request"])
    yield ""
    if detail["response"] is None:
        yield "no response"
    else:
        yield str(detail["status"])
        yield from _part(detail["response"])
    yield from _messages(detail["exchange_messages"])
    if detail["traceback"]:
        yield ""
        yield from (plain(line) for line in str(detail["traceback"]).splitlines())
    elif detail["error"]:
        yield ""
        yield plain(detail["error"])
    if detail["level"] != "full":
        yield ""
        yield "recorded without fields and bodies; for them `asgi-tunnel inspect level full`"


def diff_lines(found: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of ``inspect diff``."""
    for one in found["changes"]:
        where = plain(f"{one['part']} {one['at']}")
        if "lines" in one:
            yield f"{where}:"
            yield from (f"  {plain(line)}" for line in one["lines"])
        else:
            usual = "  (differs each time)" if one["is_usual"] else ""
            yield f"{where}: {_value(one['a'])} -> {_value(one['b'])}{usual}"
    if found["is_cut"]:
        yield "and more"
    if not found["changes"]:
        yield "no difference"


def _part(part: Mapping[str, Any]) -> Iterator[str]:
    """Yield the fields and the body of a request or a response."""
    for name, value in part["fields"] or ():
        yield plain(f"{name}: {value}")
    body = part["body"]
    if body is None or not body["size"]:
        return
    yield ""
    data = decoded(body_bytes(body), [(name, value) for name, value in part["fields"] or ()])
    yield from _content(data)
    if body["kept"] < body["size"]:
        yield f"[{body['kept']} of {body['size']} bytes were kept]"


def _content(data: bytes) -> Iterator[str]:
    shown = data[:MAX_SHOWN]
    if b"\0" in shown:
        yield f"[{len(data)} bytes: {shown[:32].hex(' ')} ...]"
        return
    yield from (plain(line) for line in shown.decode("utf-8", "replace").splitlines())
    if len(data) > MAX_SHOWN:
        yield f"[{len(data) - MAX_SHOWN} bytes more; see --json]"


def _messages(messages: list[Mapping[str, Any]]) -> Iterator[str]:
    if not messages:
        return
    yield ""
    if len(messages) > MAX_MESSAGES:
        yield f"[{len(messages) - MAX_MESSAGES} older ones; see --json]"
    for one in messages[-MAX_MESSAGES:]:
        mark = "<" if one["from"] == "visitor" else ">"
        yield f"{one['at']:8.3f} s {mark} {' '.join(_content(body_bytes(one)))}"


def _value(value: Any) -> str:
    return "nothing" if value is None else plain(str(value))


def _duration(seconds: float | None) -> str:
    if seconds is None:
        return ""
    return f"{seconds * 1000:.0f} ms" if seconds < 10 else f"{seconds:.1f} s"
