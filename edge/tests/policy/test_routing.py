"""What the edge holds, compared with the route that the framework itself chooses.

Made-up routes, some decorated, and made-up paths: whatever the framework serves with a decorated
route, the edge has held as that route wants, in every spelling.
"""

from __future__ import annotations

from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from starlette.applications import Starlette
from starlette.routing import BaseRoute, Match, Mount, Route, Router, WebSocketRoute

from asgi_tunnel.policy import edge, rule
from asgi_tunnel.policy.collect import collect
from asgi_tunnel.policy.rule import policy_on
from asgi_tunnel_edge.policy.matcher import AppPolicy

TEMPLATES = [
    "/",
    "/a",
    "/a/",
    "/b",
    "/{x}",
    "/{x:int}",
    "/a/{x}",
    "/a/{x}/",
    "/a/{x:int}",
    "/a/b",
    "/a/v{x}",
    "/{x}/b",
    "/{x}/{y}",
    "/{x:path}",
    "/a/{x:path}",
    "/a-{x}/b",
]
SEGMENTS = ["a", "b", "A", "7", "v1", "a-1", "", "%61", "%2561", "a%2Fb", ".", "..", "a;x", "%62"]
METHODS = [None, ["GET"], ["POST"], ["GET", "POST"]]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have decorated is not missed here."""
    monkeypatch.setattr(rule, "_decorated", {0: ""})
    monkeypatch.setattr(rule, "_seen", {0})


def endpoint(name: str | None) -> Any:
    """A view, decorated with a policy of its own where it has a name."""

    async def view(*_: Any) -> None: ...

    return view if name is None else edge(access=name)(view)


@st.composite
def tables(draw: st.DrawFn, depth: int = 0) -> list[BaseRoute]:
    """Some routes, in some order; a third of them decorated."""
    routes: list[BaseRoute] = []
    for number in range(draw(st.integers(1, 5))):
        name = draw(st.sampled_from([None, None, f"p{depth}{number}"]))
        template = draw(st.sampled_from(TEMPLATES))
        kind = draw(
            st.sampled_from(["route", "route", "websocket", "mount" if not depth else "route"])
        )
        if kind == "websocket":
            routes.append(WebSocketRoute(template, endpoint(name)))
        elif kind == "mount":
            app: Any = Router(draw(tables(depth=1)))
            prefix = draw(st.sampled_from(["/a", "/b", "/{m}"]))
            routes.append(Mount(prefix, edge(access=name)(app) if name else app))
        else:
            methods = draw(st.sampled_from(METHODS))
            routes.append(Route(template, endpoint(name), methods=methods))
    return routes


def chosen(routes: list[BaseRoute], scope: dict[str, Any]) -> set[str]:
    """The policies of the route that Starlette serves a request with, and of mounts around it."""
    for route in routes:
        match, child = route.matches(scope)
        if match is not Match.FULL:
            continue
        if isinstance(route, Mount):
            own = policy_on(route.app)
            inner = chosen(route.routes, {**scope, **child})
            # A route's own policy is what holds; the mount's where it says nothing.
            return inner or ({own.access} if own is not None and own.access else set())
        found = policy_on(child["endpoint"])
        return {found.access} if found is not None and found.access else set()
    return set()


@settings(
    max_examples=400,
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
@given(
    routes=tables(),
    paths=st.lists(
        st.lists(st.sampled_from(SEGMENTS), max_size=4).map(lambda parts: "/" + "/".join(parts)),
        min_size=5,
        max_size=15,
    ),
    method=st.sampled_from(["GET", "HEAD", "POST", "PUT", "WEBSOCKET"]),
)
def test_starlette(routes: list[BaseRoute], paths: list[str], method: str) -> None:
    """T110: the edge holds at least what the route that is served wants."""
    sent = collect(Starlette(routes=routes))
    policy = AppPolicy(sent.rules, (), token_id="tok")
    is_websocket = method == "WEBSOCKET"
    for path in paths:
        scope: dict[str, Any] = {
            "type": "websocket" if is_websocket else "http",
            "method": "GET" if is_websocket else method,
            "path": unquote(path),
            "root_path": "",
            "headers": [],
            "path_params": {},
        }
        wanted = chosen(routes, scope)
        match = policy.match(scope["method"].encode(), path.encode(), is_websocket=is_websocket)
        held = set() if match is None else set(match.access)
        assert wanted <= held, (path, [getattr(one, "path", None) for one in routes], sent.rules)
