"""Who a visitor is, as an app asks it: typed, and from the scope alone."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import FrozenInstanceError
from typing import Any

import flask
import litestar
import pytest
import quart
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route
from starlette.websockets import WebSocket

from asgi_tunnel import Services, Visitor, visitor
from asgi_tunnel.testing import LocalEdge
from asgi_tunnel_edge.access.identity import Identity

ANNA = Visitor(
    subject="user:anna",
    name="Anna",
    email="anna@example.org",
    groups=("family", "operators"),
    method="passkey",
    since=1_790_000_000,
    policy="family",
)


async def app(scope: Any, receive: Any, send: Any) -> None:
    """Say who it is, and which extension there is."""
    assert scope["type"] == "http"
    found = visitor(scope)
    own = (scope.get("extensions") or {}).get("asgi_tunnel")
    said = json.dumps({"subject": None if found is None else found.subject, "own": own}).encode()
    length = (b"content-length", b"%d" % len(said))
    await send({"type": "http.response.start", "status": 200, "headers": [length]})
    await send({"type": "http.response.body", "body": said})


def scope_of(kind: str = "http", **own: Any) -> dict[str, Any]:
    """A scope as the driver makes it."""
    return {"type": kind, "headers": [], "extensions": {"asgi_tunnel": {"request_id": "r", **own}}}


KNOWN: dict[str, Any] = {"visitor": json.loads(ANNA.encode())}


def test_both_sides_write_the_same_line() -> None:
    """What the edge says and what a test says in its place is one form, down to the last byte."""
    values = {name: getattr(ANNA, name) for name in Identity._fields}
    assert ANNA.encode() == Identity(**values).encode()


def test_a_visitor_of_a_scope() -> None:
    """It is typed, cannot be changed, and is made anew for each question."""
    found = visitor(scope_of(**KNOWN))
    assert found == ANNA
    with pytest.raises(FrozenInstanceError):
        found.subject = "user:ben"  # type: ignore[misc]
    assert hash(found) == hash(ANNA)


class Carrier:
    """A request of a framework that keeps what it was made of."""

    def __init__(self, **given: Any) -> None:
        self.__dict__.update(given)


@pytest.mark.parametrize(
    "connection",
    [
        Request(scope_of(**KNOWN)),
        WebSocket(scope_of("websocket", **KNOWN), None, None),  # type: ignore[arg-type]
        Carrier(scope=scope_of(**KNOWN)),
        {"asgi_tunnel": KNOWN, "HTTP_HOST": "a"},
        Carrier(environ={"asgi_tunnel": KNOWN, "REQUEST_METHOD": "GET"}),
    ],
    ids=["Starlette", "WebSocket", "scope", "WSGI", "environ"],
)
def test_a_visitor_of_a_request(connection: Any) -> None:
    """A request is as good as its scope, or its environment."""
    assert visitor(connection) == ANNA


@pytest.mark.parametrize(
    "connection",
    [
        scope_of(),
        {"type": "http", "headers": []},
        {"type": "http", "headers": [], "extensions": None},
        {"type": "http", "headers": [], "extensions": {"http.response.trailers": {}}},
        {"type": "http", "headers": [(b":visitor", ANNA.encode()), (b"visitor", ANNA.encode())]},
        {"HTTP_ASGI_TUNNEL": KNOWN, "REMOTE_USER": "anna", "HTTP_REMOTE_USER": "anna"},
        Carrier(environ={}),
    ],
)
def test_nobody(connection: Any) -> None:
    """Without a door, and without a tunnel, nobody is known; fields do not count."""
    assert visitor(connection) is None


@pytest.mark.parametrize("connection", [None, 1, "anna", object(), Carrier(scope=1)])
def test_what_is_no_request(connection: Any) -> None:
    """A mistake is one sentence, and nobody's identity."""
    with pytest.raises(TypeError, match=r"visitor\(\) takes a scope, or a request that has one"):
        visitor(connection)


