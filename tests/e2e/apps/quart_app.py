"""Quart: ``app`` alone, and ``served``, the same wrapped in ``Tunnel``."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

from quart import Quart, Response, current_app, request, websocket

from asgi_tunnel import Tunnel

from . import common

app = Quart(__name__)


@app.before_serving
async def _start() -> None:
    await common.startup()
    app.config["STARTED"] = True


@app.after_serving
async def _stop() -> None:
    await common.shutdown()


@app.get("/about")
async def about() -> dict[str, Any]:
    """Say what the framework sees."""
    return {
        "client": request.remote_addr,
        "port": (request.scope["client"] or ("", 0))[1],
        "scheme": request.scheme,
        "url": request.url,
        "started": current_app.config["STARTED"],
    }


@app.post("/echo")
async def echo() -> Response:
    """Return the body."""
    return Response(await request.get_data(), content_type="application/octet-stream")


@app.get("/stream/<key>")
async def stream(key: str) -> Response:
    """Send one line, and the other one when the gate is open."""

    async def lines() -> AsyncIterator[bytes]:
        yield b"first\n"
        await common.wait_for_gate(key)
        yield b"last\n"

    return Response(lines(), content_type="text/plain")


@app.post("/release/<key>")
async def release(key: str) -> str:
    """Open a gate."""
    common.gate(key).set()
    return ""


@app.post("/background/<key>")
async def background(key: str) -> str:
    """Answer now, work when the gate is open."""

    async def work() -> None:
        await common.wait_for_gate(key)
        common.say(f"background {key}")

    current_app.add_background_task(work)
    return ""


@app.websocket("/ws")
async def talk() -> None:
    """Say who came, then echo; "close" closes with a code of the app's."""
    await websocket.accept(subprotocol=next(iter(websocket.requested_subprotocols), None))
    await websocket.send_json({"client": websocket.remote_addr, "scheme": websocket.scheme})
    while True:
        message = await websocket.receive()
        if message == "close":
            await websocket.close(4001, "asked for")
            return
        await websocket.send(message)


served = Tunnel(app)
