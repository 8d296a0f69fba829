from __future__ import annotations

import re
import sys
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import pytest
from fastapi import Depends, FastAPI, WebSocket
from fastapi.testclient import TestClient

from asgi_tunnel.contrib.fastapi import CurrentVisitor, OptionalVisitor, require_group
from asgi_tunnel.testing import LocalEdge, Visitor, WebSocketDeniedError

PAGE = Path(__file__).parents[2] / "docs/howto/visitor.md"
ANNA = Visitor(subject="user:anna", name="Anna", groups=("family", "operators"))
BEN = Visitor(subject="user:ben", groups=("guests",))

app = FastAPI()


@app.get("/")
async def index(visitor: OptionalVisitor) -> str:
    """For everybody."""
    return "nobody" if visitor is None else visitor.display_name


@app.get("/known")
def known(visitor: CurrentVisitor) -> dict[str, Any]:
    """For who is known, in a thread."""
    return {"subject": visitor.subject, "groups": visitor.groups}


@app.get("/operators")
async def operators(
    visitor: Annotated[Visitor, Depends(require_group("operators", "admins"))],
) -> str:
    """For a group."""
    return visitor.subject


@app.websocket("/chat")
async def chat(socket: WebSocket, visitor: CurrentVisitor) -> None:
    """For who is known."""
    await socket.accept()
    await socket.send_text(visitor.display_name)
    await socket.close()


@pytest.mark.parametrize(
    ("visitor", "statuses"),
    [(None, [200, 401, 401]), (BEN, [200, 200, 403]), (ANNA, [200, 200, 200])],
)
async def test_who_gets_in(visitor: Visitor | None, statuses: list[int]) -> None:
    """Nobody: 401 where somebody is asked for; of other groups: 403."""
    async with LocalEdge(app) as edge:
        asked = [await edge.get(one, visitor=visitor) for one in ("/", "/known", "/operators")]
    assert [one.status for one in asked] == statuses
    assert asked[0].json() == ("nobody" if visitor is None else visitor.display_name)
    if visitor is not None:
        assert asked[1].json() == {"subject": visitor.subject, "groups": list(visitor.groups)}
    else:
        assert asked[1].json() == {"detail": "nobody is signed in"}
        assert asked[2].json() == {"detail": "nobody is signed in"}
    if visitor is BEN:
        assert asked[2].json() == {"detail": "only for operators or admins"}


async def test_a_websocket() -> None:
    """It is the visitor's, and without one it is refused before it is accepted."""
    async with LocalEdge(app) as edge:
        async with edge.websocket("/chat", visitor=ANNA) as socket:
            assert await socket.receive() == "Anna"
        with pytest.raises(WebSocketDeniedError) as refused:
            async with edge.websocket("/chat"):
                pass
    assert refused.value.status == 403


def test_without_a_tunnel_nobody_is_known() -> None:
    """At a port of this machine, and in the API's own description, there is nothing to send."""
    fields = {"remote-user": "anna", "visitor": "user:anna"}
    with TestClient(app, headers=fields) as client:
        assert client.get("/").json() == "nobody"
        assert client.get("/known").status_code == 401
        for path in client.get("/openapi.json").json()["paths"].values():
            assert "parameters" not in path["get"]


async def test_the_tests_of_the_page_pass(monkeypatch: pytest.MonkeyPatch) -> None:
    """What the page says about tests holds for the app that it shows."""
    blocks = re.findall(r"^```python\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    [shown] = [one for one in blocks if "FastAPI()" in one]
    [tests] = [one for one in blocks if "from main import app" in one]
    main, page = ModuleType("main"), ModuleType("page")
    monkeypatch.setitem(sys.modules, "main", main)
    exec(shown, vars(main))  # noqa: S102 - it is ours
    exec(tests, vars(page))  # noqa: S102 - it is ours
    await page.test_who_may_clear()
