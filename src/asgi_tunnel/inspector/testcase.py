"""Writes a recorded exchange as a test: red while the app does what it did, green once it does not.

The test serves the app by :class:`asgi_tunnel.testing.LocalEdge`, so the request takes the way that
it took, and what the app raises is in the test's output. It is formatted as Ruff does it.
"""

from __future__ import annotations

import base64
import json
import re
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, NamedTuple

from .edits import Edits
from .literals import columns, has_literal, literal, text_block, text_literal
from .recorded import (
    EDGE_FIELDS,
    Detail,
    redactions,
    request_fields,
    response_fields,
    value_of,
)
from .redaction import REDACTED
from .replay import Message, prepare
from .signatures import is_signed

__all__ = ["SavedTest", "make_test"]

MAX_INLINE: Final = 4096
"""Bytes of a body that stand in the test where it may have a file beside it."""

CLOSE_WAIT: Final = 1
"""Seconds that a test of a WebSocket waits for what the app does after the last message."""

RECEIVE_TIMEOUT: Final = 10
"""Seconds for all messages of such a test."""

_WIDTH: Final = 88
# Of a handshake; LocalEdge writes one itself.
_LEFT_OUT: Final = EDGE_FIELDS | {
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
}
_MODULE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")
_BASE64_LINE: Final = 57  # bytes that make 76 characters


class SavedTest(NamedTuple):
    """A test as text, and what belongs beside it.

    Attributes:
        source: Of the module.
        body: Of the file that the source names; None: it names none.
    """

    source: str
    body: bytes | None


def make_test(detail: Detail, app: str, *, body_file: str = "") -> SavedTest:
    """Return the test of an exchange.

    Args:
        detail: The exchange.
        app: ``module:attribute`` of the app, as ``GET /state`` says it; anything else becomes a
            line to fill in.
        body_file: Name of a file for a large body or one of bytes; empty: all is in the source.

    Raises:
        RefusedError: Not enough was kept of it; see :func:`.replay.prepare`.
    """
    request = prepare(detail, Edits(), now=0)
    if request.messages is None:
        return _Http(detail, app, request.body, body_file).write()
    return SavedTest(_WebSocket(detail, app, request.messages).write(), None)


