"""Rules from the code of real apps, held by a real edge, as a visitor's HTTP client sees them."""

from __future__ import annotations

import http.client
import json
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
from tests.e2e.harness import (
    Edge,
    Process,
    Token,
    allowed,
    running_app,
    running_edge,
    wait_until,
)

pytestmark = pytest.mark.e2e

HANDSHAKE = {
    "Upgrade": "websocket",
    "Connection": "Upgrade",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "MDEyMzQ1Njc4OWFiY2RlZg==",
}

STARLETTE = """
import asyncio
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route, WebSocketRoute
from starlette.staticfiles import StaticFiles
from asgi_tunnel import Tunnel
from asgi_tunnel.policy import BanError, allow, ban, edge

async def answer(request):
    await request.body()
    return PlainTextResponse("app")

@edge(rate="3/hour")
async def login(request):
    return PlainTextResponse("app")

@edge(access="family")
async def admin(request):
    return PlainTextResponse("the admin page")

@edge(max_body="1KB")
async def upload(request):
    return PlainTextResponse(str(len(await request.body())))

@edge(timeout=0.5)
async def slow(request):
    await asyncio.sleep(30)

@edge(rate="1/hour")
async def echo(websocket):
    await websocket.accept()
    await websocket.close()

async def punish(request):
    try:
        await ban(request.query_params.get("who") or request, for_=600, reason="a test")
    except BanError as error:
        return PlainTextResponse(error.code)
    return PlainTextResponse("banned")

async def forgive(request):
    await allow(request.query_params["who"])
    return PlainTextResponse("allowed")

inner = Starlette(routes=[Route("/{id:int}", answer)])
routes = [
    Route("/", answer), Route("/login", login, methods=["POST"]), Route("/login", answer),
    Route("/admin", admin), Route("/admin/users/{name}", admin), Route("/public", answer),
    Route("/upload", upload, methods=["POST"]), Route("/slow", slow),
    WebSocketRoute("/ws", echo), Route("/ban", punish), Route("/allow", forgive),
    Mount("/items", inner), Mount("/static", StaticFiles(directory=".")),
]
app = Tunnel(Starlette(routes=routes), policy={"/table/**": edge(rate="1/hour")})
listed = Tunnel(Starlette(routes=routes[:-3] + [Mount("/items", inner)]), routes=True)
anything = Tunnel(Starlette(routes=[Route("/{path:path}", answer)]), routes=True)
"""

GUARDS = 'exempt = ["127.0.0.1/32"]'


@dataclass
class World:
    """An edge, and an app of a token."""

    edge: Edge
    token: Token
    app: Process

    def ask(
        self,
        path: str,
        *,
        method: str = "GET",
        address: str = "127.0.0.2",
        body: bytes | Iterator[bytes] | None = None,
        host: str | None = None,
        headers: dict[str, str] | None = None,
    ) -> tuple[int, str, str]:
        """Status, reason and body of a response, over a connection of its own."""
        return visit(
            self.edge,
            path,
            host=host or self.token.hostnames[0],
            method=method,
            address=address,
            body=body,
            headers=headers,
        )


def visit(
    edge: Edge,
    path: str,
    *,
    host: str,
    method: str = "GET",
    address: str = "127.0.0.2",
    body: bytes | Iterator[bytes] | None = None,
    headers: dict[str, str] | None = None,
) -> tuple[int, str, str]:
    """Status, the edge's reason and body of a response."""
    with closing(
        http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20, source_address=(address, 0))
    ) as one:
        one.putrequest(method, path, skip_host=True)  # the path goes out byte for byte
        one.putheader("Host", host)
        for name, value in (headers or {}).items():
            one.putheader(name, value)
        if isinstance(body, bytes):
            one.putheader("Content-Length", str(len(body)))
        elif body is not None:
            one.putheader("Transfer-Encoding", "chunked")
        one.endheaders(body, encode_chunked=not isinstance(body, bytes | None))
        response = one.getresponse()
        reason = response.headers.get("x-asgi-tunnel-reason", "")
        return response.status, reason, "" if response.status == 101 else response.read().decode()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all tests of this file."""
    folder = tmp_path_factory.mktemp("policy")
    with running_edge(folder, guards=GUARDS, limits="max_body = 5000\nhold_timeout = 2.0") as one:
        yield one
        assert "Traceback" not in one.running.output


@contextmanager
def serving(edge: Edge, folder: Path, name: str, app: str) -> Iterator[World]:
    """An app under ``asgi-tunnel run`` with a token of its own."""
    token = edge.create_token(name)
    with running_app(folder, token, app) as process:
        yield World(edge, token, process)


@pytest.fixture(scope="module")
def world(edge: Edge, tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """A Starlette app with most kinds of rules; each test has addresses of its own."""
    folder = tmp_path_factory.mktemp("starlette")
    (folder / "starlette_app.py").write_text(STARLETTE)
    with serving(edge, folder, "shop", "starlette_app:app") as one:
        yield one


def test_a_rate_of_one_route(world: World) -> None:
    """Of one visitor, of one method; not of its neighbour, nor of another method or route."""
    visits = [world.ask("/login", method="POST", address="127.0.0.10") for _ in range(5)]
    assert [status for status, _, _ in visits] == [200, 200, 200, 429, 429]
    assert visits[-1][1] == "rate-limited"
    assert world.ask("/login", address="127.0.0.10")[0] == 200
    assert world.ask("/", address="127.0.0.10")[0] == 200
    assert world.ask("/login", method="POST", address="127.0.0.11")[0] == 200
    assert [world.ask("/login", method="POST", address="127.0.0.1")[0] for _ in range(5)] == [
        200
    ] * 5  # exempt


def test_a_rate_of_a_websocket_and_of_a_path_of_the_table(world: World) -> None:
    """A handshake counts; a path of the table needs no route."""
    statuses = [world.ask("/ws", headers=HANDSHAKE, address="127.0.0.12")[0] for _ in range(2)]
    assert statuses == [101, 429]
    assert [world.ask("/table/x", address="127.0.0.12")[0] for _ in range(2)] == [404, 429]


def test_a_size_of_one_route(world: World) -> None:
    """Announced or in chunks; the edge's own bound is stricter for nobody else."""
    assert world.ask("/upload", method="POST", body=b"x" * 1000)[2] == "1000"
    assert world.ask("/upload", method="POST", body=b"x" * 1001)[0] == 413
    assert world.ask("/upload", method="POST", body=iter([b"x" * 600] * 2))[0] == 413
    assert world.ask("/public", method="POST", body=b"x" * 2000)[0] == 405
    assert world.ask("/public", method="POST", body=b"x" * 5001)[0] == 413


