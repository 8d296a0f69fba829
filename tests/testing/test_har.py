from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI, Header, Request
from fastapi.middleware.gzip import GZipMiddleware
from tests.inspector.details import body, exchange

from asgi_tunnel.inspector.har import make_har
from asgi_tunnel.testing import replay

PAGE = Path(__file__).parents[2] / "docs/howto/replay.md"
FLAGS = re.MULTILINE | re.DOTALL
SAMPLE = Path(__file__).parents[1] / "inspector/samples/chromium.har"
KIND = ("content-type", "application/json")

app = FastAPI()


@app.post("/orders")
async def order(request: Request) -> dict[str, Any]:
    """Say what came."""
    return {"order": await request.json(), "host": request.headers["host"]}


@app.get("/me")
async def me(authorization: str = Header()) -> str:
    """Say who asks."""
    return authorization


def recorded(*details: dict[str, Any]) -> dict[str, Any]:
    """A HAR of exchanges."""
    return make_har(details)


async def test_all_requests_in_their_order() -> None:
    """Each gets the app's own response, whatever was recorded."""
    first = exchange("POST", "/orders", fields=[KIND], sent=body('{"n": 1}'), started=1.0)
    second = exchange("GET", "/nothing?x=\u00fc", fields=[], started=2.0)
    ok, missing = await replay(recorded(second, first), app=app)
    assert ok.json() == {"order": {"n": 1}, "host": "shop.example.org"}
    assert (ok.status, missing.status) == (200, 404)


async def test_a_browsers_file(tmp_path: Path) -> None:
    """By its path, and only what went to the app's own host."""
    file = json.loads(SAMPLE.read_text())
    entries = file["log"]["entries"]
    file["log"]["entries"] = [one for one in entries if not one.get("_webSocketMessages")]
    file["log"]["entries"][0]["request"]["url"] = "https://cdn.example.net/x.js"
    (tmp_path / "a.har").write_text(json.dumps(file))
    responses = await replay(tmp_path / "a.har", app=app, hosts={"shop.example.org"})
    assert [one.status for one in responses] == [200, 404]
    assert responses[0].json()["order"] == {"n": 12}


async def test_what_was_not_recorded() -> None:
    """A secret is given to the test."""
    har = recorded(exchange("GET", "/me", fields=[("authorization", "[redacted]")]))
    (response,) = await replay(har, app=app, headers={"Authorization": "Bearer x"})
    assert response.json() == "Bearer x"


async def test_codings() -> None:
    """A browser takes gzip; a test that reads bodies does not, unless it says so."""
    packing = GZipMiddleware(app, minimum_size=1)
    har = recorded(exchange("GET", "/nothing", fields=[("accept-encoding", "gzip, br")]))
    (plain,) = await replay(har, app=packing)
    assert plain.json() == {"detail": "Not Found"}
    (packed,) = await replay(har, app=packing, headers={"Accept-Encoding": "gzip"})
    assert packed.headers.get("content-encoding") == "gzip"


@pytest.mark.parametrize(
    ("har", "sentence"),
    [
        ({}, "the HAR has no log; export it again"),
        (
            recorded(exchange(path="/live", kind="websocket", scheme="wss")),
            "request 1 of the HAR, GET /live, is a WebSocket; replay() sends HTTP requests",
        ),
        (
            recorded(exchange("POST", "/up", sent=body("abc", size=9))),
            "request 1 of the HAR, POST /up: only 3 of the 9 bytes of its body were kept",
        ),
    ],
)
async def test_what_cannot_be_replayed(har: dict[str, Any], sentence: str) -> None:
    """Is a ValueError that says which request, and why."""
    with pytest.raises(ValueError, match=re.escape(sentence)):
        await replay(har, app=app)


async def test_no_file(tmp_path: Path) -> None:
    """Is the system's own error."""
    with pytest.raises(FileNotFoundError):
        await replay(tmp_path / "missing.har", app=app)


async def test_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What docs/howto/replay.md shows is a test that passes."""
    monkeypatch.chdir(tmp_path)
    har = recorded(exchange(path="/cart", started=1.0), exchange("POST", "/pay", started=2.0))
    (tmp_path / "checkout.har").write_text(json.dumps(har))
    (block,) = re.findall(r"^```python\n(import pytest\n.*?)^```$", PAGE.read_text(), FLAGS)
    names: dict[str, Any] = {}
    exec(block, names)  # noqa: S102 - the page's own
    await names["test_checkout"]()
