"""The main job, once, end to end: a request to the edge is answered by an app without a port."""

from __future__ import annotations

from pathlib import Path

import httpx

from .harness import listening_sockets, running_app, running_edge

APP = """
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello " + scope["path"].encode()})
"""


def test_request_reaches_an_app_that_listens_on_nothing(tmp_path: Path) -> None:
    """A visitor's request is answered in the app's process, which has no listening socket."""
    (tmp_path / "main.py").write_text(APP)
    with running_edge(tmp_path) as edge:
        token = edge.create_token("shop")
        with running_app(tmp_path, token, "main:app") as app:
            answer = httpx.get(
                edge.url("shop.example.test", "/world"), headers={"host": "shop.example.test"}
            )
            assert answer.status_code == 200
            assert answer.text == "hello /world"
            assert listening_sockets(app.pid) == []
