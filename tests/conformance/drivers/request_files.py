"""gunicorn's request files, sent to an edge instead of its parser.

A valid file must be served, and the app must see what the file's table says; an invalid one must
not reach the end of an app's call. Most files have no Host, for which HTTP/1.1 alone would refuse
them: one is added, so that a file is served or refused for what it is about.
"""

from __future__ import annotations

import importlib
import re
import socket
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from .world import App, Message, Receive, Scope, Send, Visit, world

PATIENCE: Final = 2.0
"""Seconds without a byte after which no response is on its way; it takes some milliseconds."""

ADDED: Final = frozenset(
    {"x-forwarded-for", "x-forwarded-proto", "x-forwarded-host", "x-real-ip", "x-request-id"}
)
"""Fields that an app gets from the tunnel."""

HOP_BY_HOP: Final = frozenset({"connection", "keep-alive", "transfer-encoding"})
"""Fields about one connection (RFC 9110 section 7.6.1), which is not the app's."""

_STATUS: Final = re.compile(rb"^HTTP/1\.1 ([2-5]\d\d) ", re.MULTILINE)
_HEAD: Final = re.compile(
    rb"^([^\r\n]* [A-Z]+/[^\r\n]*\r\n)((?:[^\r\n]+\r\n)*)(?=\r\n)", re.MULTILINE
)
_HOST: Final = re.compile(rb"^host:", re.MULTILINE | re.IGNORECASE)


class RefusedError(Exception):
    """An app has seen no whole request."""


@dataclass(frozen=True, slots=True)
class Seen:
    """One whole request as the app saw it."""

    scope: Scope
    body: bytes


class Recorder:
    """An app that keeps each request it has read to the end."""

    def __init__(self) -> None:
        self.seen: list[Seen] = []

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Read a request, respond without a body."""
        body = b""
        more = True
        while more:
            message: Message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            more = message.get("more_body", False)
        self.seen.append(Seen(scope, body))
        headers = [(b"content-length", b"0")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body"})


def with_hosts(data: bytes, count: int) -> bytes:
    """Add ``Host: localhost`` to the first heads, where there is none."""

    def add(match: re.Match[bytes]) -> bytes:
        line, fields = match[1], match[2]
        return line + (b"" if _HOST.search(fields) else b"Host: localhost\r\n") + fields

    return _HEAD.sub(add, data, count=count)


def exchange(pieces: Iterable[bytes], app: App, *, responses: int) -> list[int]:
    """Send bytes on a connection of their own; return the statuses that came."""
    data = b""
    with world().gate("http").visit(Visit(app)) as sock:
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        sock.settimeout(PATIENCE)
        try:
            for piece in pieces:
                sock.sendall(piece)
            while len(_STATUS.findall(data)) < responses and (received := sock.recv(65536)):
                data += received
        except (TimeoutError, ConnectionError):
            pass  # what has come counts
    return [int(status) for status in _STATUS.findall(data)]


def assert_same(expected: dict[str, Any], seen: Seen) -> None:
    """Compare what the table of a file says with what the app saw."""
    scope = seen.scope
    assert scope["method"] == expected["method"]
    assert scope["raw_path"].decode("latin-1") == expected["uri"]["path"]
    assert scope["query_string"].decode("latin-1") == expected["uri"]["query"]
    assert tuple(map(int, scope["http_version"].split("."))) == expected["version"]
    wanted = [(name.lower(), value) for name, value in expected["headers"]]
    has_host = any(name == "host" for name, _ in wanted)
    ours = ADDED if has_host else ADDED | {"host"}
    fields = [(name.decode("latin-1"), value.decode("latin-1")) for name, value in scope["headers"]]
    assert [one for one in fields if one[0] not in ours | HOP_BY_HOP] == [
        one for one in wanted if one[0] not in HOP_BY_HOP
    ]
    assert seen.body == (expected["body"] or b"")


def cases(self: Any, cfg: object) -> list[tuple[Any, ...]]:
    """In the place of ``treq.request.gen_cases``: the file's bytes, cut in each of its ways.

    In how many ways a parser's body can be read does not matter here.
    """
    senders = [getattr(self, name) for name in dir(self) if name.startswith("send_")]
    return [(check_valid, self, sender) for sender in senders]


def check_valid(self: Any, sender: Callable[[], Iterable[bytes]]) -> None:
    """Send a file that is to be served."""
    app = Recorder()
    self.data = with_hosts(self.data, len(self.expect))
    statuses = exchange(sender(), app, responses=len(self.expect))
    assert statuses == [200] * len(self.expect)
    for expected, seen in zip(self.expect, app.seen, strict=True):
        assert_same(expected, seen)


def check_invalid(self: Any, cfg: object) -> None:
    """In the place of ``treq.badrequest.check``."""
    app = Recorder()
    self.data = with_hosts(self.data, 1)
    statuses = exchange(self.send(), app, responses=1)
    if not app.seen:
        raise RefusedError(statuses)


def pytest_make_parametrize_id(val: object, argname: str) -> str | None:
    """Name a test by its file, whatever folder that is in."""
    return Path(str(val)).name if argname == "fname" else None


def pytest_collection() -> None:
    """Replace what ``treq`` does with its files."""
    treq: Any = importlib.import_module("treq")
    load = treq.load_py

    def load_py(name: str, http_parser: str = "python") -> dict[str, Any]:
        table = dict(load(name, http_parser))
        if isinstance(table["request"], type):  # the error of gunicorn's parser
            table["request"] = RefusedError
        return table

    treq.load_py = load_py
    treq.request.gen_cases = cases
    treq.badrequest.check = check_invalid
