"""The rules of one app, compiled: which of them hold for a request.

Compiled once for each HELLO that says something new, and held by the routes of the session's
hostnames. A trie by segment finds all patterns that fit a path; of these the first one holds.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from asgi_tunnel.protocol.policy import WEBSOCKET, PolicyRule, segments_of

from ..shares.rate import RateLimit
from .paths import forms_of

__all__ = ["AppPolicy", "Match"]

_WEBSOCKET: Final = WEBSOCKET.encode()


class Match:
    """What holds for one request.

    Attributes:
        access: Names of policies of the edge that all have to let the visitor in.
        is_unknown: The app says that it serves no such path.
        max_body: Bytes; 0: no limit.
        max_time: Seconds; 0: no limit.
        rates: Each with what it is counted under, for one visitor.
    """

    __slots__ = ("access", "is_unknown", "max_body", "max_time", "rates")

    def __init__(
        self,
        *,
        rates: tuple[tuple[str, RateLimit], ...] = (),
        max_body: int = 0,
        max_time: float = 0.0,
        access: tuple[str, ...] = (),
        is_unknown: bool = False,
    ) -> None:
        self.rates = rates
        self.max_body = max_body
        self.max_time = max_time
        self.access = access
        self.is_unknown = is_unknown


_UNKNOWN: Final = Match(is_unknown=True)


class _Node:
    """The patterns that have the same segments up to here; most nodes have one child, and no end.

    Attributes:
        ends: Patterns that end here.
        globs: Children whose segment has a star: what is before it, and behind it.
        literals: Children by their segment.
        rests: Patterns that end with ``**`` here.
    """

    __slots__ = ("ends", "globs", "literals", "rests")

    def __init__(self) -> None:
        self.literals: dict[bytes, _Node] | None = None
        self.globs: list[tuple[bytes, bytes, _Node]] | None = None
        self.ends: list[int] | None = None
        self.rests: list[int] | None = None


class _Trie:
    """Patterns, by their numbers.

    Args:
        patterns: In their order.
    """

    __slots__ = ("_root",)

    def __init__(self, patterns: Sequence[str]) -> None:
        self._root = _Node()
        for number, pattern in enumerate(patterns):
            node = self._root
            for text in segments_of(pattern):
                if text == "**":
                    break
                node = _child(node, text.encode().lower())
            if pattern.endswith("/**"):
                node.rests = [*(node.rests or ()), number]
            else:
                node.ends = [*(node.ends or ()), number]

    def find(self, path: bytes) -> list[int]:
        """Return the numbers of the patterns that fit a path, the first one first."""
        if path[-1:] == b"/":
            path = path[:-1]  # of one slash: frameworks redirect, or take it for the same
        segments = path.split(b"/")
        found: list[int] = []
        _collect(self._root, segments, 1, found)
        if len(found) > 1:
            found.sort()
        return found


class AppPolicy:
    """The rules of one app.

    Args:
        rules: As HELLO has them; the first that fits holds.
        routes: Patterns of all paths that the app serves; empty: it does not say.
        token_id: Whose; rates are counted by it and by the rule's text, so that they go on when
            the app comes anew.
    """

    __slots__ = (
        "_all",
        "_matches",
        "_methods",
        "_routes",
        "_spellings",
        "_trie",
        "has_access",
        "routes",
        "rules",
    )

    def __init__(
        self, rules: tuple[PolicyRule, ...], routes: tuple[str, ...], *, token_id: str
    ) -> None:
        self.rules = rules
        self.routes = routes
        self.has_access = any(rule.access for rule in rules)  # some path has a door
        self._trie = _Trie([rule.path for rule in rules])
        self._routes = _Trie(routes) if routes else None
        self._methods = [_methods_of(rule) for rule in rules]
        self._matches = [_match_of(rule, token_id) for rule in rules]
        self._all = _together([one for one in self._matches if one is not None])
        # An exception holds for its own spelling only.
        self._spellings = [_Spelling(rule.path) if rule.is_exception else None for rule in rules]

    def says(self, rules: tuple[PolicyRule, ...], routes: tuple[str, ...]) -> bool:
        """Whether another HELLO says the same."""
        return rules == self.rules and routes == self.routes

    def match(self, method: bytes, target: bytes, *, is_websocket: bool) -> Match | None:
        """Return what holds for a request; None: nothing does.

        Args:
            method: As sent.
            target: In origin-form with its query, or ``*``.
            is_websocket: It is the handshake of a WebSocket.
        """
        forms = forms_of(target)
        if forms is None:
            return self._all
        if is_websocket:
            method = _WEBSOCKET
        if self._routes is not None and forms and not self._is_known(forms):
            return _UNKNOWN
        if len(forms) == 1:
            number = self._first(method, forms[0], target)
            return None if number < 0 else self._matches[number]
        return self._match_all(method, target, forms)

    def _match_all(self, method: bytes, target: bytes, forms: tuple[bytes, ...]) -> Match | None:
        """Let the rules of all forms hold."""
        numbers = {self._first(method, form, target) for form in forms}
        found = [
            match
            for number in sorted(numbers)
            if number >= 0 and (match := self._matches[number]) is not None
        ]
        return _together(found)

    def _first(self, method: bytes, form: bytes, target: bytes) -> int:
        """Return the number of the first rule that fits a form of a path; -1: none does."""
        for number in self._trie.find(form):
            methods = self._methods[number]
            if methods is not None and method not in methods:
                continue
            spelling = self._spellings[number]
            if spelling is None or spelling.is_own(target):
                return number
        return -1

    def _is_known(self, forms: tuple[bytes, ...]) -> bool:
        routes = self._routes
        assert routes is not None
        return any(routes.find(form) for form in forms)


class _Spelling:
    """The literal segments of a pattern, capital letters and all."""

    __slots__ = ("_segments",)

    def __init__(self, pattern: str) -> None:
        self._segments = [
            (number, text.encode())
            for number, text in enumerate(segments_of(pattern), 1)
            if "*" not in text
        ]

    def is_own(self, target: bytes) -> bool:
        """Whether a target that fits in lower case fits as it is, too."""
        path = target.partition(b"?")[0]
        if b"%" in path:
            path = unquote_to_bytes(path)
        segments = path.split(b"/")
        for number, text in self._segments:
            if number >= len(segments) or segments[number] != text:
                return False
        return True


def _child(node: _Node, text: bytes) -> _Node:
    before, star, behind = text.partition(b"*")
    if not star:
        if node.literals is None:
            node.literals = {}
        child = node.literals.get(text)
        if child is None:
            child = node.literals[text] = _Node()
        return child
    if node.globs is None:
        node.globs = []
    for one, other, child in node.globs:
        if one == before and other == behind:
            return child
    child = _Node()
    node.globs.append((before, behind, child))
    return child


def _collect(node: _Node, segments: list[bytes], at: int, found: list[int]) -> None:
    """Add the patterns below a node that fit the segments from a place on.

    Each node is looked at once at the most, so a path costs what the patterns are, not what it is.
    """
    if node.rests is not None:
        found += node.rests
    if at >= len(segments):
        if node.ends is not None:
            found += node.ends
        return
    segment = segments[at]
    if node.literals is not None:
        child = node.literals.get(segment)
        if child is not None:
            _collect(child, segments, at + 1, found)
    if node.globs is not None:
        for before, behind, child in node.globs:
            if (
                len(segment) > len(before) + len(behind)
                and segment.startswith(before)
                and segment.endswith(behind)
            ):
                _collect(child, segments, at + 1, found)


def _together(found: list[Match]) -> Match | None:
    """Let several hold: the smallest bounds, and all rates and policies."""
    if len(found) < 2:
        return found[0] if found else None
    return Match(
        rates=tuple(rate for one in found for rate in one.rates),
        max_body=min((one.max_body for one in found if one.max_body), default=0),
        max_time=min((one.max_time for one in found if one.max_time), default=0.0),
        access=tuple(dict.fromkeys(name for one in found for name in one.access)),
    )


def _methods_of(rule: PolicyRule) -> frozenset[bytes] | None:
    """Return the methods of a rule as requests have them; None: all.

    HEAD asks for what GET would give, and the handshake of a WebSocket is a GET.
    """
    if not rule.methods:
        return None
    methods = {one.encode() for one in rule.methods}
    if b"GET" in methods:
        methods |= {b"HEAD", _WEBSOCKET}
    return frozenset(methods)


def _match_of(rule: PolicyRule, token_id: str) -> Match | None:
    if rule.is_exception:
        return None
    rates: tuple[tuple[str, RateLimit], ...] = ()
    if rule.rate:
        interval = rule.per / rule.rate
        limit = RateLimit(interval, ((rule.burst or rule.rate) - 1) * interval)
        # "/" is in no address and no id.
        rates = ((f"/{token_id}/{','.join(rule.methods)} {rule.path}", limit),)
    access = (rule.access,) if rule.access else ()
    return Match(rates=rates, max_body=rule.max_body, max_time=rule.timeout, access=access)
