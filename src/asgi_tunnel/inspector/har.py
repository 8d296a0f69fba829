"""Writes recorded exchanges as a HAR 1.2 file, as browsers' developer tools read it.

What HAR has no place for is in keys that begin with ``_``, as its specification allows: messages of
WebSockets as ``_webSocketMessages``, events of event streams as ``_eventSourceMessages``, both as
Chromium has them, and the rest as ``_asgiTunnel``. :mod:`.har_reader` reads such a file again.

Source: http://www.softwareishard.com/blog/har-12-spec/
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from http import HTTPStatus
from typing import Any, Final
from urllib.parse import parse_qsl

from .._version import __version__
from .recorded import (
    Detail,
    Fields,
    body_bytes,
    is_complete,
    request_fields,
    response_body,
    response_fields,
    value_of,
    values_of,
)

__all__ = ["OWN", "make_har"]

OWN: Final = "_asgiTunnel"
"""Of an entry: what only this program reads."""

_MAX_QUERY: Final = 1000  # parameters listed of a query; the URL has all of them
_OWN_KEYS: Final = (
    "id",
    "request_id",
    "level",
    "state",
    "error",
    "traceback",
    "visitor",
    "replay_of",
    "trailers",
)
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}


def make_har(details: Iterable[Detail]) -> dict[str, Any]:
    """Return a HAR of exchanges, in the order of their begin."""
    entries = [_entry(one) for one in sorted(details, key=lambda one: float(one["started"]))]
    creator = {"name": "asgi-tunnel", "version": __version__}
    return {"log": {"version": "1.2", "creator": creator, "pages": [], "entries": entries}}


def _entry(detail: Detail) -> dict[str, Any]:
    seconds = detail["seconds"] or 0.0
    waited = seconds if detail["first_byte"] is None else detail["first_byte"]
    entry = {
        "startedDateTime": _utc(detail["started"]),
        "time": _milliseconds(seconds),
        "request": _request(detail),
        "response": _response(detail),
        "cache": {},
        "timings": {
            "blocked": -1,
            "dns": -1,
            "connect": -1,
            "ssl": -1,
            "send": 0,
            "wait": _milliseconds(waited),
            "receive": _milliseconds(max(seconds - waited, 0.0)),
        },
        OWN: {
            **{key: detail[key] for key in _OWN_KEYS if detail.get(key)},
            "client": detail["client"],
            "sizes": {"request": _size(detail["request"]), "response": _size(detail["response"])},
        },
    }
    messages = detail["exchange_messages"]
    if detail["kind"] == "websocket":
        entry["_resourceType"] = "websocket"
        entry["_webSocketMessages"] = [_message(detail, one) for one in messages]
    elif messages:
        entry["_eventSourceMessages"] = [_event(detail, one) for one in messages]
    return entry


def _request(detail: Detail) -> dict[str, Any]:
    fields = request_fields(detail)
    body = detail["request"].get("body")
    path = str(detail["path"])
    found: dict[str, Any] = {
        "method": detail["method"],
        "url": url_of(detail),
        "httpVersion": f"HTTP/{detail['http_version']}",
        "cookies": _cookies(values_of(fields, "cookie")),
        "headers": _headers(fields),
        "queryString": [
            {"name": name, "value": value}
            for name, value in parse_qsl(
                "&".join(path.partition("?")[2].split("&")[:_MAX_QUERY]), keep_blank_values=True
            )
        ],
        "headersSize": -1,
        "bodySize": 0 if body is None else body["size"],
    }
    if body is not None and body["size"]:
        found["postData"] = {"mimeType": body["type"] or "", "params": [], **_text(body)}
    return found


def _response(detail: Detail) -> dict[str, Any]:
    """Return the response; status 0 where there is none, as browsers have it."""
    status = detail["status"] or 0
    fields = response_fields(detail)
    body = (detail["response"] or {}).get("body")
    size = 0 if body is None else body["size"]
    content: dict[str, Any] = {"size": size, "mimeType": value_of(fields, "content-type") or ""}
    if body is not None and body["kept"]:
        content.update(_content(detail, body))
    return {
        "status": status,
        "statusText": _phrase(status),
        "httpVersion": f"HTTP/{detail['http_version']}",
        "cookies": _cookies(values_of(fields, "set-cookie"), is_set=True),
        "headers": _headers(fields),
        "content": content,
        "redirectURL": value_of(fields, "location") or "",
        "headersSize": -1,
        "bodySize": size,
    }


def _content(detail: Detail, body: Mapping[str, Any]) -> dict[str, Any]:
    """Return a response's body as a browser shows it: without its content coding."""
    plain = response_body(detail)
    found = _text(body) if plain == body_bytes(body) else _plain_text(plain)
    if "_encoding" in found:
        found["encoding"] = found.pop("_encoding")
    if is_complete(body) and len(plain) != body["size"]:
        found |= {"size": len(plain), "compression": len(plain) - body["size"]}
    return found


