"""Routes of Django: what the project's URL configuration names, in its order."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from typing import Any, Final

from ..pattern import Pattern, from_template
from ..rule import EdgePolicy, policy_on
from . import methods
from .found import EVERYTHING, Found

__all__ = ["read", "walk"]

_MAX_DEPTH: Final = 32

# Groups that fit one segment: a class of characters without a slash, or [^/], one or more times.
_GROUP: Final = re.compile(
    r"\((?:\?P<[A-Za-z_][A-Za-z0-9_]*>|\?:)?"
    r"(?:\\d|\\w|\[(?:\^/|[A-Za-z0-9_\\.-]|\\[dw])+\])(?:\+|\{[0-9]+(?:,[0-9]*)?\})\)"
)
_SPECIAL: Final = re.compile(r"[\\.^$*+?{}\[\]|()]")
_STAR: Final = "\x00"


def read(app: Any) -> list[Found] | None:
    """Return the routes of a project; None: the app is no handler of Django."""
    if not isinstance(app, sys.modules["django.core.handlers.asgi"].ASGIHandler):
        return None
    from django.conf import settings
    from django.urls import get_resolver

    found = list(walk(get_resolver().url_patterns, "/", None))
    for name in ("STATIC_URL", "MEDIA_URL"):  # files that a middleware or a wrapper may serve
        url = str(getattr(settings, name, None) or "")
        if url.startswith("/") and url != "/":
            found.append(Found(from_template(f"{url.rstrip('/')}/{{rest:path}}"), url))
    if any("fallback" in str(one).lower() for one in settings.MIDDLEWARE):
        found.append(EVERYTHING)  # flatpages and redirects serve what nothing else does
    return found


def walk(
    patterns: Any, prefix: str | None, outer: EdgePolicy | None, depth: int = 0
) -> Iterator[Found]:
    """Yield the routes of a list of patterns.

    Args:
        patterns: Of ``urlpatterns``, or of a router of Channels.
        prefix: Path before them; None: it cannot be said.
        outer: What holds for them all.
        depth: How many lists are around it.
    """
    if depth > _MAX_DEPTH:
        return
    for one in patterns:
        path = _joined(prefix, one.pattern)
        inner = getattr(one, "url_patterns", None)
        if inner is not None:
            yield from walk(inner, path, outer, depth + 1)
            continue
        view = one.callback
        named = getattr(view, "view_class", None) or getattr(view, "cls", None)
        regex = getattr(one.pattern, "_regex", None)
        is_anchored = regex is None or str(regex).endswith(("$", r"\Z"))
        pattern = _pattern(path, is_anchored=is_anchored)
        shown = path if path is not None else f"{prefix or ''}{one.pattern}"
        for method, policy in methods.of_class(named):
            yield Found(pattern, shown, (method,), policy.within(outer))
        own = policy_on(view) or policy_on(named)
        own = outer if own is None else own.within(outer)
        yield Found(pattern, shown, (), own, handler=view)


def _joined(prefix: str | None, pattern: Any) -> str | None:
    """Return a path with ``<name>`` for its parameters; None: it cannot be said."""
    if prefix is None:
        return None
    route = getattr(pattern, "_route", None)
    if route is not None:
        return prefix + str(route)
    regex = getattr(pattern, "_regex", None)
    text = None if regex is None else _from_regex(str(regex))
    return None if text is None else prefix + text


def _from_regex(regex: str) -> str | None:
    text = regex.removeprefix("^").removesuffix("$").removesuffix(r"\Z")
    text = text.replace("/?", "/") if text.endswith("/?") else text
    text = _GROUP.sub(_STAR, text).replace(r"\.", "\x01").replace(r"\-", "-")
    if _SPECIAL.search(text):
        return None
    return text.replace("\x01", ".").replace(_STAR, "<regex:x>")


def _pattern(path: str | None, *, is_anchored: bool) -> Pattern | None:
    if path is None:
        return None
    if is_anchored:
        return from_template(path, "<")
    # Whatever begins so: the last segment may go on.
    found = from_template(path.rpartition("/")[0] + "/<path:rest>", "<")
    return None if found is None else found._replace(is_exact=False)
