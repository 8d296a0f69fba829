"""Paths as frameworks write them, in the one form that the edge knows (``protocol.policy``)."""

from __future__ import annotations

import re
from typing import Final, NamedTuple

from ..protocol.limits import MAX_SEGMENTS
from ..protocol.policy import pattern_error, segments_of

__all__ = ["Pattern", "covers", "from_parts", "from_template", "joined", "order_of", "overlap"]


class Pattern(NamedTuple):
    """What stands for a path of a framework."""

    text: str
    is_exact: bool  #: it fits no path but those; else it fits more


_PARAMETERS: Final = {
    "{": re.compile(r"{([A-Za-z_][A-Za-z0-9_]*)(?::([A-Za-z_][A-Za-z0-9_]*))?}"),
    "<": re.compile(r"<(?:([A-Za-z_][A-Za-z0-9_]*):)?([A-Za-z_][A-Za-z0-9_]*)>"),
}
_ANY: Final = frozenset({"", "str"})  # converters that take every segment


def from_template(path: str, mark: str = "{", *, has_stars: bool = False) -> Pattern | None:
    """Return the pattern of a path with parameters; None: there is none for it.

    Args:
        path: Begins with a slash: ``/users/{id}``, or for Django ``/users/<int:id>``.
        mark: ``{`` or ``<``.
        has_stars: ``*`` and ``**`` mean what they mean to the edge, and not themselves.
    """
    if "*" in path and not has_stars:
        return None
    expression = _PARAMETERS[mark]
    kind_at = 2 if mark == "{" else 1
    parts: list[str] = []
    is_exact = True
    segments = path.split("/")[1:]
    for number, segment in enumerate(segments):
        found = list(expression.finditer(segment))
        kinds = [one[kind_at] or "" for one in found]
        if "path" in kinds:
            is_whole = found[0].span() == (0, len(segment))
            return from_parts([*parts, "**"], is_whole and number == len(segments) - 1 and is_exact)
        if not found:
            parts.append(segment)
            continue
        before, behind = segment[: found[0].start()], segment[found[-1].end() :]
        parts.append(f"{before}*{behind}")
        is_exact = is_exact and len(found) == 1 and kinds[0] in _ANY
    return from_parts(parts, is_exact)


def from_parts(parts: list[str], is_exact: bool = True) -> Pattern | None:
    """Return the pattern of some segments; None: they are none.

    Args:
        parts: Text, ``*`` and ``**``; an empty one at the end for a slash there.
        is_exact: They fit no other paths than those that are meant.
    """
    if len(parts) - (parts[-1:] == [""]) > MAX_SEGMENTS:
        parts, is_exact = [*parts[: MAX_SEGMENTS - 1], "**"], False
    text = "/" + "/".join(parts)
    return None if pattern_error(text) else Pattern(text, is_exact)


def joined(prefix: str, pattern: Pattern) -> Pattern | None:
    """Return a pattern below a path with parameters, as ``/{tenant}``; None: there is none."""
    base = from_template(prefix or "/")
    if base is None:
        return None
    parts = [*segments_of(base.text), *pattern.text[1:].split("/")]
    return from_parts(parts, base.is_exact and pattern.is_exact)


def order_of(pattern: str) -> tuple[int, ...]:
    """Return a key that sorts patterns, the most particular ones first."""
    return tuple(
        3 if one == "**" else 2 if one == "*" else 1 if "*" in one else 0
        for one in segments_of(pattern)
    )


def overlap(one: str, other: str) -> bool:
    """Whether a path may fit both patterns."""
    mine, theirs = segments_of(one.lower()), segments_of(other.lower())
    for number in range(max(len(mine), len(theirs))):
        left = mine[number] if number < len(mine) else None
        right = theirs[number] if number < len(theirs) else None
        if "**" in (left, right):
            return True
        if left is None or right is None or not _may_meet(left, right):
            return False
    return True


def covers(one: str, other: str) -> bool:
    """Whether each path that fits the second pattern fits the first one."""
    mine, theirs = segments_of(one.lower()), segments_of(other.lower())
    for number, part in enumerate(mine):
        if part == "**":
            return True
        if number >= len(theirs) or theirs[number] == "**":
            return False
        if part not in ("*", theirs[number]):
            return False
    return len(mine) == len(theirs)


def _may_meet(one: str, other: str) -> bool:
    """Whether a segment may fit both; where that is not easy to say: yes."""
    if "*" not in one and "*" not in other:
        return one == other
    if "*" not in one:
        one, other = other, one
    before, _, behind = one.partition("*")
    if "*" in other:
        return True
    return (
        len(other) > len(before) + len(behind)
        and other.startswith(before)
        and other.endswith(behind)
    )
