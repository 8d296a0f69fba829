"""The rules of one app, compiled: which of them hold for a request.

Compiled once for each HELLO that says something new, and held by the routes of the session's
hostnames. A trie by segment finds all patterns that fit a path; of these the first one holds.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import Final
from urllib.parse import unquote_to_bytes

from asgi_tunnel.protocol.policy import WEBSOCKET, PolicyRule, segments_of

from ..shares.rate import RateLimit
from .paths import forms_of

__all__ = ["AppPolicy", "Match"]

_WEBSOCKET: Final = WEBSOCKET.encode()
_OF_ROUTES: Final = 1  # the bit of list 0: what is read from a framework's routes


class Match:
    """What holds for one request.

    Attributes:
        access: Names of policies of the edge that all have to let the visitor in.
        is_unknown: The app says that it serves no such path.
        max_body: Bytes; 0: no limit.
        max_time: Seconds; 0: no limit.
        owner: The id of the app's token.
        rates: Each with what it is counted under, for one visitor.
    """

    __slots__ = ("access", "is_unknown", "max_body", "max_time", "owner", "rates")

    def __init__(
        self,
        *,
        rates: tuple[tuple[str, RateLimit], ...] = (),
        max_body: int = 0,
        max_time: float = 0.0,
        access: tuple[str, ...] = (),
        is_unknown: bool = False,
        owner: str = "",
    ) -> None:
        self.owner = owner
        self.rates = rates
        self.max_body = max_body
        self.max_time = max_time
        self.access = access
        self.is_unknown = is_unknown


MAX_TOGETHER: Final = 256
"""Sets of rules that are remembered with what they are together; visitors choose among paths."""

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
        rules: As HELLO has them; of each list the first that fits holds.
        routes: Patterns of all paths that the app serves; empty: it does not say.
        token_id: Whose; rates are counted for it by the rule's text, so that they go on when the
            app comes anew.
    """

    __slots__ = (
        "_all",
        "_digest",
        "_goes_on",
        "_lists",
        "_matches",
        "_methods",
        "_own_methods",
        "_routes",
        "_spellings",
        "_together",
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
        self._digest = b""  # made when another node first asks for it
        self.has_access = any(rule.access for rule in rules)  # some path has a door
        self._trie = _Trie([rule.path for rule in rules])
        self._routes = _Trie(routes) if routes else None
        self._methods = [_methods_of(rule) for rule in rules]
        self._lists = [1 << rule.list for rule in rules]
        self._goes_on = [rule.also for rule in rules]
        self._together: dict[tuple[int, ...], Match] = {}  # of several rules
        self._matches = [_match_of(rule, token_id) for rule in rules]
        self._all = _together([one for one in self._matches if one is not None])
        self._own_methods = [_own_methods_of(rule) for rule in rules]
        self._spellings = [_Spelling(rule.path) for rule in rules]

    def says(self, rules: tuple[PolicyRule, ...], routes: tuple[str, ...]) -> bool:
        """Whether another HELLO says the same."""
        return rules == self.rules and routes == self.routes

    @property
    def digest(self) -> bytes:
        """The same for all that say the same, in any process: 32 hex digits."""
        if not self._digest:
            said = json.dumps([[one.to_json() for one in self.rules], list(self.routes)])
            self._digest = hashlib.sha256(said.encode()).hexdigest()[:32].encode()
        return self._digest

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
        held: list[int] = []
        for form in forms:
            self._hold(method, form, target, held)
        if len(held) < 2:
            return self._matches[held[0]] if held else None
        return self._combined(held)

    def _hold(self, method: bytes, form: bytes, target: bytes, held: list[int]) -> None:
        """Add the numbers of the rules that hold for one form of a path."""
        numbers = self._trie.find(form)
        if not numbers:
            return
        last = numbers[-1]
        settled = 0  # a bit for each list in which no further rule holds
        for number in numbers:
            bit = self._lists[number]
            methods = self._methods[number]
            if settled & bit or (methods is not None and method not in methods):
                continue
            if self._matches[number] is not None:
                held.append(number)
            if number != last and self._is_sure(number, method, target):
                settled |= bit

    def _is_sure(self, number: int, method: bytes, target: bytes) -> bool:
        """Whether no framework gives a request to another route than the one of a rule."""
        if self._goes_on[number] or not self._spellings[number].is_own(target):
            return False
        methods = self._own_methods[number]
        if methods is None:  # routes of frameworks take no handshake; a line of a table does
            return method != _WEBSOCKET or self._lists[number] != _OF_ROUTES
        return method in methods

    def _combined(self, held: list[int]) -> Match | None:
        """Let several rules hold, of all lists and all forms."""
        key = tuple(sorted(set(held)))
        match = self._together.get(key)
        if match is None:
            match = _together([one for number in key if (one := self._matches[number]) is not None])
            if match is not None:
                if len(self._together) >= MAX_TOGETHER:
                    self._together.clear()
                self._together[key] = match
        return match

    def _is_known(self, forms: tuple[bytes, ...]) -> bool:
        routes = self._routes
        assert routes is not None
        return any(routes.find(form) for form in forms)


class _Spelling:
    """What surely is a rule's: its own capital letters and slashes, and a rest that is not empty.

    Frameworks take another spelling for another route, so what is behind in the list holds, too.
    """

    __slots__ = ("_has_rest", "_has_slash", "_literals", "_size")

    def __init__(self, pattern: str) -> None:
        segments = segments_of(pattern)
        self._has_rest = segments[-1:] == ["**"]
        self._has_slash = len(pattern) > 1 and pattern.endswith("/")
        self._size = max(len(segments), 1)
        self._literals = [
            (number, text.encode()) for number, text in enumerate(segments, 1) if "*" not in text
        ]

    def is_own(self, target: bytes) -> bool:
        """Whether a target that fits in lower case fits as it is, too."""
        path = target.partition(b"?")[0]
        if b"%" in path:
            path = unquote_to_bytes(path)
        segments = path.split(b"/")
        if self._has_rest:
            if not any(segments[self._size :]):
                return False
        elif len(segments) != self._size + 1 + self._has_slash:
            return False
        return all(segments[number] == text for number, text in self._literals)


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
        owner=found[0].owner,
    )


def _own_methods_of(rule: PolicyRule) -> frozenset[bytes] | None:
    """Return the methods that a rule names; None: all."""
    return frozenset(one.encode() for one in rule.methods) if rule.methods else None


def _methods_of(rule: PolicyRule) -> frozenset[bytes] | None:
    """Return the methods that a rule holds for; None: all.

    HEAD asks for what GET would give, and the handshake of a WebSocket is a GET.
    """
    methods = _own_methods_of(rule)
    if methods is not None and b"GET" in methods:
        return methods | {b"HEAD", _WEBSOCKET}
    return methods


def _match_of(rule: PolicyRule, token_id: str) -> Match | None:
    if rule.is_exception:
        return None
    rates: tuple[tuple[str, RateLimit], ...] = ()
    if rule.rate:
        interval = rule.per / rule.rate
        limit = RateLimit(interval, ((rule.burst or rule.rate) - 1) * interval)
        # "/" is in no address.
        rates = ((f"/{','.join(rule.methods)} {rule.path}", limit),)
    access = (rule.access,) if rule.access else ()
    return Match(
        rates=rates,
        max_body=rule.max_body,
        max_time=rule.timeout,
        access=access,
        owner=token_id,
    )
