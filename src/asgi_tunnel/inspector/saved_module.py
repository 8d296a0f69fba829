"""The module of a saved test: what is above the test, and the test around its lines.

:mod:`.saved_request` and :mod:`.saved_websocket` write the lines.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import Final

from .literals import columns, text_literal
from .recorded import EDGE_FIELDS, Detail, redactions, request_fields
from .redaction import REDACTED

__all__ = ["WIDTH", "SavedModule"]

WIDTH: Final = 88
"""Columns: the line length of Black and Ruff."""

# Of a handshake; LocalEdge writes one itself.
_LEFT_OUT: Final = EDGE_FIELDS | {
    "sec-websocket-extensions",
    "sec-websocket-key",
    "sec-websocket-version",
    "upgrade",
}
_MODULE: Final = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_][\w.]*")


class SavedModule:
    """See the module.

    Args:
        detail: The exchange.
        app: ``module:attribute``, or anything else where it is not known.

    Attributes:
        detail: The exchange.
        imports: What the source imports beside :mod:`asgi_tunnel.testing` and the app.
        names: What it has of that module.
        arguments: Of the call that sends the request, beside its method and path.
        parameters: Of the test.
    """

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
            if columns(line) > WIDTH - 4:
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
        return [f"# {line}" for note in notes for line in textwrap.wrap(note, WIDTH - 2)]


def _sentence(text: str) -> str:
    """Return what was recorded as one line of a docstring."""
    line = _plain(text).replace("\\", "/").replace('"', "'")
    room = WIDTH - 12
    return (line if len(line) <= room else line[: room - 3].rstrip() + "...").rstrip(".") + "."


def _plain(text: str) -> str:
    return "".join(one if one.isprintable() else "?" for one in text)
