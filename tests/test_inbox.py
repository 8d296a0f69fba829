"""Marks of handlers, the table, and what a handler hears of its request."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest
from fastapi import APIRouter, FastAPI
from litestar import Litestar
from litestar import post as litestar_post
from starlette.applications import Starlette
from starlette.endpoints import HTTPEndpoint
from starlette.requests import Request  # noqa: TC002 - as in an app
from starlette.responses import Response
from starlette.routing import Mount, Route

from asgi_tunnel import Tunnel
from asgi_tunnel.cli import _parser
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.errors import ConfigError
from asgi_tunnel.inbox import Delivery, check_rules, delivery, inbox, rules_of
from asgi_tunnel.token import Token


async def plain(request: Request) -> Response:
    """A handler without a mark."""
    return Response()


@inbox
async def hook(request: Request) -> Response:
    """A marked one."""
    return Response()


def test_fastapi() -> None:
    """Above and below the route's decorator, and in a router."""
    app, router = FastAPI(), APIRouter()

    @app.post("/below")
    @inbox
    def below() -> None: ...

    @inbox
    @app.put("/above")
    def above() -> None: ...

    @app.post("/other")
    def other() -> None: ...

    @router.post("/in/{name}/x")
    @inbox
    def inner() -> None: ...

    app.include_router(router, prefix="/api")
    assert rules_of(app) == ("POST /below", "PUT /above", "POST /api/in/*")


def test_starlette() -> None:
    """Mounts, parameters, classes, and wrappers around the app."""

    @inbox
    class Whole(HTTPEndpoint):
        async def get(self, request: Request) -> Response:
            return Response()

        async def post(self, request: Request) -> Response:
            return Response()

    class Part(HTTPEndpoint):
        async def post(self, request: Request) -> Response:
            return Response()

        @inbox
        async def put(self, request: Request) -> Response:
            return Response()

    app = Starlette(
        routes=[
            Route("/plain", plain, methods=["POST"]),
            Mount("/hooks", routes=[Route("/a b", hook, methods=["GET", "POST", "PATCH"])]),
            Route("/get", hook),
            Route("/whole", Whole),
            Route("/part", Part),
        ]
    )
    rules = (
        "PATCH /hooks/a%20b",
        "POST /hooks/a%20b",
        "GET /get",
        "POST /whole",
        "PUT /part",
    )
    assert rules_of(app) == rules
    assert rules_of(Tunnel(app, enabled=False)) == rules


def test_litestar() -> None:
    """Both places of the decorator; Litestar copies its handlers."""

    @litestar_post("/below")
    @inbox
    async def below() -> None: ...

    @inbox
    @litestar_post("/above/{key:str}")
    async def above() -> None: ...

    @litestar_post("/other")
    async def other() -> None: ...

    assert set(rules_of(Litestar([below, above, other]))) == {"POST /below", "POST /above/*"}


DJANGO = """
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, SECRET_KEY="x")
import django
django.setup()
from django.core.asgi import get_asgi_application
from django.urls import include, path, re_path
from django.views import View
from django.views.decorators.csrf import csrf_exempt
from asgi_tunnel.inbox import inbox, rules_of
@csrf_exempt
@inbox
def hook(request, **more): ...
def plain(request): ...
@inbox
class Whole(View):
    def post(self, request): ...
inner = [path("stripe/", hook), path("<int:number>/x", hook), re_path(r"^re/(a|b)$", hook)]
urlpatterns = [path("plain", plain), path("hooks/", include(inner)), path("v", Whole.as_view())]
print(rules_of(get_asgi_application()))
"""


def test_django() -> None:
    """Functions and classes, in included tables too."""
    done = subprocess.run(
        [sys.executable, "-c", DJANGO], capture_output=True, text=True, check=True
    )
    rules = ("POST /hooks/stripe/", "POST /hooks/*", "POST /hooks/re/*", "POST /v")
    assert done.stdout == f"{rules}\n"


def test_an_app_that_cannot_be_read(caplog: pytest.LogCaptureFixture) -> None:
    """The tunnel opens, and the log says how to name the route."""

    class Broken:
        @property
        def routes(self) -> list[object]:
            raise RuntimeError("not now")

    async def unknown(scope: Any, receive: Any, send: Any) -> None: ...

    assert rules_of(Broken(), ["POST /x"]) == ("POST /x",)
    assert rules_of(unknown) == ()
    assert "its route is not found in the app; name it" in caplog.text


@pytest.mark.parametrize(
    ("text", "rule"),
    [
        ("POST /hooks/pay", "POST /hooks/pay"),
        (" /hooks/pay ", "POST /hooks/pay"),
        ("PUT /a/*", "PUT /a/*"),
        ("/\u00fc", "POST /%C3%BC"),
        ("GET /", "GET /"),
    ],
)
def test_rules(text: str, rule: str) -> None:
    """A method and a path; POST where none is named."""
    assert check_rules([text], setting="inbox") == (rule,)


@pytest.mark.parametrize("text", ["hooks", "post /x", "POST x", "POST /a/*/b", "POST /a b", ""])
def test_no_rules(text: str) -> None:
    """One sentence says what to write."""
    with pytest.raises(ConfigError, match="no method and path; write it like POST /hooks/stripe"):
        check_rules([text], setting="inbox")


def test_too_many_rules() -> None:
    """HELLO has room for so many."""
    with pytest.raises(ConfigError, match="more than 64 routes"):
        check_rules([f"/{number}" for number in range(65)], setting="inbox")
    with pytest.raises(ConfigError, match="4096 characters"):
        check_rules([f"/{number}{'x' * 200}" for number in range(30)], setting="inbox")


def test_settings() -> None:
    """The argument comes before the variable; the command has one for each rule."""
    token = Token(edge="ws://127.0.0.1:1", id="tok_1", secret="x" * 43).format()
    environ = {"ASGI_TUNNEL_TOKEN": token, "ASGI_TUNNEL_INBOX": "POST /a, /b/*"}
    config = TunnelConfig.from_env(environ)
    assert config is not None
    assert config.inbox == ("POST /a", "POST /b/*")
    config = TunnelConfig.from_env(environ, inbox=["/c"])
    assert config is not None
    assert config.inbox == ("POST /c",)
    options = _parser().parse_args(["run", "main:app", "--inbox", "/a", "--inbox", "PUT /b"])
    assert options.inbox == ["/a", "PUT /b"]


FIELDS = [
    (b"x-asgi-tunnel-inbox-id", b"0f"),
    (b"x-asgi-tunnel-inbox-received", b"1700000000"),
    (b"x-asgi-tunnel-inbox-attempt", b"2"),
]


def test_delivery() -> None:
    """Only of requests that came through the tunnel, to a marked route."""
    tunnelled = {"asgi_tunnel": {"request_id": "1"}}
    scope = {"headers": [(b"host", b"a"), *FIELDS], "extensions": tunnelled}
    assert delivery(scope) == Delivery("0f", 1_700_000_000.0, 2)
    assert delivery({"headers": FIELDS}) is None
    assert delivery({"headers": FIELDS, "extensions": {}}) is None
    assert delivery({"headers": FIELDS[:2], "extensions": tunnelled}) is None
