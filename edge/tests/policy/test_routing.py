"""What the edge holds, compared with the route that the framework itself chooses.

Made-up routes, some decorated, and made-up paths: whatever the framework serves with a decorated
route, the edge has held as that route wants, in every spelling.
"""

from __future__ import annotations

import contextlib
import random
import subprocess
import sys
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from litestar import Litestar, Request
from litestar import route as litestar_route
from litestar.exceptions import MethodNotAllowedException, NotFoundException
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


DJANGO = """
import random
from urllib.parse import unquote
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x")
import django
django.setup()
from django.urls import Resolver404, URLResolver, include, path, re_path
from django.urls.resolvers import RegexPattern
from asgi_tunnel.policy import edge
from asgi_tunnel.policy.collect import _rules_of_routes
from asgi_tunnel.policy.readers.django import walk
from asgi_tunnel.policy.rule import policy_on
from asgi_tunnel_edge.policy.matcher import AppPolicy

TEMPLATES = ["", "a", "a/", "b", "<str:x>", "<int:x>", "<slug:x>/", "a/<str:x>", "a/<str:x>/",
             "a/b", "a/v<str:x>", "<str:x>/b", "<path:x>", "a/<path:x>", "a/<path:x>/b"]
REGEXES = [r"^a/(?P<y>[0-9]+)/$", r"^a/(\\d+)$", r"^b/?$", r"^a", r"^(?P<z>[^/]+)/b$"]
SEGMENTS = ["a", "b", "A", "7", "v1", "", "%61", "a%2Fb", ".", "..", "a;x"]
numbers = iter(range(10**9))

def view(random_):
    def one(request, *_, **__): ...
    return edge(access=f"p{next(numbers)}")(one) if random_.random() < 0.5 else one

def table(random_, depth=0):
    found = []
    for _ in range(random_.randint(1, 5)):
        kind = random_.random()
        if kind < 0.15 and depth < 2:
            prefix = random_.choice(["a/", "b/", "<str:m>/", ""])
            found.append(path(prefix, include(table(random_, depth + 1))))
        elif kind < 0.3:
            found.append(re_path(random_.choice(REGEXES), view(random_)))
        else:
            found.append(path(random_.choice(TEMPLATES), view(random_)))
    return found

checked = 0
for seed in range(COUNT):
    random_ = random.Random(seed)
    patterns = table(random_)
    resolver = URLResolver(RegexPattern(r"^/"), patterns)
    unreadable = [one for one in walk(patterns, "/", None) if one.pattern is None and one.policy]
    if unreadable:
        continue
    rules = tuple(_rules_of_routes(list(walk(patterns, "/", None)), None))
    policy = AppPolicy(rules, (), token_id="tok")
    for _ in range(15):
        parts = [random_.choice(SEGMENTS) for _ in range(random_.randint(0, 4))]
        raw = "/" + "/".join(parts)
        try:
            found = policy_on(resolver.resolve(unquote(raw)).func)
        except Resolver404:
            continue
        if found is None:
            continue
        checked += 1
        match = policy.match(b"GET", raw.encode(), is_websocket=False)
        held = () if match is None else match.access
        assert found.access in held, (seed, raw, [str(one.pattern) for one in patterns], rules)
print(checked)
"""


def test_django(tmp_path: Path) -> None:
    """The same of Django's resolver, in a process of its own."""
    program = tmp_path / "routing.py"
    program.write_text(DJANGO.replace("COUNT", "1500"))
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, timeout=55, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    assert int(done.stdout) > 1000


LITESTAR_TEMPLATES = [
    "/",
    "/a",
    "/b",
    "/{x:str}",
    "/{x:int}",
    "/a/{x:str}",
    "/a/{x:int}",
    "/a/b",
    "/{x:str}/b",
    "/a/{x:path}",
    "/{x:path}",
    "/a/b/c",
]


def test_litestar() -> None:
    """The same of Litestar, which chooses by a tree in which parameters share their places."""
    checked = 0
    for seed in range(150):
        chance = random.Random(seed)
        handlers: list[Any] = []
        for number, template in enumerate(chance.sample(LITESTAR_TEMPLATES, chance.randint(1, 5))):
            methods = chance.choice([["GET"], ["POST"], ["GET", "POST"]])

            async def handle(request: Request[Any, Any, Any]) -> None: ...

            handler = litestar_route(template, http_method=methods, status_code=200)(handle)  # type: ignore[arg-type]
            if chance.random() < 0.5:
                handler = edge(access=f"p{number}")(handler)
            handlers.append(handler)
        app = Litestar(handlers, openapi_config=None)
        sent = collect(app)
        policy = AppPolicy(sent.rules, (), token_id="tok")
        for _ in range(20):
            parts = [chance.choice(SEGMENTS) for _ in range(chance.randint(0, 3))]
            path, method = "/" + "/".join(parts), chance.choice(["GET", "POST"])
            with contextlib.suppress(NotFoundException, MethodNotAllowedException):
                chosen_handler = app.asgi_router.handle_routing(unquote(path), method)[1]
                wanted = policy_on(chosen_handler.fn)  # where it is marked
                if wanted is None:
                    continue
                checked += 1
                match = policy.match(method.encode(), path.encode(), is_websocket=False)
                assert match is not None, (seed, path, sent.rules)
                assert wanted.access in match.access, (seed, path, sent.rules)
    assert checked > 100
