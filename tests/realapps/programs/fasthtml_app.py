"""FastHTML."""

from typing import Any

from tests.realapps import common
from tests.realapps.visit import Program


def create() -> Any:
    """Return the app."""
    import os

    from fasthtml.common import Request, UploadFile, fast_app
    from starlette.responses import (
        JSONResponse,
        PlainTextResponse,
        RedirectResponse,
        StreamingResponse,
    )

    app, rt = fast_app(exts="ws", key_fname=os.environ["REALAPPS_FOLDER"] + "/key")

    @rt("/json", methods=["GET", "DELETE"])
    def show(request: Request) -> Any:
        return JSONResponse({"method": request.method, "query": dict(request.query_params)})

    @rt("/form", methods=["POST"])
    def form(name: str) -> Any:
        return PlainTextResponse(f"hello {name}")

    @rt("/upload", methods=["POST"])
    async def upload(file: UploadFile) -> Any:
        return JSONResponse(common.facts(file.filename or "", await file.read()))

    @rt("/login", methods=["GET"])
    def login() -> Any:
        response = RedirectResponse("/me", status_code=303)
        response.set_cookie("user", "ada", httponly=True, secure=True)
        return response

    @rt("/me", methods=["GET"])
    def me(request: Request) -> Any:
        return PlainTextResponse(request.cookies.get("user", "nobody"))

    @rt("/stream", methods=["GET"])
    def stream() -> Any:
        return StreamingResponse(iter(common.lines()), media_type="text/plain")

    @rt("/url", methods=["GET"])
    def url(request: Request) -> Any:
        return JSONResponse({"url": str(request.url), "address": request.client.host})

    @app.route("/page")
    def page() -> Any:
        from fasthtml.common import H1, Titled

        return Titled("Shop", H1("Hello"))

    return app


PROGRAMS = [
    Program(
        name="FastHTML",
        module="fasthtml_app",
        distribution="python-fasthtml",
        does=common.DOES,
        visitors=common.VISITORS,
        job=common.job,
    )
]
