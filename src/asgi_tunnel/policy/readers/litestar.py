"""Routes of Litestar, which serves the most particular one that fits."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from typing import Any, Final

from ...protocol.policy import WEBSOCKET, segments_of
from ..pattern import Pattern, from_parts, order_of
from ..rule import EdgePolicy, policy_on
from .found import EVERYTHING, Found

__all__ = ["read"]

_MAX_LAYERS: Final = 32


def read(app: Any) -> list[Found] | None:
    """Return the routes of an app; None: it is none of Litestar."""
    if not isinstance(app, sys.modules["litestar.app"].Litestar):
        return None
    found = [one for route in app.routes for one in _of_route(route)]
    if any(one.pattern is not None and not one.pattern.is_exact for one in found):
        # It looks at the types of parameters first: {x:int} may take what fits {x:str}, too.
        found = [one._replace(pattern=_inexact(one.pattern)) for one in found]
    # Parameters at one place share a node of its tree: beside {x:path} each takes all the rest.
    shared = _places(found, "**") & _places(found, "*")
    found = [one._replace(pattern=_widened(one.pattern, shared)) for one in found]
    found.sort(key=lambda one: order_of(one.pattern.text) if one.pattern else (4,))
    if _has_own_404(app):
        found.append(EVERYTHING)
    return found


def _inexact(pattern: Pattern | None) -> Pattern | None:
    if pattern is None or "*" not in pattern.text:
        return pattern
    return pattern._replace(is_exact=False)


def _places(found: list[Found], star: str) -> set[tuple[str, ...]]:
    """Return what is before each parameter of a kind."""
    return {
        tuple(parts[:number])
        for one in found
        if one.pattern is not None
        for parts in [segments_of(one.pattern.text)]
        for number, part in enumerate(parts)
        if part == star
    }


def _widened(pattern: Pattern | None, shared: set[tuple[str, ...]]) -> Pattern | None:
    """Return what a pattern may fit where a parameter of it shares its place."""
    if pattern is None:
        return None
    parts = segments_of(pattern.text)
    for number, part in enumerate(parts):
        if "*" in part and tuple(parts[:number]) in shared:
            return from_parts([*parts[:number], "**"], is_exact=False)
    return pattern


def _of_route(route: Any) -> Iterator[Found]:
    handlers = getattr(route, "route_handlers", None)
    if handlers is not None:
        for handler in handlers:
            methods = tuple(sorted(str(getattr(one, "value", one)) for one in handler.http_methods))
            policy = _policy(handler)
            yield Found(_pattern(route), route.path, methods, policy, handler=handler)
        return
    handler = route.route_handler
    if hasattr(handler, "is_mount"):  # an ASGI app
        is_mount = bool(handler.is_mount)
        yield Found(_pattern(route, is_mount=is_mount), route.path, (), _policy(handler))
    else:
        yield Found(_pattern(route), route.path, (WEBSOCKET,), _policy(handler))


def _pattern(route: Any, *, is_mount: bool = False) -> Pattern | None:
    parts: list[str] = []
    is_exact = True
    for component in route.path_components:
        kind = getattr(component, "full", None)
        if kind is None:
            if "*" in component:
                return None
            parts.append(component)
            continue
        name = kind.partition(":")[2] or "str"
        parts.append("**" if name == "path" else "*")
        is_exact = is_exact and name in ("str", "path")
    if is_mount and parts[-1:] != ["**"]:
        parts.append("**")
    return from_parts(parts, is_exact)


def _policy(handler: Any) -> EdgePolicy | None:
    """Return what holds for a handler: its own, its function's, its controller's, its routers'."""
    function = handler.fn
    layers = [handler, function, getattr(function, "__self__", None)]
    owner = getattr(handler, "owner", None)
    while owner is not None and len(layers) < _MAX_LAYERS:
        layers.append(owner)
        owner = getattr(owner, "owner", None)
    policy = None
    for layer in layers:
        own = policy_on(layer)
        if own is not None:
            policy = own if policy is None else policy.within(own)
    return policy


def _has_own_404(app: Any) -> bool:
    missing = sys.modules["litestar.exceptions"].NotFoundException
    return any(one == 404 or one is missing for one in app.exception_handlers)
