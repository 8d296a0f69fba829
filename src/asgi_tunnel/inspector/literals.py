"""Writes values as Python source, in the form that formatters leave as it is.

What is laid out over several lines ends in a comma, so that Black and Ruff keep it like that at any
line length from 88 on; what stands on one line fits.
"""

from __future__ import annotations

import math
import re
from typing import Any, Final
from unicodedata import east_asian_width

__all__ = ["MAX_DEPTH", "columns", "has_literal", "literal", "text_block", "text_literal"]

MAX_DEPTH: Final = 30
"""Levels of lists and objects; Python's own parser takes a hundred."""

_WIDTH: Final = 79  # columns of a value that stands on one line
_INDENT: Final = "    "
_ESCAPES: Final = {"\\": "\\\\", "\n": "\\n", "\r": "\\r", "\t": "\\t"}
_LONG: Final = 80  # characters of one line of a block


def has_literal(value: Any, depth: int = MAX_DEPTH) -> bool:
    """Whether a value of JSON can be written: no infinite number in it, and not too deep."""
    if isinstance(value, float):
        return math.isfinite(value)
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return depth > 0 and all(has_literal(one, depth - 1) for one in value)
    return True


def literal(value: Any, *, used: int = 0, indent: int = 0) -> str:
    """Return a value of JSON as a Python literal.

    Args:
        value: What ``json.loads`` returns.
        used: Columns of the first line that are in use, the comma behind it included.
        indent: Levels that the line is indented by.
    """
    line = _line(value)
    if not isinstance(value, dict | list) or not value or used + columns(line) <= _WIDTH:
        return line
    inner = _INDENT * (indent + 1)
    items = []
    if isinstance(value, dict):
        for key, one in value.items():
            name = f"{inner}{text_literal(key)}: "
            items.append(name + literal(one, used=columns(name) + 1, indent=indent + 1))
    else:
        items = [inner + literal(one, used=len(inner) + 1, indent=indent + 1) for one in value]
    begin, end = "{}" if isinstance(value, dict) else "[]"
    lines = "".join(f"{one},\n" for one in items)
    return f"{begin}\n{lines}{_INDENT * indent}{end}"


def text_literal(text: str) -> str:
    """Return a text in the quotes that need fewer escapes, in double ones where both do."""
    quote = "'" if text.count('"') > text.count("'") else '"'
    inner = "".join(_escaped(one) for one in text)
    return quote + inner.replace(quote, f"\\{quote}") + quote


def text_block(text: str) -> str:
    """Return a long text as a string in triple quotes, line by line, begun at the margin."""
    end = "" if text.endswith("\n") else "\\\n"
    lines = [_wrapped(line) for line in text.removesuffix("\n").split("\n")]
    return '"""\\\n' + "\n".join(lines) + (end or "\n") + '"""'


def columns(text: str) -> int:
    """Return how wide a text is where each character has one place, and those of Asia two."""
    return len(text) + sum(east_asian_width(one) in "WF" for one in text if one > "\u10ff")


def _line(value: Any) -> str:
    if isinstance(value, str):
        return text_literal(value)
    if isinstance(value, dict):
        pairs = [f"{text_literal(key)}: {_line(one)}" for key, one in value.items()]
        return "{" + ", ".join(pairs) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_line, value)) + "]"
    return repr(value).replace("e+", "e")  # of a float: as formatters write it


def _wrapped(line: str) -> str:
    """One line of a block; a long one goes on after a backslash."""
    pieces = [line[at : at + _LONG] for at in range(0, len(line), _LONG)] or [""]
    return "\\\n".join(
        # No three quotes in a row, wherever they come from.
        re.sub(r'"(?="|$)', '\\\\"', "".join(_escaped(one) for one in piece))
        for piece in pieces
    )


def _escaped(one: str) -> str:
    if one in _ESCAPES:
        return _ESCAPES[one]
    if one.isprintable():
        return one
    code = ord(one)
    if code < 0x100:
        return f"\\x{code:02x}"
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"
