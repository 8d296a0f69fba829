"""What this side calls itself in HELLO: for the edge's log, and for people who look at a tunnel."""

from __future__ import annotations

import platform
import sys
from importlib import metadata
from typing import Final

from ._version import __version__
from .policy.readers import EVERY_WRAPPER, unwrapped

__all__ = ["agent_of"]

FRAMEWORKS: Final = ("fastapi", "litestar", "quart", "flask", "channels", "django", "starlette")
"""Packages whose classes an app is made of, as people name what they use."""


def agent_of(app: object) -> str:
    """Return this software's version, Python's, the system and the app's framework.

    As in ``asgi-tunnel/0.1.0 python/3.12.1 linux fastapi/0.115.0``; the last part is missing where
    the app is of no framework that is known.
    """
    own = f"asgi-tunnel/{__version__} python/{platform.python_version()} {sys.platform}"
    name = _framework_of(app)
    if not name:
        return own
    try:
        return f"{own} {name}/{metadata.version(name)}"
    except metadata.PackageNotFoundError:
        return f"{own} {name}"


def _framework_of(app: object) -> str:
    """Return the package of the innermost app's class, or of one above it."""
    found = ""
    for layer in unwrapped(app, EVERY_WRAPPER):
        # Of its own class first: those of one framework are often subclasses of another's.
        roots = [one.__module__.partition(".")[0] for one in type(layer).__mro__]
        found = next((one for one in roots if one in FRAMEWORKS), found)
    return found
