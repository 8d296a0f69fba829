"""Litestar."""

from typing import Any

from tests.realapps import common
from tests.realapps.visit import Program


def create() -> Any:
    """Return the app."""
    from litestar import Litestar, Request, WebSocket, delete, get, post, websocket
    from litestar.response import Redirect, Response, Stream

    @get("/json")
    async def json(request: Request) -> dict[str, Any]:
        return {"method": request.method, "query": dict(request.query_params)}

    @delete("/json", status_code=200)
    async def json_delete(request: Request) -> dict[str, Any]:
        return {"method": request.method, "query": dict(request.query_params)}

    @post("/form", status_code=200, media_type="text/plain")
    async def form(request: Request) -> str:
        return f"hello {(await request.form())['name']}"

    @post("/upload", status_code=200)
    async def upload(request: Request) -> dict[str, Any]:
        file = (await request.form())["file"]
        return common.facts(file.filename, await file.read())

    @get("/login", status_code=302)
    async def login() -> Redirect:
        response = Redirect("/me", status_code=302)
        response.set_cookie("user", "ada", httponly=True, secure=True)
        return response

    @get("/me", media_type="text/plain")
    async def me(request: Request) -> str:
        return request.cookies.get("user", "nobody")

    @get("/stream")
    async def stream() -> Stream:
        return Stream(iter(common.lines()), media_type="text/plain")

    @get("/url")
    async def url(request: Request) -> Response:
        return Response({"url": str(request.url), "address": request.client.host})

    @websocket("/ws")
    async def ws(socket: WebSocket) -> None:
        await socket.accept()
        for _ in range(2):
            await socket.send_text(await socket.receive_text())
        await socket.close()

    return Litestar([json, json_delete, form, upload, login, me, stream, url, ws])


PROGRAMS = [
    Program(
        name="Litestar",
        module="litestar_app",
        distribution="litestar",
        does=f"{common.DOES}, a WebSocket",
        visitors=common.VISITORS,
        job=common.job_with_websocket,
    )
]
