"""Which requests to one hostname are kept for an app that is away: its rules, as HELLO has them."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

__all__ = ["MAX_RULES", "Marks"]

MAX_RULES: Final = 64
"""Rules of one hostname; an app has a few webhooks. Those above are not looked at."""

_RULE: Final = re.compile(r"([A-Z]{1,16}) (/[\x21-\x29\x2b-\x7e]{0,255})(\*?)")


class Marks:
    """The rules of one hostname, each ``METHOD /path``, or ``METHOD /path*`` for all below.

    Paths are compared byte for byte with what a visitor sends, up to the query. A rule that cannot
    be read is left out: it may be of a newer app.

    Args:
        rules: In order: the first one that fits counts, exact ones before the others.

    Attributes:
        rules: Those that can be read.
    """

    __slots__ = ("_below", "_exact", "rules")

    def __init__(self, rules: Sequence[str]) -> None:
        found = [match for one in rules if (match := _RULE.fullmatch(one)) is not None]
        found = found[:MAX_RULES]
        self.rules = tuple(one[0] for one in found)
        self._exact: dict[tuple[bytes, bytes], str] = {}
        self._below: list[tuple[bytes, bytes, str]] = []
        for one in found:
            method, path = one[1].encode(), one[2].encode()
            if one[3]:
                self._below.append((method, path, one[0]))
            else:
                self._exact.setdefault((method, path), one[0])

    def find(self, method: bytes, target: bytes) -> str | None:
        """Return the rule that a request falls under, or None.

        Args:
            method: As sent.
            target: Path and query, as sent.
        """
        path = target.partition(b"?")[0]
        rule = self._exact.get((method, path))
        if rule is None and self._below:
            for one, begin, below in self._below:
                if one == method and path.startswith(begin):
                    return below
        return rule
