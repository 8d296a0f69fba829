"""Starlette: ``app`` alone, and ``served`` with the middleware and another one added after it."""

from __future__ import annotations

from collections.abc import AsyncIterator, MutableMapping
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, TypedDict

from starlette.applications import Starlette
from starlette.background import BackgroundTask
from starlette.datastructures import MutableHeaders
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute

from asgi_tunnel import TunnelMiddleware

from . import common

if TYPE_CHECKING:
    from starlette.requests import Request
    from starlette.types import ASGIApp, Receive, Scope, Send
    from starlette.websockets import WebSocket


class State(TypedDict):
    """What a request finds in its state."""

    started: bool


@asynccontextmanager
async def lifespan(app: Starlette) -> AsyncIterator[State]:
    """Start and end, and hand a state to the requests."""
    await common.startup()
    yield {"started": True}
    await common.shutdown()


async def about(request: Request) -> JSONResponse:
    """Say what the framework sees."""
    assert request.client is not None
    return JSONResponse(
        {
            "client": request.client.host,
            "port": request.client.port,
            "scheme": request.url.scheme,
            "url": str(request.url),
            "started": request.state.started,
        }
    )


async def echo(request: Request) -> Response:
    """Return the body."""
    return Response(await request.body(), media_type="application/octet-stream")


async def stream(request: Request) -> StreamingResponse:
    """Send one line, and the other one when the gate is open."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await common.wait_for_gate(request.path_params["key"])
        yield b"last\n"

    return StreamingResponse(lines(), media_type="text/plain")


async def release(request: Request) -> Response:
    """Open a gate."""
    common.gate(request.path_params["key"]).set()
    return Response()


async def background(request: Request) -> Response:
    """Answer now, work when the gate is open."""

    async def work(key: str) -> None:
        await common.wait_for_gate(key)
        common.say(f"background {key}")

    return Response(background=BackgroundTask(work, request.path_params["key"]))


async def fail(request: Request) -> Response:
    """Raise what only the outermost middleware handles."""
    raise RuntimeError("on purpose")


async def on_error(request: Request, error: Exception) -> Response:
    """Answer in place of Starlette's own 500."""
    return Response("handled by the app", status_code=500)


async def talk(websocket: WebSocket) -> None:
    """Say who came, then echo; "close" closes with a code of the app's."""
    await websocket.accept(subprotocol=next(iter(websocket.scope["subprotocols"]), None))
    assert websocket.client is not None
    await websocket.send_json({"client": websocket.client.host, "scheme": websocket.url.scheme})
    while True:
        message = await websocket.receive()
        if message["type"] == "websocket.disconnect":
            common.say(f"left {message['code']}")
            return
        if message.get("text") == "close":
            await websocket.close(4001, "asked for")
            return
        if message.get("text") is not None:
            await websocket.send_text(message["text"])
        else:
            await websocket.send_bytes(message["bytes"])


class Stamp:
    """A middleware that marks each HTTP response."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one call."""

        async def stamped(message: MutableMapping[str, Any]) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)["x-stamp"] = "set"
            await send(message)

        await self.app(scope, receive, stamped)


def build() -> Starlette:
    """Return a new app."""
    return Starlette(
        routes=[
            Route("/about", about),
            Route("/echo", echo, methods=["POST"]),
            Route("/stream/{key}", stream),
            Route("/release/{key}", release, methods=["POST"]),
            Route("/background/{key}", background, methods=["POST"]),
            Route("/fail", fail),
            WebSocketRoute("/ws", talk),
        ],
        lifespan=lifespan,
        exception_handlers={Exception: on_error},
    )


app = build()
served = build()
served.add_middleware(TunnelMiddleware)
served.add_middleware(Stamp)
