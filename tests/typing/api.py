"""The public API as a user would write it. mypy reads this file; nobody runs it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, assert_type

from fastapi import Depends, FastAPI, Request
from litestar import Litestar
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.middleware.authentication import AuthenticationMiddleware

import asgi_tunnel
from asgi_tunnel import (
    AuthenticationError,
    ClientDisconnectedError,
    ConfigError,
    HandshakeError,
    Services,
    Share,
    StreamResetError,
    Tunnel,
    TunnelConfig,
    TunnelError,
    TunnelMiddleware,
    Visitor,
    visitor,
)
from asgi_tunnel.contrib.fastapi import CurrentVisitor, OptionalVisitor, require_group
from asgi_tunnel.contrib.litestar import TunnelPlugin
from asgi_tunnel.contrib.starlette import VisitorBackend, VisitorUser
from asgi_tunnel.inbox import Delivery, delivery, inbox
from asgi_tunnel.policy import BanError, EdgePolicy, allow, ban, edge
from asgi_tunnel.testing import LocalEdge, Response, replay


async def plain(scope: Any, receive: Any, send: Any) -> None:
    """An ASGI app without a framework."""


# Around an app, with and without arguments.
wrapped: Callable[[Any, Any, Any], Awaitable[None]] = Tunnel(plain)
strict = Tunnel(plain, required=True, connections=2, grace=5.0, root_path="/shop")
hidden = Tunnel(FastAPI(), token="att1...", enabled=False, plaintext_host="10.0.0.1")
twice = Tunnel(Tunnel(plain))

# Several services, from a mapping, tables, or a file.
served = Tunnel(services={"a.test/x": plain, "b.test": "http://127.0.0.1:1", "*": {"status": 404}})
rest = Tunnel(plain, services=[{"hostname": "a.test", "to": "main:app"}])
several = Services({"a.test": FastAPI()}, default=plain)
from_file: Services = Services.from_file("asgi-tunnel.toml", watch=False)

# What the edge is to refuse: as a table, and around whatever a framework takes.
limited = Tunnel(plain, policy={"POST /login": edge(rate="5/minute", burst=2)}, routes=True)
assert_type(edge(max_body=65536, timeout=30.0, access="family"), EdgePolicy)


@edge(rate="1/s")
async def view(name: str) -> int:
    """Keeps its type."""
    return len(name)


async def punish(scope: dict[str, Any]) -> None:
    """From a handler."""
    number: int = await view("x")
    try:
        await ban(scope, for_=3600, reason=f"guesses {number} passwords")
        await allow("203.0.113.7")
    except BanError as error:
        assert_type(error.code, str)


# As middleware, by both ways of Starlette.
fastapi_app = FastAPI()
fastapi_app.add_middleware(TunnelMiddleware)
fastapi_app.add_middleware(TunnelMiddleware, required=True, spec_version="2.4")
starlette_app = Starlette(middleware=[Middleware(TunnelMiddleware, grace=3)])

# Without a server.
assert_type(asgi_tunnel.run("main:app"), int)
assert_type(asgi_tunnel.run(fastapi_app, lifespan="on"), int)


async def serve_beside_others() -> None:
    """In a running event loop."""
    await asgi_tunnel.serve(plain, connections=2)
    task = asyncio.create_task(asgi_tunnel.serve(starlette_app, lifespan="off"))
    task.cancel()


async def share_from_a_notebook() -> None:
    """With a handle."""
    shared = await asgi_tunnel.share(fastapi_app, hostnames=["shop.example.org"], access_log=True)
    assert_type(shared, Share)
    assert_type(shared.url, str)
    assert_type(shared.urls, tuple[str, ...])
    async with shared:
        pass
    await shared.aclose()


# Who the visitor is.
async def greet(scope: dict[str, Any]) -> str:
    """From a scope."""
    found = visitor(scope)
    assert_type(found, Visitor | None)
    if found is None:
        return "nobody"
    assert_type(found.subject, str)
    assert_type(found.groups, tuple[str, ...])
    assert_type(found.since, int)
    return found.display_name


@fastapi_app.get("/who")
async def who(visitor: CurrentVisitor, also: OptionalVisitor, request: Request) -> str:
    """By dependencies, or from a request."""
    assert_type(visitor, Visitor)
    assert_type(also, Visitor | None)
    assert_type(asgi_tunnel.visitor(request), Visitor | None)
    return visitor.subject


@fastapi_app.get("/operators", dependencies=[Depends(require_group("operators", "admins"))])
async def operators() -> None:
    """For some groups."""


signing_in = Middleware(AuthenticationMiddleware, backend=VisitorBackend())
assert_type(VisitorUser(Visitor(subject="user:anna")).visitor, Visitor)


async def test_who(edge: LocalEdge) -> None:
    """In a test of the app."""
    anna = Visitor(subject="user:anna", groups=("family",))
    assert_type(await edge.get("/who", visitor=anna), Response)
    async with edge.websocket("/chat", visitor=anna) as socket:
        await socket.send_text("hello")


# In Litestar.
litestar_app = Litestar(plugins=[TunnelPlugin(required=True, hostnames=("shop.example.org",))])

# Without a lifespan.
handle = asgi_tunnel.start_in_thread(plain, name="shop", grace=2.0)
if handle is not None:
    handle.stop()


async def test_recorded() -> None:
    """A HAR against the app, from a file or from JSON."""
    assert_type(await replay("bug.har", app=plain, headers={"x": "y"}), list[Response])
    assert_type(await replay({"log": {}}, app=plain, hosts=["a.test"]), list[Response])


# Webhooks.


@inbox
async def hook(scope: dict[str, object]) -> str | None:
    """A mark changes nothing about a handler."""
    found = delivery(scope)
    assert_type(found, Delivery | None)
    return None if found is None else found.id


assert_type(Tunnel(plain, inbox=["POST /hooks/*"]), Tunnel)

# Settings.
config = TunnelConfig.from_env({"ASGI_TUNNEL_TOKEN": "att1..."})
assert_type(config, TunnelConfig | None)
if config is not None:
    assert_type(config.connections, int)
    assert_type(config.grace, float)
    assert_type(config.token.edge, str)


def explain(error: TunnelError) -> str:
    """Errors carry their facts as attributes."""
    match error:
        case ConfigError():
            return error.setting + error.why + error.fix
        case AuthenticationError() | HandshakeError():
            assert_type(error.retry_after, float | None)
            return str(error.code)
        case StreamResetError():
            return "peer" if error.by_peer else "this side"
        case ClientDisconnectedError():
            broken: OSError = error
            return f"{broken} {error.event}"
        case _:
            return str(error)


version: str = asgi_tunnel.__version__