@pytest.mark.parametrize(
    ("known", "name"),
    [
        (ANNA, "Anna"),
        (Visitor(subject="link:1", email="a@example.org"), "a@example.org"),
        (Visitor(subject="link:1"), "link:1"),
    ],
)
def test_display_name(known: Visitor, name: str) -> None:
    """There is always something to call a visitor."""
    assert known.display_name == name


async def test_a_wsgi_app_is_told() -> None:
    """Behind the tunnel the environment says it, whatever fields are sent; without a door not."""
    site = flask.Flask(__name__)

    @site.get("/")
    def index() -> str:
        return say(flask.request)

    async with LocalEdge(Services({"*": site})) as edge:
        assert (await edge.get("/", visitor=ANNA)).text == "user:anna"
        fields = {"asgi-tunnel": ANNA.encode().decode(), "visitor": "anna"}
        assert (await edge.get("/", headers=fields)).text == "nobody"


def say(request: Any) -> str:
    """Say who it is, from a request of any framework."""
    found = visitor(request)
    return "nobody" if found is None else found.subject


def litestar_app() -> Any:
    """Litestar."""

    @litestar.get("/", media_type="text/plain")
    async def index(request: litestar.Request[Any, Any, Any]) -> str:
        return say(request)

    return litestar.Litestar([index])


def quart_app() -> Any:
    """Quart."""
    site = quart.Quart(__name__)

    @site.get("/")
    async def index() -> str:
        return say(quart.request)

    return site


def starlette_app() -> Any:
    """Starlette, below a mount."""

    async def index(request: Request) -> PlainTextResponse:
        return PlainTextResponse(say(request))

    return Starlette(routes=[Mount("/", Starlette(routes=[Route("/", index)]))])


@pytest.mark.parametrize("make", [litestar_app, quart_app, starlette_app])
async def test_requests_of_frameworks(make: Any) -> None:
    """Each one's own request is understood, also behind the table of services."""
    site = make()
    async with LocalEdge(site) as edge:
        assert (await edge.get("/", visitor=ANNA)).text == "user:anna"
        assert (await edge.get("/")).text == "nobody"
    async with LocalEdge(Services({"*": make()})) as edge:
        assert (await edge.get("/", visitor=ANNA)).text == "user:anna"


# -- a port of this machine ------------------------------------------------------------------


@asynccontextmanager
async def local_server(served: Any) -> AsyncIterator[int]:
    """The app on a port of uvicorn's, as it is beside a tunnel."""
    config = uvicorn.Config(served, port=0, log_level="critical", lifespan="off", ws="none")
    server = uvicorn.Server(config)
    task = asyncio.create_task(server._serve())
    while not server.started:
        assert not task.done()
        await asyncio.sleep(0.005)
    yield server.servers[0].sockets[0].getsockname()[1]
    server.should_exit = True
    await task


async def ask(port: int, *fields: bytes) -> tuple[int, bytes]:
    """Send a request with fields as they are; status and body of the response."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    lines = [b"GET / HTTP/1.1", b"Host: shop.example.test", *fields, b"Connection: close"]
    writer.write(b"\r\n".join([*lines, b"", b""]))
    head, _, body = (await reader.read()).partition(b"\r\n\r\n")
    writer.close()
    return int(head.split()[1]), body


async def test_a_local_client_is_nobody() -> None:
    """At a port of this machine there is no such key, whatever a client sends."""
    line = ANNA.encode()
    async with local_server(app) as port:
        for fields in (
            (),
            (b"Visitor: " + line,),
            (b"Asgi-Tunnel: " + line, b"Asgi_Tunnel: " + line, b"Asgi-Tunnel-Visitor: " + line),
            (b"Extensions: " + line, b"Remote-User: anna", b"X-Forwarded-User: anna"),
        ):
            status, body = await ask(port, *fields)
            assert (status, json.loads(body)) == (200, {"subject": None, "own": None})
        for name in (b":visitor", b":asgi_tunnel", b":extensions"):
            assert (await ask(port, name + b": " + line))[0] == 400
    async with LocalEdge(app, lifespan="off") as edge:
        assert (await edge.get("/", visitor=ANNA)).json()["subject"] == "user:anna"
