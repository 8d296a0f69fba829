"""Frameworks started as their users start them; ``litestar`` and Django: files of their own.

``fastapi dev`` and ``fastapi run`` are uvicorn with a reloader or workers: ``test_servers.py``, and
so are Daphne and a consumer of Channels.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import flask
import httpx
import pytest

from asgi_tunnel import Services, share

from .browsing import browse
from .harness import BIN, Edge, running_edge, spawn

pytestmark = pytest.mark.e2e

QUART = """
from quart import Quart, request, websocket
from asgi_tunnel import Tunnel

app = Quart(__name__)
app.asgi_app = Tunnel(app.asgi_app)

@app.before_serving
async def start():
    print("app: started", flush=True)

@app.get("/")
async def index():
    return f"hello {request.remote_addr} from {request.url}"
"""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all."""
    with running_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


def test_quart_run(edge: Edge, tmp_path: Path) -> None:
    """``quart run`` serves ``app`` itself, so the tunnel goes around ``app.asgi_app``."""
    token = edge.create_token("quart")
    (tmp_path / "main.py").write_text(QUART)
    command = [str(BIN / "quart"), "--app", "main", "run", "--port", "0"]
    process = spawn(command, tmp_path, env={"ASGI_TUNNEL_TOKEN": token.token}, cwd=tmp_path)
    try:
        process.wait_for("is live")
        assert process.output.index("app: started") < process.output.index("is live")
        with browse(edge, token.hostnames[0]) as web:
            url = f"http://{token.hostnames[0]}:{edge.port}/"
            assert web.get("/").text == f"hello 127.0.0.1 from {url}"
        assert process.output.count("is live") == 1
    finally:
        process.stop()
    assert "Traceback" not in process.output


async def test_flask_is_a_service(edge: Edge) -> None:
    """A WSGI app as it is: forms, streams, and URLs as the visitor typed them."""
    app = flask.Flask("shop")

    @app.post("/form")
    def form() -> str:
        return f"hello {flask.request.form['name']}"

    @app.get("/stream")
    def stream() -> flask.Response:
        return flask.Response((f"{number}\n" for number in range(3)), mimetype="text/plain")

    @app.get("/url")
    def url() -> dict[str, Any]:
        request = flask.request
        return {"url": request.url, "address": request.remote_addr, "own": flask.url_for("url")}

    token = edge.create_token("flask")
    host = f"{token.hostnames[0]}:{edge.port}"
    async with (
        await share(Services({"*": app}), token=token.token),
        httpx.AsyncClient(base_url=edge.url(""), headers={"host": host}) as web,
    ):
        assert (await web.post("/form", data={"name": "Ada"})).text == "hello Ada"
        assert (await web.get("/stream")).text == "0\n1\n2\n"
        assert (await web.get("/url")).json() == {
            "url": f"http://{host}/url",
            "address": "127.0.0.1",
            "own": "/url",
        }
