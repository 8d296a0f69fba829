"""What an app asks the edge to refuse: rules by method and path (docs/protocol.md section 6.1).

A pattern is a path whose segments are text, decoded. ``*`` stands for one or more characters of a
segment, once in each; ``**`` as the last segment for any rest, also none. Of each list the first
rule that fits a request holds; one without a limit is an exception from those behind it.

Made by ``asgi_tunnel.policy``, sent in HELLO, and compiled by the edge.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from ..errors import FrameError
from .codes import GoawayCode
from .limits import MAX_PATTERN, MAX_ROUTES, MAX_RULES, MAX_SEGMENTS

__all__ = [
    "BAN",
    "MAX_LISTS",
    "POLICY",
    "WEBSOCKET",
    "PolicyRule",
    "pattern_error",
    "read_routes",
    "read_rules",
    "rule_text",
    "segments_of",
]

POLICY: Final = "policy"
"""Capability of an edge that holds an app's rules."""

BAN: Final = "ban"
"""Capability of an edge that takes ASK frames about bans."""

WEBSOCKET: Final = "WEBSOCKET"
"""In the methods of a rule: handshakes of WebSockets, and no other GET."""

MAX_LISTS: Final = 4
"""Lists of rules: what is decorated, a table, and as many again."""

_METHOD: Final = re.compile(r"[A-Z][A-Z0-9_-]{0,31}")
_NAME: Final = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,62}[A-Za-z0-9])?")
_MAX_METHODS: Final = 16
_MAX_NUMBER: Final = 2**53  # what JSON readers agree about
_MAX_SECONDS: Final = 86400.0


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyRule:
    """One rule; a number that is 0 and a text that is empty limit nothing."""

    path: str  # a pattern
    methods: tuple[str, ...] = ()  # upper-case; empty: all of them
    rate: int = 0  # requests of one visitor in ``per`` seconds
    per: float = 0.0  # seconds
    burst: int = 0  # requests that may come at once; 0: as many as ``rate``
    max_body: int = 0  # bytes
    timeout: float = 0.0  # seconds from the request's head to the response's end
    access: str = ""  # the name of a policy of the edge: who may come in
    list: int = 0  # which of the lists it is in; all of them hold
    also: bool = False  # it fits more than is meant: what is behind it in its list holds, too

    @property
    def is_exception(self) -> bool:
        """Whether it limits nothing."""
        return not (self.rate or self.max_body or self.timeout or self.access)

    def to_json(self) -> dict[str, Any]:
        """Return what is sent: without what says nothing."""
        values: dict[str, Any] = {"path": self.path}
        if self.methods:
            values["methods"] = list(self.methods)
        if self.rate:
            values["rate"] = self.rate
            values["per"] = self.per
            if self.burst:
                values["burst"] = self.burst
        if self.max_body:
            values["max_body"] = self.max_body
        if self.timeout:
            values["timeout"] = self.timeout
        if self.access:
            values["access"] = self.access
        if self.list:
            values["list"] = self.list
        if self.also:
            values["also"] = True
        return values


def rule_text(values: Mapping[str, Any]) -> str:
    """Return a rule for people: ``POST /login: 5 requests in 60 s``.

    Args:
        values: Of :meth:`PolicyRule.to_json`.
    """
    limits = []
    if "rate" in values:
        requests = "1 request" if values["rate"] == 1 else f"{values['rate']} requests"
        burst = f", {values['burst']} at once" if "burst" in values else ""
        limits.append(f"{requests} in {values['per']:g} s{burst}")
    if "max_body" in values:
        limits.append(f"a body of {values['max_body']:,} bytes")
    if "timeout" in values:
        limits.append(f"{values['timeout']:g} s")
    if "access" in values:
        limits.append(f"access {values['access']}")
    where = f"{','.join(values.get('methods', ()))} {values['path']}".strip()
    return f"{where}: {', '.join(limits) or 'no limit'}"


def segments_of(pattern: str) -> list[str]:
    """Return the segments of a pattern; a slash at its end means nothing."""
    return [] if pattern == "/" else pattern[1:].removesuffix("/").split("/")


