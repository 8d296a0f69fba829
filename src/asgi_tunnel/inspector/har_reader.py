"""Reads a HAR file, of this program, of a browser or of another tool, as recorded exchanges.

Nothing of the file is taken on trust: its size, the number of its entries and the form of
each value are looked at, and the first thing that is wrong is named with its place.
"""

from __future__ import annotations

import base64
import binascii
import json
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final
from urllib.parse import urlsplit

from .har import OWN
from .reply import RefusedError

__all__ = ["MAX_ENTRIES", "MAX_HAR", "read_har"]

MAX_HAR: Final = 32 * 1024 * 1024
"""Bytes of a file: as much as an inspector keeps by default. A busy page's has 5 MB."""

MAX_ENTRIES: Final = 5000
"""Exchanges in a file; a browser's session of an hour has some hundreds."""

MAX_FIELDS: Final = 500
"""Fields of one head; an edge takes 64 KiB of them."""

MAX_MESSAGES: Final = 10_000
"""Messages of one WebSocket."""

_SCHEMES: Final = frozenset({"http", "https", "ws", "wss"})
_TOKEN: Final = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]{1,256}").fullmatch  # RFC 9110 section 5.6.2
_MISSING: Final = object()


def read_har(source: bytes | str | Mapping[str, Any]) -> list[dict[str, Any]]:
    """Return the exchanges of a HAR, each in the form of ``GET /exchanges/ID``.

    Args:
        source: The file's content, or what JSON makes of it.

    Returns:
        In the order of the file, without ``id`` and ``seq``. What a browser did not ask a server
        for, such as ``data:`` and ``blob:`` URLs, is left out.

    Raises:
        RefusedError: It is too large, no JSON or no HAR; the sentence says where.
    """
    if isinstance(source, bytes | str):
        source = _parse(source)
    log = _Value(source, "the file").child("log")
    entries = log.child("entries").items(MAX_ENTRIES)
    return [detail for one in entries if (detail := _exchange(one)) is not None]


def _parse(source: bytes | str) -> Any:
    if len(source) > MAX_HAR:
        raise RefusedError(
            413,
            f"the HAR has {len(source)} bytes, and {MAX_HAR} are read at most; export fewer "
            "exchanges",
        )
    try:
        text = source.decode("utf-8-sig") if isinstance(source, bytes) else source
        return json.loads(text)
    except RecursionError:
        raise RefusedError(400, "the file nests its JSON deeper than any HAR") from None
    except ValueError as error:  # of the encoding, too
        raise RefusedError(400, f"the file is no JSON, so it is no HAR: {error}") from None


class _Value:
    """One value of the file, and where it stands there.

    Args:
        value: What JSON made of it.
        place: For people: ``log.entries[3].request.url``.
    """

    def __init__(self, value: Any, place: str) -> None:
        self.value = value
        self.place = place

    def child(self, key: str, default: Any = _MISSING) -> _Value:
        """Return the value of a key; without ``default`` it has to be there."""
        if not isinstance(self.value, Mapping):
            raise self.wrong("an object")
        place = key if self.place == "the file" else f"{self.place}.{key}"
        found = self.value.get(key)
        if found is None:
            found = default
        if found is _MISSING:
            raise RefusedError(400, f"the HAR has no {place}; export it again")
        return _Value(found, place)

    def items(self, most: int) -> list[_Value]:
        """Return the values of a list."""
        if not isinstance(self.value, list):
            raise self.wrong("a list")
        if len(self.value) > most:
            raise RefusedError(
                413,
                f"{self.place} of the HAR has {len(self.value)} values, and {most} are read at "
                "most; export fewer",
            )
        return [_Value(one, f"{self.place}[{at}]") for at, one in enumerate(self.value)]

    def text(self) -> str:
        """Return a text."""
        if not isinstance(self.value, str):
            raise self.wrong("a text")
        if not self.value.isascii():
            try:
                self.value.encode()
            except UnicodeEncodeError:  # half a pair of surrogates
                raise self.wrong("a text that UTF-8 can hold") from None
        return self.value

    def number(self) -> float:
        """Return a number that is finite."""
        if isinstance(self.value, bool) or not isinstance(self.value, int | float):
            raise self.wrong("a number")
        if not abs(self.value) < 1e15 or math.isnan(self.value):
            raise self.wrong("a number that means something")
        return float(self.value)

    def count(self) -> int:
        """Return a number that is 0 or more; a negative one says that nobody knows."""
        return max(int(self.number()), 0)

    def wrong(self, wanted: str) -> RefusedError:
        """Return the error that says what should stand here."""
        return RefusedError(400, f"{self.place} of the HAR is not {wanted}; export it again")


