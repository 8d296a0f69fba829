"""Litestar: ``app`` alone, and ``served``, the same wrapped in ``Tunnel``."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from litestar import Litestar, Request, Response, WebSocket, get, post, websocket
from litestar.background_tasks import BackgroundTask
from litestar.response import Stream

from asgi_tunnel import Tunnel

from . import common


@asynccontextmanager
async def lifespan(app: Litestar) -> AsyncIterator[None]:
    """Start and end."""
    await common.startup()
    app.state.started = True
    yield
    await common.shutdown()


@get("/about")
async def about(request: Request[Any, Any, Any]) -> dict[str, Any]:
    """Say what the framework sees."""
    assert request.client is not None
    return {
        "client": request.client.host,
        "port": request.client.port,
        "scheme": request.url.scheme,
        "url": str(request.url),
        "started": request.app.state.started,
    }


@post("/echo", status_code=200)
async def echo(request: Request[Any, Any, Any]) -> Response[bytes]:
    """Return the body."""
    return Response(await request.body(), media_type="application/octet-stream")


@get("/stream/{key:str}")
async def stream(key: str) -> Stream:
    """Send one line, and the other one when the gate is open."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await common.wait_for_gate(key)
        yield b"last\n"

    return Stream(lines(), media_type="text/plain")


@post("/release/{key:str}", status_code=200)
async def release(key: str) -> None:
    """Open a gate."""
    common.gate(key).set()


@post("/background/{key:str}", status_code=200)
async def background(key: str) -> Response[None]:
    """Answer now, work when the gate is open."""

    async def work() -> None:
        await common.wait_for_gate(key)
        common.say(f"background {key}")

    return Response(None, background=BackgroundTask(work))


@websocket("/ws")
async def talk(socket: WebSocket[Any, Any, Any]) -> None:
    """Say who came, then echo; "close" closes with a code of the app's."""
    await socket.accept(subprotocols=next(iter(socket.scope["subprotocols"]), None))
    assert socket.client is not None
    await socket.send_json({"client": socket.client.host, "scheme": socket.url.scheme})
    while True:
        message: Any = await socket.receive()
        if message["type"] == "websocket.disconnect":
            common.say(f"left {message['code']}")
            return
        if message.get("text") == "close":
            await socket.close(4001, "asked for")
            return
        text = message.get("text")
        if text is not None:
            await socket.send_text(text)
        else:
            await socket.send_bytes(message["bytes"] or b"")


app = Litestar([about, echo, stream, release, background, talk], lifespan=[lifespan])
served = Tunnel(app)
