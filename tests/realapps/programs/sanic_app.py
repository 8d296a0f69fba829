"""Sanic, as an ASGI app."""

from __future__ import annotations

from typing import Any

from tests.realapps import common
from tests.realapps.visit import Program


def create() -> Any:
    """Return the app."""
    from sanic import Sanic, json, redirect, text

    app = Sanic("shop")

    @app.route("/json", methods=["GET", "HEAD", "DELETE"])
    async def show(request: Any) -> Any:
        return json({"method": request.method, "query": dict(request.args)})

    @app.post("/form")
    async def form(request: Any) -> Any:
        return text(f"hello {request.form.get('name')}")

    @app.post("/upload")
    async def upload(request: Any) -> Any:
        file = request.files.get("file")
        return json(common.facts(file.name, file.body))

    @app.get("/login")
    async def login(request: Any) -> Any:
        response = redirect("/me")
        response.add_cookie("user", "ada", httponly=True, secure=True)
        return response

    @app.get("/me")
    async def me(request: Any) -> Any:
        return text(request.cookies.get("user", "nobody"))

    @app.get("/stream")
    async def stream(request: Any) -> None:
        response = await request.respond(content_type="text/plain")
        for line in common.lines():
            await response.send(line)
        await response.eof()

    @app.get("/url")
    async def url(request: Any) -> Any:
        return json({"url": request.url, "scheme": request.scheme, "host": request.host})

    @app.websocket("/ws")
    async def ws(request: Any, socket: Any) -> None:
        for _ in range(2):
            await socket.send(await socket.recv())

    return app


PROGRAMS = [
    Program(
        name="Sanic",
        module="sanic_app",
        distribution="sanic",
        does=f"{common.DOES}, a WebSocket",
        visitors=common.VISITORS,
        job=common.job_with_websocket,
    )
]
