"""``Tunnel`` in an app that a server runs: served through the edge and on the server's own port."""

from __future__ import annotations

import json
import os
import re
import signal
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from uuid import uuid4

import httpx
import pytest
from websockets.sync.client import connect

from .browsing import APPS, ROOT, TIMEOUT, browse, open_websocket
from .harness import BIN, Edge, Process, Token, listening_sockets, running_edge, spawn, wait_until

pytestmark = pytest.mark.e2e

HOLD = 0.4
"""Seconds a request waits for an app that is away: short, to see that it is away."""

ENDED_CLEANLY = (0, -signal.SIGTERM)
"""uvicorn raises the signal again once it has ended in order."""


@dataclass(frozen=True)
class Server:
    """A server, its command and the app that it runs."""

    name: str
    command: tuple[str, ...]
    app: str
    workers: int = 1
    has_lifespan: bool = True
    has_websocket: bool = True

    def __str__(self) -> str:
        return f"{self.name}-{self.app.removesuffix('_app')}"

    def arguments(self, app: str) -> list[str]:
        """The command line for an app."""
        return [str(BIN / self.command[0]), *self.command[1:], app]


UVICORN = ("uvicorn", "--port", "0")
HYPERCORN = ("hypercorn", "--bind", "127.0.0.1:0")
GRANIAN = ("granian", "--interface", "asgi", "--port", "0")

SERVERS = [
    Server("uvicorn", UVICORN, "fastapi_app"),
    Server("uvicorn-2", (*UVICORN, "--workers", "2"), "starlette_app", workers=2),
    Server("uvicorn", UVICORN, "litestar_app"),
    Server("hypercorn", HYPERCORN, "starlette_app"),
    Server("hypercorn", HYPERCORN, "quart_app"),
    Server("granian", GRANIAN, "django_served", has_websocket=False),
    Server("granian-2", (*GRANIAN, "--workers", "2"), "fastapi_app", workers=2),
    Server("daphne", ("daphne", "-p", "0"), "channels_app", has_lifespan=False),
]


@dataclass
class Running:
    """An app under a server, behind the edge."""

    server: Server
    edge: Edge
    token: Token
    process: Process

    @property
    def hostname(self) -> str:
        """Where visitors find it."""
        return self.token.hostnames[0]

    @property
    def port(self) -> int:
        """The server's own port."""
        return own_port(self.process)

    def visitors(self) -> Iterator[httpx.Client]:
        """One visitor through the edge, then one of this machine."""
        with browse(self.edge, self.hostname) as web:
            yield web
        with httpx.Client(base_url=f"http://127.0.0.1:{self.port}", timeout=TIMEOUT) as web:
            yield web


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found = [pid]
    for one in found:
        try:
            children = Path(f"/proc/{one}/task/{one}/children").read_text()
        except OSError:
            continue
        found += [int(child) for child in children.split()]
    return found


def own_port(process: Process) -> int:
    """The port that a server, or a worker of it, listens on."""
    found: set[int] = set()

    def look() -> bool:
        for pid in family(process.pid):
            found.update(int(one.rsplit(":", 1)[1], 16) for one in listening_sockets(pid))
        return bool(found)

    wait_until(look, what="a listening socket")
    assert len(found) == 1
    return found.pop()


def instances(edge: Edge, token: Token) -> set[str]:
    """The processes, by the edge's own log, that have opened a tunnel with a token."""
    name = token.hostnames[0].partition(".")[0]
    return set(re.findall(rf"tunnel {name}/(\w+)/\d+ is open", edge.running.output))