def test_a_time_of_one_route(world: World) -> None:
    """A handler that takes too long is 504."""
    began = time.monotonic()
    assert world.ask("/slow")[:2] == (504, "app-timeout")
    assert time.monotonic() - began < allowed(3.0, began)


SPELLINGS = [
    "/admin",
    "/admin/",
    "/admin?x=1",
    "/admin?",
    "//admin",
    "/./admin",
    "/.//admin",
    "/public/../admin",
    "/public/%2e%2e/admin",
    "/public/.%2e/admin",
    "/public/..%2fadmin",
    "/public%2f..%2fadmin",
    "/%61dmin",
    "/%61%64%6d%69%6e",
    "/%2561dmin",
    "/%252561dmin",
    "/%2fadmin",
    "/%2Fadmin",
    "/ADMIN",
    "/aDmin",
    "/admin;x=1",
    "/;x/admin",
    "/public;/../admin",
    "/public/..;/admin",
    "/admin%00",
    "/admin%00.png",
    "/admin%20",
    "/admin%09",
    "/admin%3fx",
    "/admin%23x",
    "/admin/.",
    "/admin/public/..",
    "/public\\..\\admin",
    "/%5cadmin",
    "/public/..%5cadmin",
    "/admin/users/%2e%2e/users/x",
    "/admin%2fusers%2fx",
]


@pytest.mark.parametrize("path", SPELLINGS)
def test_no_spelling_gets_past_a_rule(world: World, path: str) -> None:
    """Whatever may mean /admin to some app is held as /admin, in each method."""
    for method in ("GET", "HEAD"):
        status, reason, body = world.ask(path, method=method, address="127.0.0.13")
        assert (status, reason) == (503, "access-unknown"), body


def test_other_ways_to_ask(world: World) -> None:
    """In absolute form, by HTTP/1.0, as a WebSocket, with fields that name another path."""
    host = world.token.hostnames[0]
    assert world.ask(f"http://{host}/admin")[1] == "access-unknown"
    assert world.ask(f"http://{host}//admin")[1] == "access-unknown"
    assert world.ask("/admin", headers=HANDSHAKE)[1] == "access-unknown"
    fields = {"X-Original-URL": "/public", "X-Rewrite-URL": "/public", "X-HTTP-Method": "PUT"}
    assert world.ask("/admin", headers=fields)[1] == "access-unknown"
    for path in ("/administrator", "/public", "/public/", "/adm%69"):
        assert world.ask(path)[1] != "access-unknown"


def test_the_app_is_told_what_does_not_hold(world: World) -> None:
    """A login that edge.toml does not have is a line of its log; commands show all rules."""
    world.app.wait_for("/admin: edge.toml has no [access.family]")
    shown = world.edge.command("tunnel", "show", "shop")
    assert "POST /login: 3 requests in 3600 s" in shown
    assert "/table/**: 1 request in 3600 s" in shown
    (first, *_) = json.loads(world.edge.command("tunnel", "show", "shop", "--json"))
    assert {"path": "/slow", "methods": ["GET"], "timeout": 0.5} in first["policy"]["rules"]


