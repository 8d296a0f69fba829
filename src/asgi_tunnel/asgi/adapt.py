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
    if _takes(app, 3) or not _takes(app, 1):
        return app  # type: ignore[no-any-return]

    async def single(scope: Any, receive: Any, send: Any) -> None:
        await app(scope)(receive, send)

    return single


def _takes(app: Any, count: int) -> bool:
    try:
        inspect.signature(app).bind(*range(count))
    except (TypeError, ValueError):  # too few or many; or no signature, as some built-ins
        return False
    return True
