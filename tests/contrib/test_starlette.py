from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest
from starlette.applications import Starlette
from starlette.authentication import requires
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.testclient import TestClient

from asgi_tunnel.contrib.starlette import VisitorBackend, VisitorUser
from asgi_tunnel.testing import LocalEdge, Visitor

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.websockets import WebSocket

ANNA = Visitor(subject="user:anna", name="Anna", groups=("family",))
BEN = Visitor(subject="oidc:google:1042", email="ben@example.org")


async def who(request: Request) -> JSONResponse:
    """Say who it is."""
    user = request.user
    return JSONResponse([user.is_authenticated, user.display_name, request.auth.scopes])


@requires("authenticated")
async def known(request: Request) -> JSONResponse:
    """Only for those who are known."""
    assert isinstance(request.user, VisitorUser)
    return JSONResponse([request.user.identity, request.user.visitor.email])


@requires("family")
async def family(request: Request) -> JSONResponse:
    """Only for a group."""
    return JSONResponse("come in")


async def chat(socket: WebSocket) -> None:
    """Say who it is."""
    await socket.accept()
    await socket.send_text(socket.user.display_name)
    await socket.close()


app = Starlette(
    routes=[
        Route("/", who),
        Route("/known", known),
        Route("/family", family),
        WebSocketRoute("/chat", chat),
    ],
    middleware=[Middleware(AuthenticationMiddleware, backend=VisitorBackend())],
)


@pytest.mark.parametrize(
    ("visitor", "said"),
    [
        (None, [False, "", []]),
        (ANNA, [True, "Anna", ["authenticated", "family"]]),
        (BEN, [True, "ben@example.org", ["authenticated"]]),
    ],
)
async def test_user_and_scopes(visitor: Visitor | None, said: list[Any]) -> None:
    """The user is the visitor, and each group is a scope; without one nobody is signed in."""
    async with LocalEdge(app) as edge:
        assert (await edge.get("/", visitor=visitor)).json() == said


async def test_requires() -> None:
    """Starlette's own decorator lets in who is known, and who is in a group."""
    async with LocalEdge(app) as edge:
        for visitor, statuses in ((None, [403, 403]), (BEN, [200, 403]), (ANNA, [200, 200])):
            asked = [await edge.get(path, visitor=visitor) for path in ("/known", "/family")]
            assert [one.status for one in asked] == statuses
        assert (await edge.get("/known", visitor=BEN)).json() == [
            "oidc:google:1042",
            "ben@example.org",
        ]


async def test_a_websocket() -> None:
    """A WebSocket has a user, too."""
    async with LocalEdge(app) as edge, edge.websocket("/chat", visitor=ANNA) as socket:
        assert await socket.receive() == "Anna"


def test_without_a_tunnel_nobody_is_signed_in() -> None:
    """At a port of this machine no field says who it is."""
    fields = {"remote-user": "anna", "x-forwarded-user": "anna", "visitor": "user:anna"}
    with TestClient(app, headers=fields) as client:
        assert client.get("/").json() == [False, "", []]
        assert client.get("/known").status_code == 403
