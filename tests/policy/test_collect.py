"""Rules read from real apps of each framework; what the edge makes of them is tested there."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI, WebSocket
from litestar import Controller, Litestar, Router, get, post
from litestar import WebSocket as LitestarWebSocket
from litestar import websocket as litestar_websocket
from litestar.params import FromPath  # noqa: TC002 - litestar reads annotations
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.middleware.cors import CORSMiddleware
from starlette.routing import Host, Mount, Route, WebSocketRoute
from starlette.routing import Router as StarletteRouter
from starlette.staticfiles import StaticFiles

from asgi_tunnel import Tunnel
from asgi_tunnel.errors import ConfigError
from asgi_tunnel.policy import edge, rule
from asgi_tunnel.policy.collect import _HTTP, collect
from asgi_tunnel.protocol.limits import MAX_POLICY_SIZE


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """What other tests have decorated is not missed here."""
    monkeypatch.setattr(rule, "_decorated", {0: ""})
    monkeypatch.setattr(rule, "_seen", {0})


async def plain(*_: Any) -> None:
    """A view that says nothing."""


@edge(rate="5/minute")
async def login(*_: Any) -> None:
    """A view with a rate."""


@edge(access="family")
class Admin(HTTPEndpoint):
    """A view that is a class, one of whose methods says more."""

    async def get(self, *_: Any) -> None:
        """Say nothing."""

    @edge(max_body="1KB")
    async def post(self, *_: Any) -> None:
        """Say more."""


def lines(app: Any, **options: Any) -> list[str]:
    """The rules that are sent, one line each."""
    found = []
    for one in collect(app, **options).rules:
        limits = {
            key: value
            for key, value in one.to_json().items()
            if key not in ("path", "methods", "per", "list")
        }
        methods = ",".join(one.methods) or "*"
        methods = methods.replace(",".join(_HTTP), "HTTP")
        found.append(" ".join([methods, one.path, *(f"{k}={v}" for k, v in limits.items())]))
    return found


def test_starlette(tmp_path: Path) -> None:
    """Methods, parameters, mounts, classes, WebSockets; what comes before is an exception."""
    inner = Starlette(routes=[Route("/x/{id:int}", login), Route("/y", plain)])
    app = Starlette(
        routes=[
            Route("/", plain),
            Route("/login", login, methods=["POST"]),
            Mount("/admin", routes=[Route("/me", Admin)]),
            Mount("/t/{tenant}", edge(access="ops")(inner)),
            Mount("/static", StaticFiles(directory=tmp_path)),
            Host("api.example.org", StarletteRouter([Route("/h", login)])),
            WebSocketRoute("/ws", login),
            Route("/f-{a}.json", login),
            Route("/{rest:path}", login),
        ]
    )
    expected = [
        "GET,HEAD /",
        "POST /login rate=5",
        "POST /admin/me max_body=1000 access=family",
        "* /admin/me access=family",
        "HTTP /admin/**",
        "GET /t/*/x/* rate=5 access=ops also=True",
        "GET /t/*/y access=ops",
        "* /t/*/** access=ops",
        "HTTP /static/**",
        "GET /h rate=5 also=True",
        "WEBSOCKET /ws rate=5",
        "GET /f-*.json rate=5",
        "GET /** rate=5",
    ]
    assert lines(app) == expected
    assert lines(CORSMiddleware(Tunnel(CORSMiddleware(app)))) == expected


def test_fastapi() -> None:
    """Above and below the route's decorator; routers in routers, with their prefixes."""
    app, router, outer = FastAPI(), APIRouter(prefix="/api"), APIRouter(prefix="/in")

    @edge(rate="1/s")
    @app.get("/above")
    def above() -> None: ...

    @app.get("/below/{item}")
    @edge(rate="2/s")
    def below(item: str) -> None: ...

    @router.post("/z")
    @edge(timeout=3)
    def inside() -> None: ...

    @outer.websocket("/w")
    @edge(timeout=4)
    async def socket(websocket: WebSocket) -> None: ...

    outer.include_router(router)
    app.include_router(outer, prefix="/pre")
    assert lines(app) == [
        "GET /above rate=1",
        "GET /below/* rate=2",
        "WEBSOCKET /pre/in/w timeout=4.0",
        "POST /pre/in/api/z timeout=3.0",
    ]
    assert {"/above", "/below/*", "/docs", "/openapi.json"} <= set(
        collect(app, sends_routes=True).routes
    )


