"""Which doors a request has to pass: its path in one spelling, against what settings name.

An app may read a path in other ways than the edge: decode it twice, ignore case, drop what follows
a semicolon, resolve dots. So a path that two servers may read in two ways passes no exception, and
has to pass every door of its hostname.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final, Protocol
from urllib.parse import unquote_to_bytes

from ..settings.access import PUBLIC, split_path
from .policy import Policy

if TYPE_CHECKING:
    from ..settings.guards import HostnameConfig

__all__ = ["Door", "HostDoor", "plain_path"]

#: What no server reads in two ways: neither an encoded or doubled slash, nor a backslash, a
#: parameter, a control character, another encoding's leftovers or an encoded percent sign.
_AMBIGUOUS: Final = re.compile(r"//|[\\;%\x00-\x1f\x7f]|/\.{1,2}(?:/|$)|/[^/]*[. ](?:/|$)")
MAX_KNOWN: Final = 1024
"""Targets of a hostname whose policies are remembered, 0.4 MiB; then all are forgotten at once: to
find them takes 2 us."""

MAX_KNOWN_TARGET: Final = 256
"""Bytes of one that is: those of pages that are asked for often are short."""

_ENCODED_SLASH: Final = re.compile(rb"%(?:2[fF]|5[cC])")


def plain_path(target: bytes) -> str | None:
    """Return the decoded path of a request; None: it can be read in more than one way.

    Args:
        target: In origin-form, with its query; or ``*``.
    """
    path = target.partition(b"?")[0]
    if b"%" in path:
        if _ENCODED_SLASH.search(path):
            return None
        path = unquote_to_bytes(path)
    try:
        text = path.decode()
    except UnicodeDecodeError:
        return None
    if _AMBIGUOUS.search(text) or b"#" in target:
        return None
    # Compatible characters, as a full-width "a": some servers read them as the plain ones.
    return text if text.isascii() or unicodedata.is_normalized("NFKC", text) else None


class HostDoor(Protocol):
    """What stands in front of one hostname; :class:`Door` is those of ``edge.toml`` alone."""

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy that stands in front of some path."""

    def policies_of(self, method: bytes, target: bytes) -> tuple[Policy, ...]:
        """Return the policies that all have to let a request in; none: it is public."""


class _Rule:
    """One path of ``access_paths``."""

    __slots__ = ("_folded", "_method", "_path", "policies", "policy")

    def __init__(self, method: str, path: str, policy: Policy | None) -> None:
        self._method = method.encode()
        self._path = path.rstrip("/")
        self._folded = self._path.casefold()
        self.policy = policy  # None: public
        self.policies = () if policy is None else (policy,)

    @property
    def order(self) -> tuple[int, bool]:
        """The longest path comes first, then those of one method."""
        return (-len(self._path), not self._method)

    def __str__(self) -> str:
        verb = f"{self._method.decode()} " if self._method else ""
        name = PUBLIC if self.policy is None else self.policy.name
        return f'"{verb}{self._path or "/"}" = "{name}"'

    def covers(self, method: bytes, path: str, folded: str) -> bool:
        """Whether a request is below the path.

        A door is not passed by capital letters: an app may not tell them apart. An exception holds
        for its own spelling only.
        """
        if self._method and self._method != (b"GET" if method == b"HEAD" else method):
            return False
        mine, theirs = (self._path, path) if self.policy is None else (self._folded, folded)
        return theirs == mine or theirs.startswith(f"{mine}/")


class Door:
    """The doors of one hostname.

    Args:
        settings: Of the hostname.
        policies: Of the edge, by name.
    """

    __slots__ = ("_all", "_default", "_known", "_rules")

    def __init__(self, settings: HostnameConfig, policies: Mapping[str, Policy]) -> None:
        def find(name: str | None) -> Policy | None:
            return None if name is None or name == PUBLIC else policies[name]

        base = find(settings.access)
        rules = []
        for text, name in settings.access_paths.items():
            split = split_path(text)
            assert split is not None  # settings.access has checked it
            rules.append(_Rule(*split, find(name)))
        self._rules = sorted(rules, key=lambda rule: rule.order)
        self._default = () if base is None else (base,)
        self._known: dict[tuple[bytes, bytes], tuple[Policy, ...]] = {}
        each = [base, *(rule.policy for rule in self._rules)]
        self._all = tuple(dict.fromkeys(one for one in each if one is not None))

    @staticmethod
    def of(settings: HostnameConfig, policies: Mapping[str, Policy]) -> Door | None:
        """Return the doors of a hostname; None: everybody may come in everywhere."""
        door = Door(settings, policies)
        return door if door._all else None

    @property
    def policies(self) -> tuple[Policy, ...]:
        """Every policy that stands in front of some path."""
        return self._all

    def policies_of(self, method: bytes, target: bytes) -> tuple[Policy, ...]:
        """Return the policies that all have to let a request in; none: it is public.

        Args:
            method: As sent.
            target: In origin-form, or ``*``.
        """
        if not self._rules:
            return self._default
        key = (method, target)
        known = self._known.get(key)
        if known is None:
            known = self._find(method, target)
            if len(target) <= MAX_KNOWN_TARGET:
                if len(self._known) >= MAX_KNOWN:
                    self._known.clear()
                self._known[key] = known
        return known

    def _find(self, method: bytes, target: bytes) -> tuple[Policy, ...]:
        path = plain_path(target)
        if path is None:
            return self._all
        folded, verb = path.casefold(), method.upper()  # as the app's side reads it
        for rule in self._rules:
            if rule.covers(verb, path, folded):
                return rule.policies
        return self._default

    def explain(self, method: bytes, target: bytes) -> str:
        """Say why :meth:`policies_of` returns what it does, as a sentence without its stop."""
        path = plain_path(target)
        if path is None and self._rules:
            return "the path can be read in more than one way, so every door of the hostname counts"
        folded, verb = (path or "").casefold(), method.upper()
        for rule in self._rules:
            if rule.covers(verb, path or "", folded):
                return f"access_paths has {rule}"
        if self._default:
            return f'the hostname has access = "{self._default[0].name}"'
        return "no entry of access_paths stands at the path"
