"""Reads the routes of an app, one file for each framework; only of those that are imported.

A reader returns what it finds in the order in which the framework looks at it: the first that fits
a request serves it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from typing import Any, Final

from .found import Found

__all__ = ["EVERY_WRAPPER", "Found", "read_routes", "unwrapped"]

_READERS: Final = (
    ("starlette.routing", "starlette"),
    ("litestar.app", "litestar"),
    ("django.core.handlers.asgi", "django"),
    ("channels.routing", "channels"),
)
"""A module that is imported where an app is of the framework, and the reader."""

_INSIDE: Final = ("app", "application", "inner")
"""Where wrappers keep what they wrap."""

EVERY_WRAPPER: Final = (*_INSIDE, "_app", "asgi_app", "asgi_handler", "other_asgi_app")
"""The same, with wrappers that serve some paths themselves: for what is no rule about a path."""

MAX_WRAPPERS: Final = 64


def unwrapped(app: Any, inside: tuple[str, ...] = _INSIDE) -> Iterator[Any]:
    """Yield an app, what it wraps, and so on inward.

    Args:
        app: ASGI, with its wrappers.
        inside: Attributes in which wrappers keep what they wrap, the first that is there.
    """
    for _ in range(MAX_WRAPPERS):
        yield app
        state = getattr(app, "__dict__", {})
        inner = next((one for name in inside if (one := state.get(name)) is not None), None)
        if inner is None or not callable(inner):
            return
        app = inner


def read_routes(app: Any) -> list[Found] | None:
    """Return the routes of an app; None where no reader knows it. Wrappers are not looked into."""
    for module, name in _READERS:
        if module in sys.modules:
            read: Callable[[Any], list[Found] | None] = import_module(f".{name}", __name__).read
            found = read(app)
            if found is not None:
                return found
    return None
