"""Routes of Starlette, FastAPI, and what is built on their routers."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from ...protocol.policy import WEBSOCKET
from ..pattern import Pattern, from_template, joined
from ..rule import EdgePolicy, policy_on
from . import methods
from .found import EVERYTHING, Found

__all__ = ["read"]


def read(app: Any) -> list[Found] | None:
    """Return the routes of an app or a router; None: it is neither."""
    routing = sys.modules["starlette.routing"]
    router = app if isinstance(app, routing.Router) else getattr(app, "router", None)
    if not isinstance(router, routing.Router):
        return None
    found = list(_walk(router.routes, "", None))
    handlers = getattr(app, "exception_handlers", None) or {}
    is_default = getattr(router.default, "__func__", None) is routing.Router.not_found
    # FastAPI keeps the files of a front end behind all other routes.
    is_fallback = bool(getattr(router, "_low_priority_routes", None))
    if 404 in handlers or not is_default or is_fallback:
        found.append(EVERYTHING)
    return found


def _walk(routes: Sequence[Any], prefix: str, outer: EdgePolicy | None) -> Iterator[Found]:
    routing = sys.modules["starlette.routing"]
    for route in _flat(routes):
        kind = getattr(route, "original_route", route)
        path: Any = getattr(route, "path", None)
        if isinstance(kind, routing.Mount):
            yield from _mounted(route.app, prefix + path, outer)
        elif isinstance(kind, routing.Host):
            for one in _inside(route.app, prefix, outer):  # of one host, and rules name none
                inexact = None if one.pattern is None else one.pattern._replace(is_exact=False)
                yield one._replace(pattern=inexact)
        elif isinstance(kind, routing.WebSocketRoute):
            policy = _policy(route.endpoint, outer)
            yield Found(from_template(prefix + path), prefix + path, (WEBSOCKET,), policy)
        elif isinstance(kind, routing.Route):
            yield from _route(route, prefix + path, outer)
        elif isinstance(path, str):
            yield Found(_below(prefix + path), prefix + path, policy=outer)
        else:
            yield Found(_below(prefix), prefix, policy=outer)


def _flat(routes: Sequence[Any]) -> Iterable[Any]:
    """Return the routes of included routers, too, where FastAPI keeps these as they are."""
    fastapi = sys.modules.get("fastapi.routing")
    expand = getattr(fastapi, "iter_route_contexts", None)
    found: Iterable[Any] = routes if expand is None else expand(routes)
    return found


def _route(route: Any, path: str, outer: EdgePolicy | None) -> Iterator[Found]:
    pattern = from_template(path)
    for method, policy in methods.of_class(route.endpoint):
        yield Found(pattern, path, (method,), policy.within(outer))
    every = tuple(sorted(route.methods or ()))
    yield Found(pattern, path, every, _policy(route.endpoint, outer), handler=route.endpoint)


def _mounted(app: Any, prefix: str, outer: EdgePolicy | None) -> Iterator[Found]:
    yield from _inside(app, prefix, outer, is_mount=True)


def _inside(
    app: Any, prefix: str, outer: EdgePolicy | None, *, is_mount: bool = False
) -> Iterator[Found]:
    """Yield the routes of an app inside; then what it does with all others."""
    from . import read_routes, unwrapped

    found: list[Found] | None = None
    for one in unwrapped(app):
        own = policy_on(one)
        outer = outer if own is None else own.within(outer)
        found = read_routes(one)
        if found is not None:
            break
    for one in found or ():
        policy = outer if one.policy is None else one.policy.within(outer)
        pattern = None if one.pattern is None else joined(prefix, one.pattern)
        yield one._replace(pattern=pattern, path=prefix + one.path, policy=policy)
    if is_mount or found is None:
        # Nobody else is asked for these paths.
        yield Found(_below(prefix), f"{prefix}/**", policy=outer, is_served=found is None)


def _below(prefix: str) -> Pattern | None:
    return from_template(f"{prefix.rstrip('/')}/{{rest:path}}")


def _policy(endpoint: Any, outer: EdgePolicy | None) -> EdgePolicy | None:
    own = policy_on(endpoint)
    return outer if own is None else own.within(outer)