def _exchange(entry: _Value) -> dict[str, Any] | None:
    request = entry.child("request")
    url = request.child("url")
    scheme, host, path = _split(url)
    if scheme not in _SCHEMES:
        return None
    is_websocket = scheme.startswith("ws") or bool(entry.child("_webSocketMessages", []).value)
    started = _moment(entry.child("startedDateTime"))
    seconds = entry.child("time", 0).number() / 1000
    waited = _waited(entry.child("timings", {}))
    messages = _messages(entry, started)
    response = entry.child("response")
    status = response.child("status", 0).count()
    if status > 599 or 0 < status < 100:
        raise response.child("status").wrong("a status from 100 to 599")
    own = _own(entry)
    sent = _sent(request)
    received = _received(response) if status else None
    return {
        "request_id": own.get("request_id", ""),
        "kind": "websocket" if is_websocket else "http",
        "started": started,
        "host": host,
        "method": _method(request),
        "path": path,
        "status": status or None,
        "state": "done" if own.get("state", "done") == "done" else "cut",
        "error": own.get("error"),
        "seconds": max(seconds, 0.0),
        "first_byte": min(waited, max(seconds, 0.0)) if status else None,
        "sent": received["size"] if received else 0,
        "received": sent["size"] if sent else 0,
        "messages": len(messages),
        "client": own.get("client", ""),
        "visitor": own.get("visitor"),
        "replay_of": None,  # its original is in another process's memory
        "end_to_end": False,
        "scheme": {"http": "ws", "https": "wss"}.get(scheme, scheme) if is_websocket else scheme,
        "http_version": _version(request),
        "level": "metadata" if own.get("level") == "metadata" else "full",
        "request": {"fields": _fields(request), "body": sent},
        "response": {"fields": _fields(response), "body": received} if status else None,
        "trailers": [],
        "exchange_messages": messages,
        "traceback": own.get("traceback"),
    }


def _split(url: _Value) -> tuple[str, str, str]:
    """Return scheme, host without port, and the target."""
    text = url.text()
    try:
        parts = urlsplit(text)
        host = (parts.hostname or "").lower()
    except ValueError:
        raise url.wrong("a URL") from None
    if parts.scheme not in _SCHEMES:
        return parts.scheme, "", ""
    target = text.partition("://")[2].partition("#")[0]
    slash = min((at for at in (target.find("/"), target.find("?")) if at >= 0), default=-1)
    path = target[slash:] if slash >= 0 else "/"
    path = path if path.startswith("/") else f"/{path}"
    if not host or any(one <= " " or one == "\x7f" for one in text):
        raise url.wrong("a URL with a host and without spaces")
    return parts.scheme, host, path


def _method(request: _Value) -> str:
    method = request.child("method")
    text = method.text()
    if not 0 < len(text) <= 40 or not text.isascii() or not text.replace("-", "A").isalnum():
        raise method.wrong("the name of a method")
    return text


def _version(request: _Value) -> str:
    """Return the version as ASGI has it; browsers write ``h2`` and ``http/2.0``."""
    text = request.child("httpVersion", "").text().lower()
    text = text.removeprefix("http/").removeprefix("h").removesuffix(".0")
    return text if text in ("1.1", "2", "3") else {"1": "1.0"}.get(text, "1.1")