class _Writer:
    """What tests of both kinds have in common."""

    def __init__(self, detail: Detail, app: str) -> None:
        self.detail = detail
        self.imports: set[str] = {"pytest"}
        self.names = ["LocalEdge"]  # of asgi_tunnel.testing
        self.arguments: list[str] = []
        self.parameters = ""  # of the test
        self._app = app
        self._fields = [one for one in request_fields(detail) if one[0].lower() not in _LEFT_OUT]
        if self._fields:
            self.arguments.append("headers=HEADERS")
        name = detail["visitor"]
        if name:
            self.names.append("Visitor")
            self.arguments.append("visitor=VISITOR")

    def module(self, constants: Iterable[str], doc: str, lines: Sequence[str]) -> str:
        """Return the source.

        Args:
            constants: Assignments above the test.
            doc: One sentence.
            lines: Of the test, without indentation.
        """
        detail = self.detail
        kind = "websocket" if detail["kind"] == "websocket" else str(detail["method"])
        path = str(detail["path"]).partition("?")[0]
        slug = re.sub(r"[^a-z0-9]+", "_", f"{kind} {path}".lower()).strip("_")[:60].rstrip("_")
        constant = "\n".join([*self._headers(), *self._visitor(), *constants])
        return "\n".join(
            [
                f'"""{_sentence(self._what_happened())}"""',
                "",
                *self._import_lines(),
                "",
                "pytestmark = pytest.mark.anyio",
                *([""] if constant else []),
                *self._notes(),
                *([constant] if constant else []),
                "",
                "",
                f"async def test_{slug}({self.parameters}) -> None:",
                f'    """{_sentence(doc)}"""',
                *(f"    {line}" for line in lines),
                "",
            ]
        )

    def check_log(self) -> str:
        """Return the check for an error that the visitor did not see."""
        self.parameters = "caplog: pytest.LogCaptureFixture"
        return 'assert "the app raised" not in caplog.text'

    def _what_happened(self) -> str:
        detail = self.detail
        when = datetime.fromtimestamp(detail["started"], UTC).strftime("%Y-%m-%d %H:%M")
        what = f"status {detail['status']}" if detail["status"] else "no response"
        error = f", {detail['error']}" if detail["error"] else ""
        return f"Recorded {when} UTC: {what}{error}"

    def _import_lines(self) -> list[str]:
        third = {"anyio", "pytest"}
        standard = sorted(one for one in self.imports if one not in third)
        lines = [one if one.startswith("from") else f"import {one}" for one in standard]
        known = bool(_MODULE.fullmatch(self._app))
        module, _, attribute = (self._app if known else "main:app").partition(":")
        first, _, rest = attribute.partition(".")
        lines += [""] if lines else []
        lines += [f"import {one}" for one in sorted(self.imports & third)]
        lines += [f"from asgi_tunnel.testing import {', '.join(sorted(self.names))}", ""]
        if not known:
            lines.append("# Which app it is was not known: name yours.")
        name = "" if first == "app" and not rest else " as app"
        lines.append(f"from {module} import {first}{name}")
        return [*lines, *([f"\napp = app.{rest}"] if rest else [])]

    def _headers(self) -> list[str]:
        if not self._fields:
            return []
        lines = []
        for name, value in self._fields:
            pair = [text_literal(name), text_literal(value)]
            line = f"    ({', '.join(pair)}),"
            if columns(line) > _WIDTH - 4:
                line = "    (\n" + "".join(f"        {one},\n" for one in pair) + "    ),"
            lines.append(line)
        return ["HEADERS = [", *lines, "]"]

    def _visitor(self) -> list[str]:
        name = self.detail["visitor"]
        if not name:
            return []
        return [
            "VISITOR = Visitor(",
            f"    subject={text_literal(f'user:{name}')},",
            f"    name={text_literal(str(name))},",
            ")",
        ]

    def _notes(self) -> list[str]:
        notes = []
        missing = redactions(self.detail)
        if missing:
            names = ", ".join(map(_plain, missing[:20]))
            notes.append(
                f"Not recorded, for they are secret: {names}. Put values of your tests where it "
                f"says {REDACTED}."
            )
        if self.detail["visitor"]:
            notes.append("Of the visitor only the name was recorded: see to subject and groups.")
        return [f"# {line}" for note in notes for line in textwrap.wrap(note, _WIDTH - 2)]


class _Http(_Writer):
    """The test of a request."""

    def __init__(self, detail: Detail, app: str, body: bytes, body_file: str) -> None:
        super().__init__(detail, app)
        self._body = body
        self._file = body_file
        self._is_beside = False

    def write(self) -> SavedTest:
        """Return it."""
        detail = self.detail
        constants: list[str] = []
        if self._body:
            name, argument = self._constant()
            constants.append(name)
            self.arguments.append(f"body={argument}")
        method, path = str(detail["method"]), str(detail["path"])
        status = detail["status"]
        if detail["error"] or detail["state"] == "cut" or status is None or status >= 500:
            wanted, doc = "< 500", "is served without a server error"
        else:
            wanted, doc = f"== {status}", f"is answered with {status}"
        kind = value_of(response_fields(detail), "content-type") or ""
        ask = self._stream if kind.startswith("text/event-stream") else self._request
        arguments = [text_literal(method), text_literal(path), *self.arguments]
        lines = ask([f"    {one}," for one in arguments], f"assert response.status {wanted}")
        if detail["error"] and detail["state"] == "done" and (status or 500) < 500:
            lines.append(self.check_log())  # it came after the response
        source = self.module(constants, f"{method} {path.partition('?')[0]} {doc}", lines)
        return SavedTest(source, self._body if self._is_beside else None)

    def _request(self, arguments: list[str], check: str) -> list[str]:
        ask = ["response = await edge.request(", *arguments, ")"]
        return ["async with LocalEdge(app) as edge:", *(f"    {line}" for line in ask), check]

    def _stream(self, arguments: list[str], check: str) -> list[str]:
        """Return the lines for an event stream, which may have no end."""
        self.imports.add("anyio")
        block = [
            "async with edge.stream(",
            *arguments,
            ") as response:",
            f"    {check}",
            f"    with anyio.move_on_after({CLOSE_WAIT}):  # s, for the first events",
            "        await response.read()",
        ]
        return ["async with LocalEdge(app) as edge:", *(f"    {line}" for line in block)]

    def _constant(self) -> tuple[str, str]:
        """Return the assignment of the body, and the bytes that it stands for."""
        data = self._body
        try:
            text = data.decode()
        except UnicodeDecodeError:
            return self._bytes(data)
        if len(data) > MAX_INLINE and self._file:
            return self._bytes(data)
        value = None if is_signed(request_fields(self.detail)) else _json(text)
        if value is not None:
            self.imports.add("json")
            return f"PAYLOAD = {literal(value, used=10)}", "json.dumps(PAYLOAD).encode()"
        line = f"BODY = {text_literal(text)}"
        if columns(line) > _WIDTH - 10:
            line = f"BODY = {text_block(text)}"
        return line, "BODY.encode()"

    def _bytes(self, data: bytes) -> tuple[str, str]:
        if self._file:
            self._is_beside = True
            self.imports.add("from pathlib import Path")
            file = text_literal(self._file)
            return f"BODY = Path(__file__).with_name({file}).read_bytes()", "BODY"
        self.imports.add("base64")
        lines = [
            base64.b64encode(data[at : at + _BASE64_LINE]).decode()
            for at in range(0, len(data), _BASE64_LINE)
        ]
        return "\n".join(['BODY = """', *lines, '"""']), "base64.b64decode(BODY)"


