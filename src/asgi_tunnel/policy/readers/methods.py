"""Views that are classes, with a method of Python for each method of HTTP."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from typing import Any, Final

from ..rule import EdgePolicy, policy_on

__all__ = ["of_class"]

_NAMES: Final = ("get", "head", "post", "put", "patch", "delete", "options")


def of_class(view: Any) -> Iterator[tuple[str, EdgePolicy]]:
    """Yield the HTTP methods of a class that are decorated themselves, each with its policy."""
    if not inspect.isclass(view):
        return
    outer = policy_on(view)
    for name in _NAMES:
        policy = policy_on(getattr(view, name, None))
        if policy is not None:
            yield name.upper(), policy.within(outer)