@contextmanager
def serving(
    folder: Path, token: Token, command: list[str], *, env: Mapping[str, str] | None = None
) -> Iterator[Process]:
    """A server's process, ended at the end if it has not."""
    full = {"PYTHONPATH": f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    full |= {"ASGI_TUNNEL_TOKEN": token.token, **(env or {})}
    process = spawn(command, folder, env=full, cwd=folder)
    try:
        yield process
    finally:
        if process.is_alive():
            process.stop()


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge for all."""
    with running_edge(tmp_path_factory.mktemp("edge"), limits=f"hold_timeout = {HOLD}") as running:
        yield running


@pytest.fixture(scope="module", params=SERVERS, ids=str)
def running(
    request: pytest.FixtureRequest, edge: Edge, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Running]:
    """One server with its app, started once; SIGTERM ends both cleanly."""
    server: Server = request.param
    folder = tmp_path_factory.mktemp("server")
    token = edge.create_token(f"server-{uuid4().hex[:8]}")
    with serving(folder, token, server.arguments(f"{APPS}.{server.app}:served")) as process:
        process.wait_for("is live", count=server.workers)
        yield Running(server, edge, token, process)
        assert process.stop() in ENDED_CLEANLY
    assert "Traceback" not in process.output
    assert "ERROR" not in process.output
    phases = server.has_lifespan and server.app != "django_served"
    assert process.output.count("app: stopped") == (server.workers if phases else 0)


def test_served_at_the_edge_and_locally(running: Running) -> None:
    """The same app answers visitors of the edge and of this machine, and knows both for sure."""
    for web in running.visitors():
        answer = web.get("/about")
        assert answer.status_code == 200, answer.text
        about = answer.json()
        own = answer.extensions["network_stream"].get_extra_info("client_addr")
        assert (about["client"], int(about["port"])) == own  # granian's own ports are texts
        assert about["scheme"] == "http"
        host = web.headers.get("host", web.base_url.netloc.decode())
        assert about["url"] == f"http://{host}/about"
        assert about["started"] in (True, None)


def test_body_and_stream_at_both(running: Running) -> None:
    """Bodies come back whole and responses stream, whichever way the visitor came."""
    for web in running.visitors():
        body = os.urandom(300_000)
        assert web.post("/echo", content=body).content == body
        if running.server.workers > 1:
            continue  # the gate may be in another worker
        key = uuid4().hex
        with web.stream("GET", f"/stream/{key}") as response:
            lines = response.iter_lines()
            assert next(lines) == "first"
            assert web.post(f"/release/{key}").status_code == 200
            assert list(lines) == ["last"]


def test_websocket_at_both(running: Running) -> None:
    """WebSockets work, whichever way the visitor came."""
    if not running.server.has_websocket:
        pytest.skip("the app has none")
    local = connect(f"ws://127.0.0.1:{running.port}/ws", open_timeout=TIMEOUT, proxy=None)
    for connection in (open_websocket(running.edge, running.hostname, "/ws"), local):
        with connection as websocket:
            assert json.loads(websocket.recv(timeout=10))["client"] == "127.0.0.1"
            websocket.send("hello")
            assert websocket.recv(timeout=10) == "hello"


def test_every_worker_serves(running: Running) -> None:
    """Each worker has a tunnel of its own, and the edge knows them as replicas of one app."""
    assert running.process.output.count("is live") == running.server.workers
    wait_until(
        lambda: len(instances(running.edge, running.token)) == running.server.workers,
        what="one tunnel for each worker",
    )


def test_middleware_added_later_is_not_bypassed(running: Running) -> None:
    """What wraps ``TunnelMiddleware`` sees relayed requests too."""
    if running.server.app not in ("starlette_app", "fastapi_app"):
        pytest.skip("the app has one layer")
    with browse(running.edge, running.hostname) as web:
        assert web.get("/about").headers["x-stamp"] == "set"


def test_relayed_error_is_handled_as_a_local_one(edge: Edge, tmp_path: Path) -> None:
    """An exception reaches the app's own handler, which Starlette runs outermost of all."""
    token = edge.create_token(f"failing-{uuid4().hex[:8]}")
    command = [str(BIN / "hypercorn"), "--bind", "127.0.0.1:0", f"{APPS}.fastapi_app:served"]
    with browse(edge, token.hostnames[0]) as web, serving(tmp_path, token, command) as process:
        process.wait_for("is live: ")
        assert f"{APPS}.fastapi_app:served is live: {token.urls[0]}" in process.output
        answer = web.get("/fail")
        assert (answer.status_code, answer.text) == (500, "handled by the app")
        process.wait_for("RuntimeError: on purpose")
        assert web.get("/about").status_code == 200


def test_server_without_lifespan_opens_the_tunnel_late(edge: Edge, tmp_path: Path) -> None:
    """Where no lifespan comes, the first request opens the tunnel, and the log says so, once."""
    token = edge.create_token(f"late-{uuid4().hex[:8]}")
    command = [str(BIN / "uvicorn"), "--port", "0", "--lifespan", "off"]
    with serving(tmp_path, token, [*command, f"{APPS}.django_served:served"]) as process:
        with httpx.Client(base_url=f"http://127.0.0.1:{own_port(process)}") as local:
            assert local.get("/about", timeout=TIMEOUT).status_code == 200
            process.wait_for("is live")
            assert local.get("/about").status_code == 200
        with browse(edge, token.hostnames[0]) as web:
            assert web.get("/about").status_code == 200
            assert process.stop() in ENDED_CLEANLY
            assert process.output.count("is live") == 1
            assert process.output.count("this server sent no lifespan") == 1
            assert "Traceback" not in process.output
            assert "Task was destroyed" not in process.output
            wait_until(lambda: web.get("/about").status_code == 503, what="the name is free")


@pytest.mark.parametrize("lifespan", ["auto", "off"])
def test_runner_opens_no_second_tunnel(edge: Edge, tmp_path: Path, lifespan: str) -> None:
    """An app with ``TunnelMiddleware`` under ``asgi-tunnel run`` has one tunnel, the runner's."""
    token = edge.create_token(f"single-{uuid4().hex[:8]}")
    command = [str(BIN / "asgi-tunnel"), "run", f"{APPS}.starlette_app:served"]
    command += ["--app-dir", str(ROOT), "--lifespan", lifespan]
    with browse(edge, token.hostnames[0]) as web, serving(tmp_path, token, command) as process:
        process.wait_for("is live")
        for _ in range(2):
            assert web.post("/echo", content=b"1").content == b"1"
        assert process.stop() == 0
        assert process.output.count("is live") == 1
        assert len(instances(edge, token)) == 1
        assert "Traceback" not in process.output


def test_lifespan_frames_the_tunnel(edge: Edge, tmp_path: Path) -> None:
    """The hostname is served only between startup's end and shutdown's beginning."""
    start, stop = tmp_path / "start", tmp_path / "stop"
    token = edge.create_token(f"framed-{uuid4().hex[:8]}")
    command = [str(BIN / "uvicorn"), "--port", "0", f"{APPS}.starlette_app:served"]
    env = {"APP_START": str(start), "APP_STOP": str(stop)}
    with (
        browse(edge, token.hostnames[0]) as web,
        serving(tmp_path, token, command, env=env) as process,
    ):
        process.wait_for("app: starting")
        assert web.get("/about").status_code == 503
        assert "is live" not in process.output
        start.touch()
        process.wait_for("is live")
        assert web.get("/about").status_code == 200
        os.kill(process.pid, signal.SIGTERM)
        process.wait_for("app: stopping")
        assert web.get("/about").status_code == 503
        stop.touch()
        assert process.popen.wait(TIMEOUT) in ENDED_CLEANLY
    assert "app: stopped" in process.output
    assert "Traceback" not in process.output


def test_request_in_progress_is_finished_before_shutdown(edge: Edge, tmp_path: Path) -> None:
    """A relayed response goes on after SIGTERM, and ends before the app's shutdown begins."""
    token = edge.create_token(f"drained-{uuid4().hex[:8]}")
    command = [str(BIN / "uvicorn"), "--port", "0", f"{APPS}.starlette_app:served"]
    key = uuid4().hex
    with browse(edge, token.hostnames[0]) as web, serving(tmp_path, token, command) as process:
        process.wait_for("is live")
        url = f"http://127.0.0.1:{own_port(process)}/stream/{key}"
        # The server waits for the local response, and so leaves the tunnel open meanwhile.
        with (
            httpx.stream("GET", url, timeout=TIMEOUT) as own,
            web.stream("GET", f"/stream/{key}") as response,
        ):
            own_lines, lines = own.iter_lines(), response.iter_lines()
            assert (next(own_lines), next(lines)) == ("first", "first")
            os.kill(process.pid, signal.SIGTERM)
            process.wait_for("Waiting for")
            assert web.post(f"/release/{key}").status_code == 200
            assert (list(own_lines), list(lines)) == (["last"], ["last"])
        assert process.popen.wait(TIMEOUT) in ENDED_CLEANLY
        assert "app: stopped" in process.output


def test_failed_startup_is_never_served(edge: Edge, tmp_path: Path) -> None:
    """An app whose startup fails ends the server as ever, and its tunnel is never opened."""
    (tmp_path / "failing.py").write_text(
        "from contextlib import asynccontextmanager\n"
        "from starlette.applications import Starlette\n"
        "from asgi_tunnel import Tunnel\n"
        "@asynccontextmanager\n"
        "async def lifespan(app):\n"
        "    raise RuntimeError('no database')\n"
        "    yield\n"
        "app = Tunnel(Starlette(lifespan=lifespan))\n"
    )
    token = edge.create_token(f"failing-{uuid4().hex[:8]}")
    with serving(tmp_path, token, [str(BIN / "uvicorn"), "--port", "0", "failing:app"]) as process:
        assert process.popen.wait(TIMEOUT) == 3
    assert "no database" in process.output
    assert "is live" not in process.output


@pytest.mark.parametrize("runner", ["uvicorn", "asgi-tunnel"])
def test_reload_brings_the_change(edge: Edge, tmp_path: Path, runner: str) -> None:
    """After a change of a file the new code answers, and nobody is told that it is away."""
    code = tmp_path / "code"
    code.mkdir()
    source = (
        "from starlette.applications import Starlette\n"
        "from starlette.responses import PlainTextResponse\n"
        "from starlette.routing import Route\n"
        "from asgi_tunnel import Tunnel\n"
        "async def page(request):\n"
        "    return PlainTextResponse('VERSION')\n"
        "app = Tunnel(Starlette(routes=[Route('/', page)]))\n"
    )
    main = code / "main.py"
    main.write_text(source.replace("VERSION", "one"))
    command = [str(BIN / runner)]
    if runner == "uvicorn":
        command += ["main:app", "--port", "0", "--reload", "--reload-dir", str(code)]
        command += ["--app-dir", str(code)]
    else:
        command += ["run", "main:app", "--reload", "--app-dir", str(code)]
    token = edge.create_token(f"reloaded-{uuid4().hex[:8]}")
    with browse(edge, token.hostnames[0]) as web, serving(tmp_path, token, command) as process:
        process.wait_for("is live")
        assert web.get("/").text == "one"
        # Another size as well: compiled code is kept by size and time in whole seconds.
        main.write_text(source.replace("VERSION", "version two"))

        def change() -> bool:
            if runner == "uvicorn":  # it compares with its first look, which may come after ours
                os.utime(main)
            return "eloading" in process.output

        wait_until(change, what="the change is noticed")
        process.wait_for("is live", count=2)
        wait_until(lambda: web.get("/").text == "version two", what="the new version answers")
        assert process.stop() in ENDED_CLEANLY
    assert "Traceback" not in process.output
