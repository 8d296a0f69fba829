"""Webhooks that are never lost: the edge keeps requests to marked routes while the app is away.

``@inbox`` marks a handler, a table names routes (``Tunnel(app, inbox=["POST /hooks/stripe"])``),
and :func:`delivery` says in a handler which request this is. What is kept, and how it is delivered,
is the edge's. How to: docs/howto/inbox.md.

Routes of Starlette, FastAPI, Litestar and Django are read from the app when its tunnel opens;
:mod:`.middleware`, :mod:`.runner` and the others who open one call :func:`rules_of`.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple, TypeVar
from urllib.parse import quote

from .errors import ConfigError
from .policy.readers import EVERY_WRAPPER, Found, read_routes, unwrapped

__all__ = ["Delivery", "check_rules", "delivery", "inbox", "rules_of"]

_log = logging.getLogger("asgi_tunnel.inbox")

MAX_RULES: Final = 64
"""Rules that an edge looks at; an app has a few webhooks."""

MAX_CHARACTERS: Final = 4096
"""Of all rules together: HELLO holds 16 KiB, and names as well."""

_RULE: Final = re.compile(r"(?:([A-Z]{1,16}) +)?(/[^\s*]*)(\*?)")
_MARK: Final = "__asgi_tunnel_inbox__"
_SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS"})
_METHODS: Final = ("POST", "PUT", "PATCH", "DELETE")
_UNSAID: Final = ("POST",)  # of a route that does not say which it takes
_PARAMETER: Final = re.compile(r"[{<*\\\[(?+.]")  # begins what is no text, in a path of a framework
_MAX_DEPTH: Final = 32
_PATH: Final = "/:@!$&'()+,;=-._~%"  # stands in a path as it is (RFC 3986 section 3.3)

Handler = TypeVar("Handler")

_used: list[bool] = []
"""Not empty once a handler was marked: apps without one are not looked at."""


class Delivery(NamedTuple):
    """Which request of a marked route this is."""

    id: str  #: the same for each delivery of one request, and for what its sender repeats
    received: float  #: when it reached the edge, in seconds since 1970
    attempt: int  #: 1 for the first delivery


def inbox(handler: Handler) -> Handler:
    """Mark a handler: requests to its route wait at the edge while the app is away.

    It stands above or below the decorator of the route, or on a class of a view. The handler itself
    is returned, unchanged but for the mark.
    """
    _used.append(True)
    for one in (handler, getattr(handler, "fn", None)):  # Litestar copies what it is given
        if one is not None:
            try:
                setattr(one, _MARK, True)
            except AttributeError:
                continue
    return handler


def delivery(scope: Mapping[str, Any]) -> Delivery | None:
    """Return which request of a marked route a scope is about; None: it is none.

    Only requests that came through the tunnel have one: a visitor cannot send what it is read from.

    Args:
        scope: Of ASGI; ``request.scope`` in a handler.
    """
    if "asgi_tunnel" not in (scope.get("extensions") or {}):
        return None
    found: dict[bytes, str] = {}
    for name, value in scope["headers"]:
        if name.startswith(b"x-asgi-tunnel-inbox-"):
            found[name[20:]] = value.decode("latin-1")
    if not found.keys() >= {b"id", b"received", b"attempt"}:
        return None
    return Delivery(found[b"id"], float(found[b"received"]), int(found[b"attempt"]))


def check_rules(given: Iterable[str], *, setting: str) -> tuple[str, ...]:
    """Return rules in the form in which an edge takes them.

    Args:
        given: ``POST /hooks/stripe``, ``/hooks/stripe`` for the same, ``POST /hooks/*`` for all
            paths that begin so.
        setting: Where they stand, for the error.

    Raises:
        ConfigError: One is something else, or there are too many.
    """
    rules: list[str] = []
    for text in given:
        one = text.strip()
        match = _RULE.fullmatch(one)
        if match is None:
            why = f"has {one[:80]!r}, which is no method and path"
            raise ConfigError(setting, why, "write it like POST /hooks/stripe, or POST /hooks/*")
        rules.append(_rule(match[1] or "POST", match[2], is_below=bool(match[3])))
    rules = list(dict.fromkeys(rules))
    if not _fits(rules):
        why = f"has more than {MAX_RULES} routes, or more than {MAX_CHARACTERS} characters"
        raise ConfigError(setting, why, "name a path above them, such as POST /hooks/*")
    return tuple(rules)


def rules_of(app: object, given: Sequence[str] = ()) -> tuple[str, ...]:
    """Return the rules of an app: those that are given, and those of its marked handlers.

    Args:
        app: The app that is served, whatever is around it.
        given: As :func:`check_rules` returns them.
    """
    if not _used:
        return tuple(given)
    try:
        marked = [*_marked(app)]
    except Exception:  # noqa: BLE001 - of a framework's own objects; the tunnel has to open
        _log.exception("the routes of the app cannot be read")
        marked = []
    if not marked:
        _log.warning(
            "a handler is marked with @inbox, and its route is not found in the app; name it: "
            'Tunnel(app, inbox=["POST /path"]), or `asgi-tunnel run --inbox "POST /path"`'
        )
    rules = list(dict.fromkeys([*given, *marked]))
    while not _fits(rules):
        left_out = rules.pop()
        _log.error("too many routes are marked for the inbox: %s is left out", left_out)
    return tuple(rules)


def _fits(rules: list[str]) -> bool:
    return len(rules) <= MAX_RULES and sum(map(len, rules)) <= MAX_CHARACTERS


def _rule(method: str, path: str, *, is_below: bool) -> str:
    return f"{method} {quote(path, safe=_PATH)}{'*' if is_below else ''}"


# -- the routes of an app ------------------------------------------------------------------------


def _marked(app: object) -> Iterator[str]:
    """Return the rules of marked handlers."""
    for route in _routes(app):
        found = _marked_methods(route.handler, route.methods or _UNSAID)
        if found:
            path = route.path.replace("^", "")  # of a regular expression of Django
            text = _PARAMETER.search(path)
            begin = path if text is None else path[: text.start()]
            for method in found:
                yield _rule(method, begin or "/", is_below=text is not None)


def _marked_methods(handler: Any, methods: Iterable[str]) -> list[str]:
    """Return the methods of a route whose requests are kept."""
    wanted = sorted(set(methods) - _SAFE) or sorted(set(methods) - {"HEAD", "OPTIONS"})
    seen = 0
    while handler is not None and seen < _MAX_DEPTH:
        cls = handler if isinstance(handler, type) else getattr(handler, "view_class", None)
        if cls is not None:
            if getattr(cls, _MARK, False):
                return [one for one in _METHODS if hasattr(cls, one.lower())] or wanted
            own = [one for one in _METHODS if getattr(getattr(cls, one.lower(), 0), _MARK, False)]
            if own:
                return own
        elif getattr(handler, _MARK, False):
            return wanted
        seen += 1
        inner = getattr(handler, "__wrapped__", None) or getattr(handler, "func", None)
        handler = inner or getattr(handler, "fn", None)
    return []


def _routes(app: object) -> list[Found]:
    """Return the routes of an app, whatever is around it."""
    for layer in unwrapped(app, EVERY_WRAPPER):
        found = read_routes(layer)
        if found is not None:
            return found
    return []
