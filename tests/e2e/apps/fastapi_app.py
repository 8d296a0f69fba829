"""FastAPI: ``app`` alone, and ``served`` with the middleware and another one added after it."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

from fastapi import BackgroundTasks, FastAPI, Request, Response, WebSocket
from fastapi.responses import StreamingResponse

from asgi_tunnel import TunnelMiddleware

from . import common
from .starlette_app import Stamp, State, on_error, talk


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[State]:
    """Start and end, and hand a state to the requests."""
    await common.startup()
    yield {"started": True}
    await common.shutdown()


def build() -> FastAPI:
    """Return a new app."""
    app = FastAPI(title="Made with FastAPI", lifespan=lifespan)
    app.add_exception_handler(Exception, on_error)

    @app.get("/about")
    async def about(request: Request) -> dict[str, Any]:
        assert request.client is not None
        return {
            "client": request.client.host,
            "port": request.client.port,
            "scheme": request.url.scheme,
            "url": str(request.url),
            "started": request.state.started,
        }

    @app.post("/echo")
    async def echo(request: Request) -> Response:
        body = b"".join([chunk async for chunk in request.stream()])
        return Response(body, media_type="application/octet-stream")

    @app.get("/stream/{key}")
    async def stream(key: str) -> StreamingResponse:
        async def lines() -> AsyncIterator[bytes]:
            yield b"first\n"
            await common.wait_for_gate(key)
            yield b"last\n"

        return StreamingResponse(lines(), media_type="text/plain")

    @app.post("/release/{key}")
    def release(key: str) -> None:  # in a thread of the framework's
        common.gate(key).set()

    @app.post("/background/{key}")
    async def background(key: str, tasks: BackgroundTasks) -> None:
        async def work() -> None:
            await common.wait_for_gate(key)
            common.say(f"background {key}")

        tasks.add_task(work)

    @app.get("/fail")
    async def fail() -> None:
        raise RuntimeError("on purpose")

    @app.websocket("/ws")
    async def websocket(websocket: WebSocket) -> None:
        await talk(websocket)

    return app


app = build()
served = build()
served.add_middleware(TunnelMiddleware)
served.add_middleware(Stamp)
