"""One set of rules, written as each framework has it, behind one real edge.

A visitor cannot tell which framework it was: the same requests get the same replies.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tests.e2e.harness import Edge, running_app, running_edge

from .test_e2e import GUARDS, World

pytestmark = pytest.mark.e2e

FASTAPI = """
from fastapi import APIRouter, FastAPI, Request
from fastapi.responses import PlainTextResponse
from asgi_tunnel.policy import ban, edge

app, router = FastAPI(), APIRouter(prefix="/admin")

@app.post("/login")
@edge(rate="2/hour")
async def login():
    return PlainTextResponse("app")

@edge(max_body="1KB")
@app.post("/upload/{name}")
async def upload(name: str, request: Request):
    return PlainTextResponse(str(len(await request.body())))

@app.get("/public")
def public():
    return PlainTextResponse("app")

@router.get("/users/{number:int}")
@edge(access="family")
def user(number: int):
    return PlainTextResponse("admin")

@app.get("/ban")
async def punish(request: Request):
    await ban(request, for_=60)
    return PlainTextResponse("banned")

app.include_router(router)
"""

LITESTAR = """
from litestar import Controller, Litestar, MediaType, Request, get, post
from litestar.params import FromPath
from asgi_tunnel.policy import ban, edge

TEXT = MediaType.TEXT

@edge(rate="2/hour")
@post("/login", media_type=TEXT, status_code=200)
async def login() -> str:
    return "app"

@post("/upload/{name:str}", media_type=TEXT, status_code=200)
@edge(max_body="1KB")
async def upload(name: FromPath[str], request: Request) -> str:
    return str(len(await request.body()))

@get("/public", media_type=TEXT)
async def public() -> str:
    return "app"

@edge(access="family")
class Admin(Controller):
    path = "/admin"

    @get("/users/{number:int}", media_type=TEXT)
    async def user(self, number: FromPath[int]) -> str:
        return "admin"

@get("/ban", media_type=TEXT)
async def punish(request: Request) -> str:
    await ban(request, for_=60)
    return "banned"

app = Litestar([login, upload, public, Admin, punish])
"""

DJANGO = """
from django.conf import settings
settings.configure(ROOT_URLCONF=__name__, MIDDLEWARE=[], SECRET_KEY="x", ALLOWED_HOSTS=["*"])
import django
django.setup()
from asgiref.sync import async_to_sync
from django.core.asgi import get_asgi_application
from django.http import HttpResponse
from django.urls import include, path
from django.views import View
from asgi_tunnel.policy import ban, edge

@edge(rate="2/hour")
def login(request):
    return HttpResponse("app")

@edge(max_body="1KB")
async def upload(request, name):
    return HttpResponse(str(len(request.body)))

def public(request):
    return HttpResponse("app")

@edge(access="family")
class User(View):
    def get(self, request, number):
        return HttpResponse("admin")

def punish(request):
    async_to_sync(ban)(request, for_=60)
    return HttpResponse("banned")

urlpatterns = [
    path("login", login), path("upload/<str:name>", upload), path("public", public),
    path("admin/", include([path("users/<int:number>", User.as_view())])), path("ban", punish),
]
app = get_asgi_application()
"""

TABLE = """
from asgi_tunnel import Tunnel
from asgi_tunnel.policy import ban, edge

async def plain(scope, receive, send):
    if scope["type"] != "http":
        raise NotImplementedError
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    text = b"app"
    if scope["path"].startswith("/upload"):
        text = str(len(body)).encode()
    elif scope["path"].startswith("/admin"):
        text = b"admin"
    elif scope["path"] == "/ban":
        await ban(scope, for_=60)
        text = b"banned"
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})

app = Tunnel(plain, policy={
    "POST /login": edge(rate="2/hour"),
    "POST /upload/*": edge(max_body="1KB"),
    "/admin/users/{number}": edge(access="family"),
})
"""

SOURCES = {"fastapi": FASTAPI, "litestar": LITESTAR, "django": DJANGO, "table": TABLE}


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all apps."""
    with running_edge(tmp_path_factory.mktemp("frameworks"), guards=GUARDS) as one:
        yield one
        assert "Traceback" not in one.running.output


@pytest.mark.parametrize("name", SOURCES)
def test_rules_of_a_framework(edge: Edge, tmp_path: Path, name: str) -> None:
    """A rate, a size, a login and a ban, each held by the edge."""
    (tmp_path / f"{name}_policy.py").write_text(SOURCES[name])
    token = edge.create_token(name)
    with running_app(tmp_path, token, f"{name}_policy:app") as process:
        world = World(edge, token, process)
        assert [world.ask("/login", method="POST")[0] for _ in range(3)] == [200, 200, 429]
        assert world.ask("/login", method="POST", address="127.0.0.3")[0] == 200
        assert world.ask("/upload/x", method="POST", body=b"x" * 1000)[2] == "1000"
        assert world.ask("/upload/x", method="POST", body=b"x" * 1001)[:2] == (
            413,
            "body-too-large",
        )
        for path in ("/admin/users/1", "/admin/users/%31", "//admin/users/1", "/Admin/users/1/"):
            assert world.ask(path)[:2] == (503, "access-unknown"), path
        assert world.ask("/public")[2] == "app"
        assert world.ask("/ban", address="127.0.0.4")[2] == "banned"
        assert world.ask("/public", address="127.0.0.4")[:2] == (403, "banned")
        assert world.ask("/public")[2] == "app"
        shown = edge.command("tunnel", "show", name)
        assert "POST /login: 2 requests in 3600 s" in shown or "/login: 2 requests" in shown
        assert "access family" in shown
        assert "Traceback" not in process.output