class _WebSocket(_Writer):
    """The test of a WebSocket."""

    def __init__(self, detail: Detail, app: str, messages: Sequence[Message]) -> None:
        super().__init__(detail, app)
        self._messages = messages

    def write(self) -> str:
        """Return it."""
        path = str(self.detail["path"])
        status = self.detail["status"]
        is_denied = status is not None and 300 <= status < 500
        begin = [
            "async with edge.websocket(",
            *(f"    {one}," for one in [text_literal(path), *self.arguments]),
            ") as socket:",
        ]
        doc = f"The WebSocket {path.partition('?')[0]}"
        if is_denied:
            self.names.append("WebSocketDeniedError")
            block = ["with pytest.raises(WebSocketDeniedError) as denied:"]
            block += [f"    {line}" for line in [*begin, "    pass"]]
            end, doc = f"assert denied.value.status == {status}", f"{doc} is denied with {status}"
        else:
            self.imports.add("anyio")
            block = [*begin, *(f"    {line}" for line in self._talk())]
            end, doc = "assert socket.close_code != 1011", f"{doc} is served without an error"
        lines = ["async with LocalEdge(app) as edge:", *(f"    {line}" for line in block), end]
        if self.detail["error"] and not is_denied:
            lines.append(self.check_log())
        return self.module([], doc, lines)

    def _talk(self) -> list[str]:
        """Return what its visitor does: sends what it sent, after as many messages of the app."""
        lines = []
        received = 0
        for data, before in self._messages:
            lines += ["await socket.receive()"] * (before - received)
            received = before
            verb = "send_text" if isinstance(data, str) else "send_bytes"
            given = text_literal(data) if isinstance(data, str) else _bytes_literal(data)
            line = f"await socket.{verb}({given})"
            # In a block of a block, indented four times.
            if columns(line) > _WIDTH - 20:
                line = f"await socket.{verb}(\n                    {given},\n                )"
            lines.append(line)
        return [
            *([f"with anyio.fail_after({RECEIVE_TIMEOUT}):"] if lines else []),
            *(f"    {line}" for line in lines),
            f"with anyio.move_on_after({CLOSE_WAIT}):  # s, for what the app does last",
            "    async for _ in socket:",
            "        pass",
        ]


def _bytes_literal(data: bytes) -> str:
    """Return bytes as a literal in double quotes."""
    inner = "".join(
        chr(one) if 32 <= one < 127 and chr(one) not in '\\"' else f"\\x{one:02x}" for one in data
    )
    return f'b"{inner}"'


def _json(text: str) -> Any:
    """Return an object or a list of JSON that the app cannot tell from how it came; else None."""

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        found = dict(pairs)
        if len(found) != len(pairs):
            raise ValueError("a key twice")
        return found

    try:
        value = json.loads(text, object_pairs_hook=unique)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict | list) and has_literal(value) else None


def _sentence(text: str) -> str:
    """Return what was recorded as one line of a docstring."""
    plain = _plain(text).replace("\\", "/").replace('"', "'")
    room = _WIDTH - 12
    return (plain if len(plain) <= room else plain[: room - 3].rstrip() + "...").rstrip(".") + "."


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)