def test_a_ban_holds_at_once_and_for_this_app_alone(world: World, tmp_path: Path) -> None:
    """By the request itself; it is in the list, outlives the edge, and one call ends it."""
    address = "127.0.0.20"
    assert world.ask("/", address=address)[0] == 200
    began = time.monotonic()
    assert world.ask("/ban", address=address)[2] == "banned"
    assert world.ask("/", address=address)[:2] == (403, "banned")
    assert time.monotonic() - began < allowed(1.0, began)
    assert world.ask("/", address="127.0.0.21")[0] == 200
    other = world.edge.create_token("neighbour")
    assert visit(world.edge, "/", host=other.hostnames[0], address=address)[0] == 503

    def listed() -> list[dict[str, str]]:
        rows = json.loads(world.edge.command("ban", "list", "--json"))
        return [row for row in rows if row["address"] == address]

    wait_until(listed, what="the ban is in the list")
    (row,) = listed()
    assert (row["by"], row["owner"], row["reason"]) == ("app", "shop", "a test")
    world.edge.stop()
    world.edge.start()
    wait_until(lambda: world.ask("/", address="127.0.0.1")[0] == 200, what="the app is back")
    assert world.ask("/", address=address)[:2] == (403, "banned")
    assert world.ask(f"/allow?who={address}", address="127.0.0.21")[2] == "allowed"
    assert world.ask("/", address=address)[0] == 200
    wait_until(lambda: not listed(), what="the ban is gone from the store")
    assert world.ask("/", address=address)[0] == 200


def test_a_ban_that_the_operator_takes_back(world: World) -> None:
    """`ban rm` ends an app's ban, too."""
    address = "127.0.0.24"
    assert world.ask("/ban", address=address)[2] == "banned"
    wait_until(lambda: address in world.edge.command("ban", "list"), what="the ban is listed")
    world.edge.command("ban", "rm", address)
    wait_until(lambda: world.ask("/", address=address)[0] == 200, what="served again")


@pytest.mark.parametrize(
    ("who", "code"),
    [
        ("127.0.0.1", "exempt"),
        ("127.0.0.0/16", "exempt"),
        ("0.0.0.0/0", "address"),
        ("x", "address"),
    ],
)
def test_bans_that_are_refused(world: World, who: str, code: str) -> None:
    """Exempt networks, half of the internet, and what is no address."""
    assert world.ask(f"/ban?who={who}")[2] == code


def test_an_edge_that_starts_anew_lets_nobody_past(world: World) -> None:
    """T110: who waits for the app while the edge does not know its rules yet is judged then."""
    world.edge.stop()
    world.edge.start()
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda _: world.ask("/admin", address="127.0.0.14"), range(8)))
    assert {reason for _, reason, _ in found} <= {"access-unknown", "offline"}
    wait_until(lambda: world.ask("/", address="127.0.0.14")[0] == 200, what="the app is back")
    assert world.ask("/admin", address="127.0.0.14")[1] == "access-unknown"


def test_paths_that_no_route_has(edge: Edge, tmp_path: Path) -> None:
    """With routes=True the edge says 404 itself; mounts, slashes and methods are the app's."""
    (tmp_path / "listed_app.py").write_text(STARLETTE)
    (tmp_path / "file.txt").write_text("file")
    with serving(edge, tmp_path, "listed", "listed_app:listed") as world:
        for path in ("/nothing", "/items/x/y", "/login/x", "/ADMINS", "/public/../nothing"):
            assert world.ask(path)[:2] == (404, "unknown-path"), path
        assert world.ask("/", method="HEAD")[0] == 200
        assert world.ask("/public", method="OPTIONS")[:2] == (405, "")
        assert world.ask("/public/")[:2] == (307, "")  # redirect_slashes
        assert world.ask("/items/1")[2] == "app"
        assert world.ask("/items/x")[:2] == (404, "")  # of the mounted app
    (tmp_path / "catch.py").write_text(STARLETTE)
    with serving(edge, tmp_path, "catch", "catch:anything") as world:
        assert world.ask("/whatever/there/is")[2] == "app"


def test_the_rules_hold_while_the_app_is_away_and_follow_the_newest(
    edge: Edge, tmp_path: Path
) -> None:
    """A rate goes on over a restart; a new version of the app brings other rules."""
    text = (
        "from asgi_tunnel import Tunnel\n"
        "from asgi_tunnel.policy import edge\n"
        "async def plain(scope, receive, send):\n"
        "    if scope['type'] != 'http': raise NotImplementedError\n"
        "    start = {'type': 'http.response.start', 'status': 200, 'headers': []}\n"
        "    await send(start)\n"
        "    await send({'type': 'http.response.body', 'body': b'app'})\n"
        "app = Tunnel(plain, policy={'/once': edge(rate='1/hour')})\n"
        "bare = plain\n"
    )
    (tmp_path / "versions.py").write_text(text)
    token = edge.create_token("versions")
    with running_app(tmp_path, token, "versions:app") as first:
        world = World(edge, token, first)
        assert [world.ask("/once")[0] for _ in range(2)] == [200, 429]
        first.stop()
        assert world.ask("/once")[0] == 429
    with running_app(tmp_path, token, "versions:app") as second:
        world = World(edge, token, second)
        assert world.ask("/once")[0] == 429
        with running_app(tmp_path, token, "versions:bare"):
            assert [world.ask("/once")[0] for _ in range(3)] == [200] * 3
