"""Takes the values of secret keys out of JSON, and leaves every other character as it is.

What is left can be compared and sent again. The text is not parsed: bodies are cut at a bound, and
of one whose end is missing the secrets have to go as well. Each character is looked at once.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Final

__all__ = ["redact_json"]

_STRING: Final = re.compile(r'"([^"\\]*+(?:\\.[^"\\]*+)*+)(?:"(\s*+:\s*+)?|\\?\Z)', re.DOTALL)
_BRACKET: Final = re.compile(r'"[^"\\]*+(?:\\.[^"\\]*+)*+(?:"|\\?\Z)|[\[\]{}]', re.DOTALL)
_SCALAR: Final = re.compile(r"[^,}\]\s]*+")
_REPLACEMENT: Final = '"[redacted]"'
_NUMBER: Final = frozenset("-0123456789")
_HALF_ESCAPE: Final = re.compile(r"\\(?:u[0-9a-fA-F]{0,3})?\Z")

MAX_DEPTH: Final = 3
"""Documents within texts of documents that are looked into, as senders of webhooks nest them."""


def redact_json(
    text: str,
    is_secret: Callable[[str], bool],
    see: Callable[[str], None] = lambda _: None,
    depth: int = 0,
) -> str:
    """Return JSON text, of one document or several, without the values of secret keys.

    Args:
        text: Its end may be missing.
        is_secret: Judges a key.
        see: Gets each text that was taken out.
        depth: Documents around this one, whose text it is.

    Counts of tokens, as language models have them, stay: a number below a key in the plural.
    """
    kept: list[str] = []
    at = done = 0
    while True:
        match = _STRING.search(text, at)
        if match is None:
            break
        at = match.end()
        if match[2] is None:
            if depth < MAX_DEPTH and match[1].lstrip().startswith(("{", "[")):
                inner = _unescape(match[1])
                shown = redact_json(inner, is_secret, see, depth + 1)
                if shown != inner:
                    kept += (text[done : match.start()], json.dumps(shown))
                    done = at
            continue
        key = _unescape(match[1])
        if not is_secret(key):
            continue
        end = _end_of_value(text, at)
        if text[at : at + 1] in _NUMBER and key.lower().endswith("tokens"):
            at = end
            continue
        see(_unescape(text[at:end].strip('"')))
        kept += (text[done:at], _REPLACEMENT)
        at = done = end
    if not done:
        return text
    kept.append(text[done:])
    return "".join(kept)


def _end_of_value(text: str, at: int) -> int:
    first = text[at : at + 1]
    if first == '"':
        match = _STRING.match(text, at)
        # Without the colon that may follow in broken JSON: more is taken out, never less.
        return len(text) if match is None else match.end()
    if first not in ("[", "{"):
        match = _SCALAR.match(text, at)
        return len(text) if match is None else match.end()
    depth = 0
    for bracket in _BRACKET.finditer(text, at):
        if bracket[0] in "[{":
            depth += 1
        elif bracket[0] in "]}":
            depth -= 1
            if not depth:
                return bracket.end()
    return len(text)


def _unescape(text: str) -> str:
    if "\\" not in text:
        return text
    for one in (text, _HALF_ESCAPE.sub("", text)):  # the second one: of a text that was cut
        try:
            return str(json.loads(f'"{one}"', strict=False))
        except ValueError:
            continue
    return text
