"""All that the path of a request may mean, so that no other spelling gets past a rule.

An app may decode a path twice, merge slashes, resolve dots, drop what follows a semicolon, take a
backslash for a slash, or end at a zero byte; or none of it. A path that is read in one way only is
one form. Any other has several, and the rules of all of them hold.
"""

from __future__ import annotations

import re
from typing import Final
from urllib.parse import unquote_to_bytes

__all__ = ["forms_of"]

_DEPTH: Final = 3
"""How many times a path may have been encoded: no server decodes more often than twice."""

MAX_ODD: Final = 2048
"""Bytes of a path whose readings are looked at; of a longer one all rules hold. It takes 1 ms."""

# What every server reads in one way: no encoding, no empty segment but the last, no segment of
# dots, no parameter.
_PLAIN: Final = re.compile(rb"(?:/(?!\.{1,2}(?:/|\Z))[A-Za-z0-9._~!$&'()*+,=:@-]+)*/?").fullmatch
# The same of a decoded path: letters of all languages, and spaces inside.
_PLAIN_DECODED: Final = re.compile(
    rb"(?:/(?!\.{1,2}(?:/|\Z)| )[^/%\\;?#\x00-\x1f\x7f]+(?<! ))*/?"
).fullmatch
_ENCODED_SLASH: Final = re.compile(rb"%2[fF]").search
_SLASHES: Final = re.compile(rb"/{2,}").sub
_END: Final = re.compile(rb"[\x00?#]").search
_SPACE: Final = b" \t\r\n\x0b\x0c"


def forms_of(target: bytes) -> tuple[bytes, ...] | None:
    """Return what a target's path may mean, decoded and in lower case; the first is an app's own.

    Lower case, because an app may not tell capital letters apart. None: it is too long to be read
    in all ways.

    Args:
        target: In origin-form, with its query. ``*`` has no path.
    """
    path = target.partition(b"?")[0]
    if _PLAIN(path) is not None:
        return (path.lower(),)
    if path[:1] != b"/":
        return ()
    decoded = unquote_to_bytes(path) if b"%" in path else path
    if _PLAIN_DECODED(decoded) is not None and _ENCODED_SLASH(path) is None:
        return (decoded.lower(),)
    if len(path) > MAX_ODD:
        return None
    # A dict for its order: the path as ASGI apps see it comes first.
    forms: dict[bytes, None] = {}
    decoded = path
    for _ in range(_DEPTH):
        before, decoded = decoded, unquote_to_bytes(decoded)
        _add(forms, decoded)
        if decoded == before:
            break
    _add(forms, path)  # an encoded slash may be a part of a segment
    return tuple(forms)


def _add(forms: dict[bytes, None], path: bytes) -> None:
    """Add a path as it is, with its slashes merged, and with all mended."""
    forms[path.lower()] = None
    forms[_SLASHES(b"/", path).lower()] = None
    forms[_cleaned(path).lower()] = None


def _cleaned(path: bytes) -> bytes:
    """Return a path as a server reads it that mends what it can."""
    end = _END(path)
    if end is not None:
        path = path[: end.start()]
    segments: list[bytes] = []
    for part in path.replace(b"\\", b"/").split(b"/"):
        segment = part.partition(b";")[0].strip(_SPACE)
        if segment == b"..":
            if segments:
                segments.pop()
        elif segment not in (b"", b"."):
            segments.append(segment)
    return b"/" + b"/".join(segments)
