"""Falcon."""

from __future__ import annotations

from typing import Any

from tests.realapps import common
from tests.realapps.visit import Program


def create() -> Any:
    """Return the app."""
    import falcon.asgi

    class Json:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.media = {"method": req.method, "query": req.params}

        on_delete = on_get

    class Form:
        async def on_post(self, req: Any, resp: Any) -> None:
            resp.text = f"hello {(await req.get_media())['name']}"

    class Upload:
        async def on_post(self, req: Any, resp: Any) -> None:
            async for part in await req.get_media():
                resp.media = common.facts(part.filename, await part.stream.read())

    class Login:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.set_cookie("user", "ada", http_only=True, secure=True)
            raise falcon.HTTPFound("/me")

    class Me:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.text = req.cookies.get("user", "nobody")

    class Stream:
        async def on_get(self, req: Any, resp: Any) -> None:
            async def chunks() -> Any:
                for line in common.lines():
                    yield line.encode()

            resp.content_type = "text/plain"
            resp.stream = chunks()

    class Url:
        async def on_get(self, req: Any, resp: Any) -> None:
            resp.media = {"url": req.url, "scheme": req.scheme, "address": req.remote_addr}

    class Socket:
        async def on_websocket(self, req: Any, ws: Any) -> None:
            await ws.accept()
            for _ in range(2):
                await ws.send_text(await ws.receive_text())

    app = falcon.asgi.App()
    for resource in (Json, Form, Upload, Login, Me, Stream, Url):
        app.add_route(f"/{resource.__name__.lower()}", resource())
    app.add_route("/ws", Socket())
    return app


PROGRAMS = [
    Program(
        name="Falcon",
        module="falcon_app",
        distribution="falcon",
        does=f"{common.DOES}, a WebSocket",
        visitors=common.VISITORS,
        job=common.job_with_websocket,
    )
]