def _plain_text(data: bytes) -> dict[str, Any]:
    try:
        return {"text": data.decode()}
    except UnicodeDecodeError:
        return {"text": base64.b64encode(data).decode(), "_encoding": "base64"}


def url_of(detail: Detail) -> str:
    """Return the URL of an exchange, as its visitor had it."""
    host = value_of(request_fields(detail), "host") or str(detail["host"])
    path = str(detail["path"])
    return f"{detail['scheme']}://{host}" + (path if path.startswith("/") else f"/{path}")


def _text(body: Mapping[str, Any]) -> dict[str, Any]:
    """Return what was kept; of a request HAR 1.2 has no place that says it is base64."""
    if "base64" in body:
        return {"text": body["base64"], "_encoding": "base64"}
    return {"text": body.get("text") or ""}


def _message(detail: Detail, message: Mapping[str, Any]) -> dict[str, Any]:
    is_text = message["type"] == "text"
    found = {
        "type": "send" if message["from"] == "visitor" else "receive",
        "time": detail["started"] + message["at"],
        "opcode": 1 if is_text else 2,
        "data": body_bytes(message).decode("utf-8", "replace")
        if is_text
        else base64.b64encode(body_bytes(message)).decode(),
    }
    if not is_complete(message):
        found["_size"] = message["size"]
    return found


def _event(detail: Detail, message: Mapping[str, Any]) -> dict[str, Any]:
    """Return one event of an event stream."""
    lines = body_bytes(message).decode("utf-8", "replace").splitlines()
    pairs = [line.partition(":") for line in lines]
    values: dict[str, list[str]] = {}
    for name, _, value in pairs:
        values.setdefault(name, []).append(value.removeprefix(" "))
    return {
        "time": detail["started"] + message["at"],
        "eventName": values.get("event", ["message"])[-1],
        "eventId": values.get("id", [""])[-1],
        "data": "\n".join(values.get("data", [])),
    }


def _headers(fields: Fields) -> list[dict[str, str]]:
    return [{"name": name, "value": value} for name, value in fields]


def _cookies(values: Iterable[str], *, is_set: bool = False) -> list[dict[str, str]]:
    found = []
    for value in values:
        for pair in value.split(";")[: 1 if is_set else None]:
            name, mark, content = pair.strip().partition("=")
            if mark:
                found.append({"name": name, "value": content})
    return found


def _size(part: Mapping[str, Any] | None) -> int:
    body = (part or {}).get("body")
    return 0 if body is None else int(body["size"])


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:
        return ""


def _milliseconds(seconds: float) -> float:
    return round(seconds * 1000, 3)


def _utc(seconds: float) -> str:
    moment = datetime.fromtimestamp(seconds, UTC)
    return moment.isoformat(timespec="microseconds").replace("+00:00", "Z")
