"""BlackSheep."""

from typing import Any

from tests.realapps import common
from tests.realapps.visit import Program


def create() -> Any:
    """Return the app."""
    from blacksheep import (
        Application,
        Cookie,
        Request,
        Response,
        StreamedContent,
        WebSocket,
        json,
        redirect,
        text,
    )
    from blacksheep.messages import get_absolute_url_to_path

    app = Application()

    async def show(request: Request) -> Response:
        return json({"method": request.method, "query": dict(request.query)})

    for method in ("GET", "HEAD", "DELETE"):
        app.router.add(method, "/json", show)

    @app.router.post("/form")
    async def form(request: Request) -> Response:
        return text(f"hello {(await request.form())['name']}")

    @app.router.post("/upload")
    async def upload(request: Request) -> Response:
        (part,) = await request.files()
        data = part.data if isinstance(part.data, bytes) else part.data.read()
        name = part.file_name
        return json(common.facts(name if isinstance(name, str) else name.decode(), data))

    @app.router.get("/login")
    async def login(request: Request) -> Response:
        response = redirect("/me")
        response.set_cookie(Cookie("user", "ada", http_only=True, secure=True))
        return response

    @app.router.get("/me")
    async def me(request: Request) -> Response:
        return text(request.cookies.get("user", "nobody"))

    @app.router.get("/stream")
    async def stream(request: Request) -> Response:
        async def chunks() -> Any:
            for line in common.lines():
                yield line.encode()

        return Response(200, content=StreamedContent(b"text/plain", chunks))

    @app.router.get("/url")
    async def url(request: Request) -> Response:
        return json(
            {"url": str(get_absolute_url_to_path(request, "/url")), "ip": request.client_ip}
        )

    @app.router.ws("/ws")
    async def ws(websocket: WebSocket) -> None:
        await websocket.accept()
        for _ in range(2):
            await websocket.send_text(await websocket.receive_text())
        await websocket.close()

    return app


PROGRAMS = [
    Program(
        name="BlackSheep",
        module="blacksheep_app",
        distribution="blacksheep",
        does=f"{common.DOES}, a WebSocket",
        visitors=common.VISITORS,
        job=common.job_with_websocket,
    )
]