def test_litestar() -> None:
    """Handlers above and below, controllers and routers; the most particular path comes first."""

    @edge(rate="1/s")
    @get("/above/{item:int}")
    async def above(item: FromPath[int]) -> str:
        return ""

    @post("/below")
    @edge(rate="2/s")
    async def below() -> None: ...

    @edge(access="ops")
    class Items(Controller):
        path = "/items"

        @get("/{item:str}")
        async def one(self, item: FromPath[str]) -> str:
            return ""

        @get("/special")
        @edge()
        async def special(self) -> str:
            return ""

    @litestar_websocket("/ws")
    @edge(timeout=4)
    async def socket(socket: LitestarWebSocket[Any, Any, Any]) -> None: ...

    app = Litestar(
        [above, below, socket, Router("/r", route_handlers=[Items])], openapi_config=None
    )
    found = lines(app)
    assert found.index("GET /r/items/special") < found.index("GET /r/items/* access=ops also=True")
    assert {
        "GET /above/* rate=1 also=True",
        "POST /below rate=2",
        "WEBSOCKET /ws timeout=4.0",
    } <= set(found)
    assert set(collect(app, sends_routes=True).routes) == {
        "/above/*",
        "/below",
        "/r/items/*",
        "/ws",
    }


DJANGO = """
import json, sys
from django.conf import settings
settings.configure(ROOT_URLCONF="__main__", MIDDLEWARE=[], STATIC_URL="/static/", SECRET_KEY="x",
                   ALLOWED_HOSTS=["*"])
import django
django.setup()
from django.core.asgi import get_asgi_application
from django.urls import include, path, re_path
from django.views import View
from asgi_tunnel.policy import edge, rule
from asgi_tunnel.policy.collect import _HTTP, collect

def plain(request, **_): ...
@edge(rate="5/minute")
def login(request, **_): ...
@edge(access="family")
class Admin(View):
    def get(self, request): ...
    @edge(max_body="1KB")
    def post(self, request): ...

urlpatterns = [
    path("", plain),
    path("accounts/login/", login),
    path("admin/", include([path("me/<int:pk>/", Admin.as_view()), path("<slug:x>/", plain)])),
    re_path(r"^articles/(?P<year>[0-9]{4})/$", login),
    re_path(r"^odd/(a|b)+$", login),
    re_path(r"^open/", plain),
    path("files/<path:name>", login),
]
sent = collect(get_asgi_application(), sends_routes=True)
print(json.dumps([[one.to_json() for one in sent.rules], sent.routes]))
"""


def test_django(tmp_path: Path) -> None:
    """In a process of its own, because there is one project in each."""
    program = tmp_path / "project.py"
    program.write_text(DJANGO)
    done = subprocess.run(
        [sys.executable, str(program)], capture_output=True, text=True, check=True, timeout=50
    )
    rules, routes = json.loads(done.stdout)
    rate, family = {"rate": 5, "per": 60.0}, {"access": "family", "also": True}
    assert rules == [
        {"path": "/accounts/login/", **rate},
        {"path": "/admin/me/*/", "methods": ["POST"], "max_body": 1000, **family},
        {"path": "/admin/me/*/", **family},
        {"path": "/articles/*/", **rate, "also": True},
        {"path": "/files/**", **rate},
    ]
    assert "cannot be told the path" in done.stderr
    assert "^odd/(a|b)+$" in done.stderr
    assert routes == ["/**"]  # of the pattern that is none


def test_a_table() -> None:
    """The most particular path first, before what is decorated; it needs no framework."""
    table = {
        "/**": edge(rate="9/s"),
        "/a/*": edge(max_body=2),
        "GET,PUT /a/b": edge(max_body=1),
        "/a/b": edge(),
        "/a/{name}/c": edge(max_body=3),
    }
    assert lines(Tunnel(plain, policy=table)) == [
        "GET,PUT /a/b max_body=1",
        "* /a/b",
        "* /a/* max_body=2",
        "* /a/*/c max_body=3",
        "* /** rate=9",
    ]


