"""One app with ``TunnelMiddleware`` inside, and what people wrap around such an app: a login."""

from __future__ import annotations

import asyncio
from typing import Any

from starlette.applications import Starlette
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from asgi_tunnel import Tunnel, TunnelMiddleware


async def index(request: Any) -> PlainTextResponse:
    """What only who has the key may see."""
    return PlainTextResponse("secret")


def inner() -> Starlette:
    """The app, its tunnel inside."""
    api = Starlette(routes=[Route("/", index), Route("/api/", index)])
    api.add_middleware(TunnelMiddleware)
    return api


class Login:
    """Lets requests with a key through."""

    def __init__(self, app: Any) -> None:
        self.app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Ask for the key."""
        if scope["type"] == "http" and (b"x-key", b"k") not in scope["headers"]:
            await PlainTextResponse("no key", status_code=401)(scope, receive, send)
        else:
            await self.app(scope, receive, send)


class Silent(Login):
    """The same, without a lifespan for the app inside."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Ask for the key; say nothing about the start."""
        if scope["type"] != "lifespan":
            await super().__call__(scope, receive, send)


class Spawning(Login):
    """The same, with the lifespan of the app inside in a task of its own."""

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Ask for the key."""
        if scope["type"] == "lifespan":
            await asyncio.create_task(self.app(scope, receive, send))
        else:
            await super().__call__(scope, receive, send)


def _closure(app: Any) -> Any:
    async def login(scope: Any, receive: Any, send: Any) -> None:
        await Login(app)(scope, receive, send)

    return login


in_class = Login(inner())
in_closure = _closure(inner())
silent = Silent(inner())
spawning = Spawning(inner())
mounted = Login(Starlette(routes=[Mount("/", Tunnel(inner()))]))
late = inner()
late.add_middleware(Login)
plain = Tunnel(Starlette(routes=[Route("/", index)]))