def _fields(part: _Value) -> list[list[str]]:
    """Return the fields of a head, without those of HTTP/2 that are its first line."""
    found = []
    for one in part.child("headers", []).items(MAX_FIELDS):
        name, value = one.child("name").text(), one.child("value", "").text()
        if name.startswith(":"):
            continue
        if not _TOKEN(name):
            raise one.child("name").wrong("the name of a field")
        if any(mark in value for mark in "\r\n\0"):
            raise one.child("value").wrong("one line")
        found.append([name.lower(), value])
    return found


def _sent(request: _Value) -> dict[str, Any] | None:
    data = request.child("postData", {})
    if data.value == {}:
        return None
    size = request.child("bodySize", 0).count()
    encoding = data.child("_encoding", data.child("encoding", "").text())
    return _body(data.child("text", ""), encoding, data.child("mimeType", "").text(), size)


def _received(response: _Value) -> dict[str, Any] | None:
    content = response.child("content", {})
    kind = content.child("mimeType", "").text()
    size = content.child("size", 0).count()
    if not size and not content.child("text", "").text():
        return None
    return _body(content.child("text", ""), content.child("encoding", ""), kind, size)


def _body(text: _Value, encoding: _Value, kind: str, size: int) -> dict[str, Any]:
    """Return a body; ``size`` above what is there: the rest was not kept."""
    content = text.text()
    if encoding.text() == "":
        kept = len(content.encode())
        return {"size": max(size, kept), "kept": kept, "type": kind, "text": content}
    if encoding.text() != "base64":
        raise encoding.wrong("base64, and no other encoding is known")
    data = _unpacked(text)
    found = {"size": max(size, len(data)), "kept": len(data), "type": kind}
    # Text is kept as text: whoever looks for secrets reads no Base64.
    plain = None if b"\0" in data or "charset" in kind.lower() else _utf_8(data)
    return {**found, "base64": content} if plain is None else {**found, "text": plain}


def _utf_8(data: bytes) -> str | None:
    try:
        return data.decode()
    except UnicodeDecodeError:
        return None


def _unpacked(text: _Value) -> bytes:
    try:
        return base64.b64decode(text.text(), validate=True)
    except (binascii.Error, ValueError):
        raise text.wrong("base64, as it says") from None


def _messages(entry: _Value, started: float) -> list[dict[str, Any]]:
    found = []
    for one in entry.child("_webSocketMessages", []).items(MAX_MESSAGES):
        sender = {"send": "visitor", "receive": "app"}.get(one.child("type").text())
        if sender is None:
            raise one.child("type").wrong('"send" or "receive"')
        data = one.child("data", "")
        is_text = one.child("opcode", 1).number() == 1
        size = len(data.text().encode()) if is_text else len(_unpacked(data))
        found.append(
            {
                "at": max(one.child("time", started).number() - started, 0.0),
                "from": sender,
                "type": "text" if is_text else "bytes",
                "text" if is_text else "base64": data.text(),
                "size": max(size, one.child("_size", 0).count()),
                "kept": size,
            }
        )
    return found


def _waited(timings: _Value) -> float:
    names = ("blocked", "dns", "connect", "send", "wait")
    return sum(max(timings.child(name, 0).number(), 0.0) for name in names) / 1000


def _own(entry: _Value) -> dict[str, str]:
    """Return what this program wrote for itself: texts, each where it should be one."""
    own = entry.child(OWN, {})
    names = ("request_id", "state", "error", "client", "visitor", "level", "traceback")
    found = {name: own.child(name, "").text() for name in names}
    return {name: text for name, text in found.items() if text}


def _moment(value: _Value) -> float:
    text = value.text()
    try:
        moment = datetime.fromisoformat(text)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        raise value.wrong("a time such as 2026-11-30T04:00:00.000Z") from None