@pytest.mark.parametrize("key", ["", "a", "GET", "GET a", "/a//b", "/**/x", "G3T /x", "/a/../b"])
def test_keys_that_are_none(key: str) -> None:
    """Are an error when the tunnel is made, not when it opens."""
    with pytest.raises(ConfigError, match="policy"):
        Tunnel(plain, policy={key: edge(rate="1/s")})
    with pytest.raises(ConfigError, match="has no edge"):
        Tunnel(plain, policy={"/x": "5/minute"})  # type: ignore[dict-item]


def test_a_whole_app() -> None:
    """What decorates the app holds where a route says nothing."""
    app = edge(rate="9/s", access="all")(
        Starlette(routes=[Route("/", plain), Route("/login", login, methods=["POST"])])
    )
    assert lines(app) == ["POST /login rate=5 access=all", "* /** rate=9 access=all"]


def test_a_tunnel_inside() -> None:
    """The paths are those of visitors; a wrapper that hides what it wraps is looked through."""
    inner = Tunnel(Starlette(routes=[Route("/login", login)]), policy={"/table": edge(rate="2/s")})
    outer = Starlette(routes=[Mount("/shop", inner)])
    assert lines(outer, inner=inner) == ["* /table rate=2", "GET /shop/login rate=5"]

    async def hides(scope: Any, receive: Any, send: Any) -> None:
        await inner(scope, receive, send)

    assert lines(hides, inner=inner) == ["* /table rate=2", "GET /login rate=5"]
    added = FastAPI()
    added.get("/login")(login)
    added.add_middleware(Tunnel, policy={"/table": edge(rate="2/s")})
    stack = added.build_middleware_stack()
    layer: Any = stack
    while not isinstance(layer, Tunnel):
        layer = layer.app
    assert lines(added, inner=layer) == ["* /table rate=2", "GET /login rate=5"]
    assert lines(layer) == lines(added, inner=layer)


def test_too_much() -> None:
    """Is one sentence with the numbers, and no tunnel."""
    many = {f"/{n}": edge(rate="1/s") for n in range(129)}
    with pytest.raises(ConfigError, match="policy has 129 rules, and 128 is the most; put one"):
        collect(Tunnel(plain, policy=many))
    long = {f"/{n}{'x' * 200}": edge(rate="1/s") for n in range(50)}
    with pytest.raises(ConfigError, match=f"bytes, and {MAX_POLICY_SIZE} is the most"):
        collect(Tunnel(plain, policy=long))


def test_routes_of_an_app_that_cannot_be_read() -> None:
    """Are an error: the edge would refuse everything, or nothing."""
    with pytest.raises(ConfigError, match="routes cannot be read from function"):
        collect(Tunnel(plain, routes=True))


def test_routes_that_fit_everything(tmp_path: Path) -> None:
    """A handler for 404, a default of one's own and a catch-all may serve any path."""
    routes = [Route("/a", plain)]
    assert collect(Starlette(routes=routes), sends_routes=True).routes == ("/a",)
    own = Starlette(routes=routes, exception_handlers={404: plain})
    assert collect(own, sends_routes=True).routes == ("/**",)
    default = StarletteRouter(routes, default=plain)
    assert collect(default, sends_routes=True).routes == ("/**",)
    mounted = Starlette(routes=[*routes, Mount("/files", StaticFiles(directory=tmp_path))])
    assert collect(mounted, sends_routes=True).routes == ("/a", "/files/**")


def test_a_decorator_behind_no_route(caplog: pytest.LogCaptureFixture) -> None:
    """Is a line of the log: it limits nothing."""

    @edge(rate="1/s")
    async def forgotten(*_: Any) -> None: ...

    with caplog.at_level(logging.WARNING, "asgi_tunnel.policy"):
        collect(Starlette(routes=[Route("/a", plain)]))
    assert any("forgotten limits nothing" in one.message for one in caplog.records)
