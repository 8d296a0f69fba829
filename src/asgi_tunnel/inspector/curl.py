"""Writes a recorded request as a curl command that bash takes as it stands.

Every byte of a field or a body is one that the shell hands on unchanged; a value that was not kept
is a variable, which a comment asks for.
"""

from __future__ import annotations

import base64
import contextlib
import re
from typing import Final

from .recorded import (
    EDGE_FIELDS,
    Detail,
    body_bytes,
    find_redacted,
    is_complete,
    redacted_key,
    request_fields,
    value_of,
)
from .redaction import REDACTED
from .reply import RefusedError

__all__ = ["curl_command"]

MAX_ARGUMENT: Final = 100_000
"""Bytes of a body on the command line; Linux takes 128 KiB in one argument. More comes by a pipe,
as does what holds a NUL byte, which no argument can."""

_LEFT_OUT: Final = EDGE_FIELDS | {"host"}  # curl writes it itself
_CURLS_OWN: Final = ("User-Agent", "Accept")  # sent unless they are taken away
_ESCAPES: Final = {"\\": "\\\\", "'": "\\'", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_SURROGATE: Final = 0xDC00  # of `surrogateescape`: a byte that is no UTF-8


def curl_command(detail: Detail) -> str:
    """Return the command, with comments above it, and a line's end.

    Raises:
        RefusedError: It is a WebSocket.
    """
    if detail["kind"] == "websocket":
        raise RefusedError(
            409,
            "a WebSocket is no request that curl can send; replay it with "
            "`asgi-tunnel inspect replay`",
        )
    quoting = _Quoting()
    fields = request_fields(detail)
    body = detail["request"].get("body")
    method = str(detail["method"])
    given = [value for name, value in fields if name.lower() == "x-request-id"]
    is_own_id = given == [detail.get("request_id")]
    words = ["curl", *_target(detail, quoting)]
    data = body_bytes(body)
    if method == "HEAD":
        words.append("--head")
    elif method != ("POST" if data else "GET"):
        words.append(f"--request {quoting.quote(method)}")
    for name, value in fields:
        lower = name.lower()
        if lower not in _LEFT_OUT and not (lower == "x-request-id" and is_own_id):
            words.append(f"--header {quoting.quote(_field(name, value), name)}")
    words += _taken_away(fields, has_body=bool(data)) if detail["level"] == "full" else ()
    if value_of(fields, "accept-encoding") not in (None, "", "identity"):
        words.append("--compressed")
    pipe = ""
    if data and method != "HEAD":
        # Without a response to it curl waits a second before it sends a large body.
        words += [] if value_of(fields, "expect") else ["--header 'Expect:'"]
        pipe, word = _body(data, quoting)
        words.append(word)
    elif method in ("POST", "PUT", "PATCH") and value_of(fields, "content-length") == "0":
        words.append("--data-raw ''")
    comments = _comments(detail, quoting)
    if data and method == "HEAD":
        comments.append("# the body is left out: curl sends none with HEAD")
    elif pipe and REDACTED.encode() in data:
        comments.append(f"# parts of the body were not recorded: it says {REDACTED} there")
    return "\n".join([*comments, pipe + " \\\n  ".join(words)]) + "\n"


def _target(detail: Detail, quoting: _Quoting) -> list[str]:
    """Return the words that say where to: curl must change nothing of the path."""
    host = value_of(request_fields(detail), "host") or str(detail["host"])
    base = f"{detail['scheme']}://{host}"
    path = str(detail["path"])
    if not path.startswith("/") or "#" in path:
        words = [quoting.quote(base + "/"), f"--request-target {quoting.quote(path)}"]
    else:
        words = [quoting.quote(base + path)]
    if re.search(r"[][{}]", base + path.replace(REDACTED, "")):
        words.append("--globoff")
    if re.search(r"/\.\.?(/|$)", path.partition("?")[0]):
        words.append("--path-as-is")
    return words


def _field(name: str, value: str) -> str:
    """A header as curl wants it: one without a value ends in a semicolon, else it is taken away."""
    with contextlib.suppress(UnicodeEncodeError):  # of a file: text that is no latin-1
        value = value.encode("latin-1").decode("utf-8", "surrogateescape")
    return f"{name}: {value}" if value.strip(" \t") else f"{name};"


def _taken_away(fields: list[tuple[str, str]], *, has_body: bool) -> list[str]:
    names = [*_CURLS_OWN, "Content-Type"] if has_body else list(_CURLS_OWN)
    return [f"--header '{one}:'" for one in names if value_of(fields, one.lower()) is None]


def _body(data: bytes, quoting: _Quoting) -> tuple[str, str]:
    """Return what stands before curl, and its argument."""
    if len(data) <= MAX_ARGUMENT and b"\0" not in data:
        return "", f"--data-raw {quoting.quote(data.decode('utf-8', 'surrogateescape'))}"
    lines = base64.encodebytes(data).decode()
    return f"base64 --decode <<< '\n{lines}' | ", "--data-binary @-"


def _comments(detail: Detail, quoting: _Quoting) -> list[str]:
    body = detail["request"].get("body")
    lines = []
    if detail["level"] != "full":
        lines.append("recorded without fields, body and values of the query (level metadata)")
    elif body is not None and not is_complete(body):
        lines.append(f"only {body['kept']} of {body['size']} bytes of the body were kept")
    if quoting.variables:
        names = " ".join(f"{name}=..." for name in quoting.variables)
        lines.append(f"set what was not recorded first: {names}")
    return [f"# {line}" for line in lines]


class _Quoting:
    """Quotes words for bash, and notes the variables that stand for redacted values.

    Attributes:
        variables: Their names, in order.
    """

    def __init__(self) -> None:
        self.variables: list[str] = []

    def quote(self, text: str, name: str = "") -> str:
        """Return one word of bash.

        Args:
            text: What it is; surrogates are bytes that are no UTF-8.
            name: Of a redacted value that has none of its own in the text.
        """
        words, begin = [], 0
        for found in find_redacted(text):
            end = found.end() - len(REDACTED)
            words += [
                _literal(text[begin:end]),
                f'"${self._variable(redacted_key(found) or name)}"',
            ]
            begin = found.end()
        return "".join([*words, _literal(text[begin:])]) or "''"

    def _variable(self, key: str) -> str:
        """Name a redacted value: never PATH or another one that the shell has."""
        words = re.sub(r"[^A-Z0-9]+", "_", key.upper()[:60]).strip("_")
        name = base = f"SECRET_{words}" if words else "SECRET"
        number = 1
        while name in self.variables:
            number += 1
            name = f"{base}_{number}"
        self.variables.append(name)
        return name


def _literal(text: str) -> str:
    """Quote what is to be taken as it is; empty for nothing.

    A tab or another control character would be a key in a terminal that it is pasted into, and
    some shells look for their history in the second line of a quoted word.
    """
    if not text:
        return ""
    is_plain = all(one.isprintable() or one == "\n" for one in text)
    if is_plain and "'" not in text and not ("!" in text and "\n" in text):
        return f"'{text}'"
    return "$'" + "".join(map(_escaped, text)) + "'"


def _escaped(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if one.isprintable() and one != "!":
        return one
    if _SURROGATE <= ord(one) < _SURROGATE + 256:
        return f"\\x{ord(one) - _SURROGATE:02x}"
    return "".join(f"\\x{byte:02x}" for byte in one.encode())