def pattern_error(pattern: str) -> str:
    """Return what is wrong with a pattern, as the predicate of a sentence; empty: nothing."""
    if not pattern.startswith("/"):
        return "does not start with a slash"
    if len(pattern) > MAX_PATTERN:
        return f"has more than {MAX_PATTERN} characters"
    segments = segments_of(pattern)
    if len(segments) > MAX_SEGMENTS:
        return f"has more than {MAX_SEGMENTS} segments"
    for number, one in enumerate(segments, 1):
        if one == "**":
            if number < len(segments):
                return "has ** before its last segment"
        elif one.count("*") > 1:
            return "has more than one * in a segment"
        elif one in ("", ".", ".."):
            return "has an empty segment, or one of dots"
        elif not one.isprintable() or "%" in one or "\\" in one:
            return "has a character that no decoded path needs: %, a backslash or an invisible one"
    return ""


def read_rules(values: list[Any]) -> tuple[PolicyRule, ...]:
    """Return the rules of a HELLO.

    Raises:
        FrameError: One of them has the wrong form, or there are too many.
    """
    if len(values) > MAX_RULES:
        raise _wrong("policy", f"has {len(values)} rules, and {MAX_RULES} is the most")
    return tuple(_rule(one, number) for number, one in enumerate(values, 1))


def read_routes(values: list[Any]) -> tuple[str, ...]:
    """Return the patterns of all routes of a HELLO.

    Raises:
        FrameError: One of them is none, or there are too many.
    """
    if len(values) > MAX_ROUTES:
        raise _wrong("routes", f"has {len(values)} patterns, and {MAX_ROUTES} is the most")
    return tuple(_pattern(one, f"routes: number {n}") for n, one in enumerate(values, 1))


def _rule(values: Any, number: int) -> PolicyRule:
    where = f"policy: rule {number}"
    if not isinstance(values, dict):
        raise _wrong(where, "is not an object")
    path = _pattern(values.get("path"), where)
    methods = values.get("methods", [])
    if (
        not isinstance(methods, list)
        or len(methods) > _MAX_METHODS
        or not all(isinstance(one, str) and _METHOD.fullmatch(one) for one in methods)
    ):
        raise _wrong(where, "has methods that are none")
    rate, per = _whole(values, "rate", where), _seconds(values, "per", where)
    if bool(rate) != bool(per):
        raise _wrong(where, "has a rate without its time, or a time without its rate")
    access = values.get("access", "")
    if not isinstance(access, str) or (access and not _NAME.fullmatch(access)):
        raise _wrong(where, "has an access that is no name")
    number, also = _whole(values, "list", where), values.get("also", False)
    if number >= MAX_LISTS or not isinstance(also, bool):
        raise _wrong(where, "has a list that is none, or an also that is neither true nor false")
    return PolicyRule(
        path=path,
        list=number,
        also=also,
        methods=tuple(methods),
        rate=rate,
        per=per,
        burst=_whole(values, "burst", where),
        max_body=_whole(values, "max_body", where),
        timeout=_seconds(values, "timeout", where),
        access=access,
    )


def _pattern(value: Any, where: str) -> str:
    if not isinstance(value, str):
        raise _wrong(where, "has a path that is no text")
    error = pattern_error(value)
    if error:
        raise _wrong(where, f"has a path that {error}")
    return value


def _whole(values: dict[str, Any], key: str, where: str) -> int:
    value = values.get(key, 0)
    if type(value) is not int or not 0 <= value <= _MAX_NUMBER:
        raise _wrong(where, f"has a {key} that is no whole number of 0 or more")
    return value


def _seconds(values: dict[str, Any], key: str, where: str) -> float:
    value = values.get(key, 0.0)
    if type(value) not in (int, float) or not math.isfinite(value):
        raise _wrong(where, f"has a {key} that is no number")
    if not 0 <= value <= _MAX_SECONDS:
        raise _wrong(where, f"has a {key} that is not within a day")
    return float(value)


def _wrong(where: str, why: str) -> FrameError:
    return FrameError(GoawayCode.FRAME_ERROR, f"handshake key {where} {why}")
