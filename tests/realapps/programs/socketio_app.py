"""python-socketio around another app."""

from __future__ import annotations

from typing import Any

from tests.realapps.visit import Program, Visit


def create() -> Any:
    """Return the app: Socket.IO, and a page of Starlette's behind it."""
    import socketio
    from starlette.applications import Starlette
    from starlette.responses import PlainTextResponse
    from starlette.routing import Route

    server = socketio.AsyncServer(async_mode="asgi")

    @server.event
    async def add(sid: str, data: Any) -> Any:
        await server.emit("added", data, to=sid)
        return sum(data)

    @server.event
    async def blob(sid: str, data: bytes) -> int:
        return len(data)

    async def page(request: Any) -> Any:
        return PlainTextResponse("the page")

    return socketio.ASGIApp(server, Starlette(routes=[Route("/", page)]))


async def job(visit: Visit) -> None:
    """Call and be called: by polling, by polling and an upgrade, and by WebSocket alone."""
    import asyncio
    import contextlib

    import socketio

    visit.curl("the app behind", "/")
    for transports in (["polling"], ["polling", "websocket"], ["websocket"]):
        received: asyncio.Queue[Any] = asyncio.Queue()
        async with visit.aiohttp(limit=4) as http:
            client = socketio.AsyncClient(http_session=http)
            client.on("added", received.put)
            await client.connect(visit.base, transports=transports)
            answer = await client.call("add", [1, 2, 3])
            size = await client.call("blob", bytes(100_000))
            event = await asyncio.wait_for(received.get(), 20)
            visit.note("+".join(transports), answer=answer, size=size, event=event)
            visit.note(f"transport of {'+'.join(transports)}", is_=client.transport())
            # By polling it waits for the poll that the server holds.
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(client.disconnect(), 2)


PROGRAMS = [
    Program(
        name="python-socketio",
        module="socketio_app",
        distribution="python-socketio",
        does="calls, events and binary data by polling, after an upgrade, and by WebSocket",
        visitors="python-socketio, curl",
        job=job,
        quick=True,
    )
]
