"""The test of a request: sends it, and asserts that it is served."""

from __future__ import annotations

import base64
import json
from typing import Any, Final

from .literals import columns, has_literal, literal, text_block, text_literal
from .recorded import Detail, request_fields, response_fields, value_of
from .saved_module import WIDTH, SavedModule
from .signatures import is_signed

__all__ = ["SavedRequest"]

MAX_INLINE: Final = 4096
"""Bytes of a body that stand in the test where it may have a file beside it."""

EVENTS_WAIT: Final = 1
"""Seconds that the test of an event stream, which has no end, waits for the first events."""

_BASE64_LINE: Final = 57  # bytes that make 76 characters


class SavedRequest(SavedModule):
    """See the module.

    Args:
        detail: The exchange.
        app: As that of :class:`.saved_module.SavedModule`.
        body: Of the request, complete.
        body_file: Name of a file that the source may read it from; empty: there is none.

    Attributes:
        is_beside: The source reads that file.
    """

    def __init__(self, detail: Detail, app: str, body: bytes, body_file: str) -> None:
        super().__init__(detail, app)
        self._body = body
        self._file = body_file
        self.is_beside = False

    def write(self) -> str:
        """Return the source."""
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
        return self.module(constants, f"{method} {path.partition('?')[0]} {doc}", lines)

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
            f"    with anyio.move_on_after({EVENTS_WAIT}):  # s, for the first events",
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
        if columns(line) > WIDTH - 10:
            line = f"BODY = {text_block(text)}"
        return line, "BODY.encode()"

    def _bytes(self, data: bytes) -> tuple[str, str]:
        if self._file:
            self.is_beside = True
            self.imports.add("from pathlib import Path")
            file = text_literal(self._file)
            return f"BODY = Path(__file__).with_name({file}).read_bytes()", "BODY"
        self.imports.add("base64")
        lines = [
            base64.b64encode(data[at : at + _BASE64_LINE]).decode()
            for at in range(0, len(data), _BASE64_LINE)
        ]
        return "\n".join(['BODY = """', *lines, '"""']), "base64.b64decode(BODY)"


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
