"""Takes apps as they come: ASGI 3 as they are, ASGI 2 ("double callables") wrapped."""

from __future__ import annotations

import inspect
from typing import Any

from .types import ASGIApp


def as_single_callable(app: Any) -> ASGIApp:
    """Return ``app`` as an ASGI 3 app.

    What it can be called with decides: three arguments are ASGI 3, whatever kind of callable it
    is (bound methods, partials, classes with ``__await__``); one argument alone is ASGI 2.  A
    guess by kind, as servers make it, takes some ASGI 3 apps for ASGI 2.
    """
    if takes_arguments(app, 3) or not takes_arguments(app, 1):
        return app  # type: ignore[no-any-return]

    async def single(scope: Any, receive: Any, send: Any) -> None:
        await app(scope)(receive, send)

    return single


def takes_arguments(app: Any, count: int) -> bool:
    """Whether something can be called with so many; False also where nobody can tell."""
    try:
        inspect.signature(app).bind(*range(count))
    except (TypeError, ValueError):  # too few or many; or no signature, as some built-ins
        return False
    return True
