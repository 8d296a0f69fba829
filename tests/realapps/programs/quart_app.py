"""Quart."""

from __future__ import annotations

from typing import Any

from tests.realapps import common
from tests.realapps.visit import Program


def create() -> Any:
    """Return the app."""
    from quart import Quart, jsonify, redirect, request, websocket

    app = Quart("shop")

    @app.route("/json", methods=["GET", "DELETE"])
    async def json() -> Any:
        return jsonify(method=request.method, query=request.args.to_dict())

    @app.post("/form")
    async def form() -> Any:
        return f"hello {(await request.form)['name']}"

    @app.post("/upload")
    async def upload() -> Any:
        file = (await request.files)["file"]
        return jsonify(common.facts(file.filename or "", file.read()))

    @app.get("/login")
    async def login() -> Any:
        response = redirect("/me")
        response.set_cookie("user", "ada", httponly=True, secure=True)
        return response

    @app.get("/me")
    async def me() -> Any:
        return request.cookies.get("user", "nobody")

    @app.get("/stream")
    async def stream() -> Any:
        async def chunks() -> Any:
            for line in common.lines():
                yield line.encode()

        return chunks(), 200, {"content-type": "text/plain"}

    @app.get("/url")
    async def url() -> Any:
        return jsonify(url=request.url, address=request.remote_addr, scheme=request.scheme)

    @app.websocket("/ws")
    async def ws() -> None:
        while True:
            await websocket.send(await websocket.receive())

    return app


PROGRAMS = [
    Program(
        name="Quart",
        module="quart_app",
        distribution="quart",
        does=f"{common.DOES}, a WebSocket",
        visitors=common.VISITORS,
        job=common.job_with_websocket,
    )
]
