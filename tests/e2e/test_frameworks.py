"""Every framework behind a real edge, started by ``asgi-tunnel run``: no server, no port."""

from __future__ import annotations

import json
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING
from uuid import uuid4

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.typing import Subprotocol

from .browsing import APPS, ROOT, browse, open_websocket
from .harness import Edge, Process, listening_sockets, running_app, running_edge

if TYPE_CHECKING:
    import httpx

pytestmark = pytest.mark.e2e


@dataclass(frozen=True)
class Framework:
    """What the app of a framework has."""

    name: str
    has_lifespan: bool = True
    has_websocket: bool = True
    has_background: bool = True
    about: tuple[str, ...] = ("/about",)

    def __str__(self) -> str:
        return self.name


FRAMEWORKS = [
    Framework("starlette"),
    Framework("fastapi"),
    Framework("quart"),
    Framework("litestar"),
    Framework(
        "django",
        has_lifespan=False,
        has_websocket=False,
        has_background=False,
        about=("/about", "/sync/about"),
    ),
    Framework("channels", has_lifespan=False, has_background=False),
    Framework("flask", has_lifespan=False, has_websocket=False, has_background=False),
]


@dataclass
class Served:
    """One framework's app behind the edge."""

    framework: Framework
    edge: Edge
    hostname: str
    process: Process
    web: httpx.Client

    def require(self, feature: bool) -> None:
        """Skip what the framework does not have."""
        if not feature:
            pytest.skip(f"{self.framework} has none")


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all."""
    with running_edge(tmp_path_factory.mktemp("edge")) as running:
        yield running


@pytest.fixture(scope="module", params=FRAMEWORKS, ids=str)
def served(
    request: pytest.FixtureRequest, edge: Edge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """One app, started once; at its end it has shut down cleanly."""
    framework: Framework = request.param
    token = edge.create_token(framework.name)
    folder = tmp_path_factory.mktemp(framework.name)
    hostname = token.hostnames[0]
    app = f"{APPS}.{framework.name}_app:app"
    with running_app(folder, token, app, app_dir=ROOT) as process:
        with browse(edge, hostname) as web:
            yield Served(framework, edge, hostname, process, web)
        assert process.stop() == 0
    assert "Traceback" not in process.output
    assert ("app: stopped" in process.output) == framework.has_lifespan


def test_scope_is_the_visitors(served: Served) -> None:
    """The framework sees the visitor's own address, and the scheme and URL that were typed."""
    assert listening_sockets(served.process.pid) == []
    for path in served.framework.about:
        answer = served.web.get(path, params={"q": "a b"})
        assert answer.status_code == 200, answer.text
        about = answer.json()
        own = answer.extensions["network_stream"].get_extra_info("client_addr")
        assert (about["client"], about["port"]) == own
        assert about["scheme"] == "http"
        url = f"http://{served.hostname}:{served.edge.port}{path}?q=a"
        assert about["url"] in (url + "+b", url + "%20b", url + " b")


def test_lifespan_comes_first(served: Served) -> None:
    """The app has started before its first request, and its state reaches the request."""
    served.require(served.framework.has_lifespan)
    assert served.web.get("/about").json()["started"] is True
    output = served.process.output
    assert output.index("app: started") < output.index("is live")


@pytest.mark.parametrize("size", [0, 1, 1_000_000])
def test_body_comes_back(served: Served, size: int) -> None:
    """A body arrives whole and goes back whole, with a length and chunked."""
    body = random.Random(size).randbytes(size)
    assert served.web.post("/echo", content=body).content == body
    pieces = (body[start : start + 70_000] for start in range(0, size, 70_000))
    answer = served.web.post("/echo", content=pieces)
    assert answer.status_code == 200
    assert answer.content == body


def test_response_streams(served: Served) -> None:
    """A part that the app has sent arrives while the app still works on the next one."""
    key = uuid4().hex
    with served.web.stream("GET", f"/stream/{key}") as response:
        lines = response.iter_lines()
        assert next(lines) == "first"
        with browse(served.edge, served.hostname) as other:
            assert other.post(f"/release/{key}").status_code == 200
        assert list(lines) == ["last"]


def test_background_task_does_not_delay_the_answer(served: Served) -> None:
    """The response is complete, and the next request served, while the background task waits."""
    served.require(served.framework.has_background)
    key = uuid4().hex
    assert served.web.post(f"/background/{key}").status_code == 200
    assert f"background {key}" not in served.process.output
    assert served.web.post(f"/release/{key}").status_code == 200
    served.process.wait_for(f"background {key}")


def test_websocket_echoes(served: Served) -> None:
    """Text and bytes go both ways, empty ones too; the app knows who came and how."""
    served.require(served.framework.has_websocket)
    offered = [Subprotocol("first.test"), Subprotocol("second.test")]
    with open_websocket(served.edge, served.hostname, "/ws", subprotocols=offered) as websocket:
        assert websocket.subprotocol == "first.test"
        assert json.loads(websocket.recv(timeout=10)) == {"client": "127.0.0.1", "scheme": "ws"}
        for message in ("text", "\u00fc\U0001f600", b"\x00\xff", "x" * 200_000, ""):
            websocket.send(message)
            assert websocket.recv(timeout=10) == message


def test_websocket_is_closed_by_the_app(served: Served) -> None:
    """The app's close code and reason reach the visitor."""
    served.require(served.framework.has_websocket)
    with open_websocket(served.edge, served.hostname, "/ws") as websocket:
        websocket.recv(timeout=10)
        websocket.send("close")
        with pytest.raises(ConnectionClosed) as closed:
            websocket.recv(timeout=10)
    assert closed.value.rcvd is not None
    assert (closed.value.rcvd.code, closed.value.rcvd.reason) == (4001, "asked for")


def test_websocket_is_closed_by_the_visitor(served: Served) -> None:
    """The visitor's close code reaches the app."""
    served.require(served.framework.has_websocket)
    if served.framework.name == "quart":
        pytest.skip("Quart cancels the handler and keeps the code to itself")
    with open_websocket(served.edge, served.hostname, "/ws") as websocket:
        websocket.recv(timeout=10)
        websocket.close(4321)
    served.process.wait_for("app: left 4321")
