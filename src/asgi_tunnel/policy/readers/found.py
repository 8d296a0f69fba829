"""One route of an app, as every reader gives it."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..pattern import Pattern
from ..rule import EdgePolicy

__all__ = ["EVERYTHING", "Found"]


class Found(NamedTuple):
    """A route, or what a part of an app does with the rest of its paths."""

    pattern: Pattern | None  #: None: there is none for its path
    path: str  #: as the framework has it, for people
    methods: tuple[str, ...] = ()  #: empty: all
    policy: EdgePolicy | None = None
    is_served: bool = True  #: False: a path that fits nothing else gets a 404 of the app's own
    handler: Any = None  #: what the framework calls; None: no single object


EVERYTHING = Found(Pattern("/**", False), "/**")
"""Stands for paths that cannot be listed: a handler of the app's own for what it does not have."""
