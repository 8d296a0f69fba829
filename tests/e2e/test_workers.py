"""Several serving processes of one edge: whatever a visitor or an app comes to, all works."""

from __future__ import annotations

import base64
import http.client
import json
import os
import signal
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from asgi_tunnel_edge.access.passwords import hash_password
from asgi_tunnel_edge.accounts import UserRecord
from asgi_tunnel_edge.settings.config import EdgeConfig
from asgi_tunnel_edge.storage.access import AccessStore

from .harness import Edge, Token, allowed, running_app, running_edge, wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(240)]

ROOT = Path(__file__).parents[2]
ACCESS = "/.well-known/asgi-tunnel/access/"
PASSWORD = "correct horse battery"
THREE = ("app0", "app1", "app2")
APP = '''
import os

async def app(scope, receive, send):
    """Say who is asked, and how long the body was."""
    assert scope["type"] == "http"
    size, more = 0, True
    while more:
        message = await receive()
        size += len(message.get("body", b""))
        more = message.get("more_body", False)
    text = f"{os.environ['NAME']} {size}".encode()
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": text})
'''


@contextmanager
def edge_of(
    folder: Path, workers: int, *, settings: str = "", metrics: str = "", dashboard: str = ""
) -> Iterator[Edge]:
    """An edge of so many processes, all of which serve."""

    def prepare(data: Path) -> None:
        file = data / "edge.toml"
        file.write_text(file.read_text().replace("[dashboard]\n", f"[dashboard]\n{dashboard}\n", 1))

    first = f"workers = {workers}"
    with running_edge(
        folder, first=first, settings=settings, metrics=metrics, prepare=prepare
    ) as edge:
        control = edge.folder / "edge.control"
        wait_until(control.exists, timeout=90, what="the first process serves")
        wait_until(lambda: len(serving(edge)) == workers, timeout=90, what="all serve")
        yield edge


@pytest.fixture(scope="module")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge of two processes with a door, metrics and a dashboard, for tests that leave it so."""
    folder = tmp_path_factory.mktemp("pair")
    metrics = 'listen = "127.0.0.1:0"'
    with edge_of(folder, 2, settings=DOOR, metrics=metrics, dashboard=DASHBOARD) as edge:
        yield edge


@contextmanager
def apps(folder: Path, edge: Edge, *names: str, connections: int = 1) -> Iterator[list[Token]]:
    """Apps that are connected, each with a token of its own."""
    (folder / "named.py").write_text(APP)
    tokens = [edge.create_token(name) for name in names]
    with ExitStack() as stack:
        for name, token in zip(names, tokens, strict=True):
            env = {"NAME": name, "ASGI_TUNNEL_CONNECTIONS": str(connections)}
            stack.enter_context(running_app(folder, token, "named:app", env=env))
        yield tokens


def status(edge: Edge) -> list[dict[str, Any]]:
    """What each serving process says of itself, in their order."""
    found = json.loads(edge.command("status", "--json"))["workers"]
    return [one for one in found if one["state"] == "serving" and one["replies"]]


def serving(edge: Edge) -> list[int]:
    """Their process ids."""
    return [one["pid"] for one in status(edge)]


def ask(
    edge: Edge,
    hostname: str,
    path: str = "/",
    *,
    body: bytes | None = None,
    fields: dict[str, str] | None = None,
) -> http.client.HTTPResponse:
    """Ask on a connection of its own, which any process may get; the body is read."""
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=30)
    try:
        method = "GET" if body is None else "POST"
        connection.request(method, path, body, {"Host": hostname, **(fields or {})})
        response = connection.getresponse()
        response.text = response.read().decode()  # type: ignore[attr-defined]
        return response
    finally:
        connection.close()


class Visitors:
    """Visitors that come again and again, each on a new connection, until they are stopped."""

    def __init__(self, edge: Edge, hostnames: list[str], count: int = 4) -> None:
        self.found: Counter[object] = Counter()
        self._edge, self._hostnames = edge, hostnames
        self._is_over = threading.Event()
        self._threads = [threading.Thread(target=self._run) for _ in range(count)]

    def __enter__(self) -> Visitors:
        for one in self._threads:
            one.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._is_over.set()
        for one in self._threads:
            one.join()

    def _run(self) -> None:
        while not self._is_over.is_set():
            for number, hostname in enumerate(self._hostnames):
                try:
                    response = ask(self._edge, hostname, body=b"x" * number)
                    text = response.text  # type: ignore[attr-defined]
                    is_right = (response.status, text) == (200, f"app{number} {number}")
                    self.found[200 if is_right else (response.status, text)] += 1
                except OSError as error:
                    self.found[repr(error)] += 1
                time.sleep(0.03)


def test_every_visitor_reaches_every_app(tmp_path: Path) -> None:
    """Whichever process has the app's one connection, and whichever the visitor comes to."""
    workers = 4
    with edge_of(tmp_path, workers) as edge, apps(tmp_path, edge, *THREE) as tokens:
        for _ in range(40):
            for number, token in enumerate(tokens):
                response = ask(edge, token.hostnames[0], body=b"x" * 100_000)
                text = response.text  # type: ignore[attr-defined]
                assert (response.status, text) == (200, f"app{number} 100000")
        found = status(edge)
        assert sum(one["tunnels"] for one in found) == 3
        assert sum(one["forwarded"] for one in found) == sum(one["served"] for one in found) > 0
        assert sum(one["forwarded"] > 0 for one in found) >= workers - 1
        names = {one["token"] for one in json.loads(edge.command("tunnel", "list", "--json"))}
        assert names == set(THREE)


def test_a_crash_and_a_reload_under_load(tmp_path: Path) -> None:
    """A process that is killed is back within 2 s, and only what it had is lost; a reload none."""
    with edge_of(tmp_path, 2) as edge, apps(tmp_path, edge, *THREE[:2], connections=2) as tokens:
        names = [token.hostnames[0] for token in tokens]
        with Visitors(edge, names) as visitors:
            wait_until(lambda: visitors.found[200] > 100, timeout=60)
            victim = status(edge)[1]["pid"]
            os.kill(victim, signal.SIGKILL)
            killed = time.monotonic()
            wait_until(lambda: len(serving(edge)) == 2 and victim not in serving(edge), timeout=60)
            took = time.monotonic() - killed
        # Promised are 2 s; how loaded the machine is changes from one second to the next.
        assert took < allowed(5.0, killed)
        failed = visitors.found.total() - visitors.found[200]
        assert failed <= 4, visitors.found  # what each of the four had in progress there
        with Visitors(edge, names) as visitors:
            wait_until(lambda: visitors.found[200] > 100, timeout=60)
            file = edge.folder / "edge.toml"
            for count in (3, 2):
                text = file.read_text().splitlines()
                file.write_text("\n".join([f"workers = {count}", *text[1:]]) + "\n")
                assert json.loads(edge.command("reload", "--json"))["ok"]
                assert len(serving(edge)) == count
        assert set(visitors.found) == {200}, visitors.found


def test_an_inbox_is_delivered_by_one(pair: Edge, tmp_path: Path) -> None:
    """Requests that came to all processes reach the app once each, in their order."""
    token = pair.create_token("shop")
    (tmp_path / "keeping.py").write_text(INBOX)
    env = {"ASGI_TUNNEL_CONNECTIONS": "1"}
    with running_app(tmp_path, token, "keeping:app", env=env):
        assert ask(pair, token.hostnames[0], "/hooks/b", body=b"0").status in (200, 202)
    for number in range(1, 60):
        assert ask(pair, token.hostnames[0], "/hooks/a", body=b"%d" % number).status == 202

    def rows() -> list[Any]:
        found: list[Any] = json.loads(pair.command("inbox", "list", "--json"))
        return found

    wait_until(lambda: len(rows()) >= 59, what="all are stored")
    with running_app(tmp_path, token, "keeping:app", env=env):
        wait_until(lambda: not rows(), timeout=60, what="all are delivered")
        taken = json.loads(ask(pair, token.hostnames[0], "/taken").text)  # type: ignore[attr-defined]
    first = taken[:1] if taken[:1] == ["0"] else []  # else the first app has taken it
    assert taken == first + [str(number) for number in range(1, 60)]


INBOX = '''
from fastapi import FastAPI, Request

from asgi_tunnel.inbox import inbox

app = FastAPI()
taken = []

@inbox
@app.post("/hooks/{name}")
async def hook(name: str, request: Request) -> None:
    """Take an event."""
    taken.append((await request.body()).decode())

@app.get("/taken")
async def show() -> list[str]:
    """What was taken."""
    return taken
'''

DOOR = """
[access.family]
users = ["anna"]

[hostnames."home.example.test"]
access = "family"
"""


def test_who_signs_out_is_out_everywhere(pair: Edge, tmp_path: Path) -> None:
    """A login holds at all processes, and so does its end."""
    with apps(tmp_path, pair, "home") as (token,):
        store, hostname = (
            AccessStore(EdgeConfig.load(pair.folder).database_path),
            token.hostnames[0],
        )
        store.create_user(UserRecord(name="anna", created_at=1), password=hash_password(PASSWORD))
        fields = {"Origin": f"http://{hostname}", "Accept": "text/html"}
        form = {"Content-Type": "application/x-www-form-urlencoded"}
        body = urlencode({"user": "anna", "password": PASSWORD, "to": "/"}).encode()

        def log_in() -> str | None:
            done = ask(pair, hostname, f"{ACCESS}password", body=body, fields=fields | form)
            cookie = done.getheader("set-cookie")
            return None if cookie is None else cookie.partition(";")[0]

        cookie = None
        deadline = time.monotonic() + 30
        while cookie is None and time.monotonic() < deadline:
            cookie = log_in()  # once the edge has heard of anna
        assert cookie is not None
        inside = {**fields, "Cookie": cookie}

        def seen() -> set[int]:
            return {ask(pair, hostname, fields=inside).status for _ in range(40)}

        wait_until(lambda: seen() == {200})  # once each process has heard of anna
        assert ask(pair, hostname, f"{ACCESS}logout", body=b"", fields=inside | form).status == 200
        wait_until(lambda: seen() == {303}, what="each process has heard of the end")


def test_metrics_are_of_all(pair: Edge, tmp_path: Path) -> None:
    """A scrape has the requests of all processes, whichever they came to, and never fewer."""
    with apps(tmp_path, pair, "counted") as (token,):

        def count() -> float:
            lines = pair.command("metrics").splitlines()
            name = 'asgi_tunnel_edge_requests_total{code="200",hostname="counted.example.test"}'
            return sum(float(line.split()[-1]) for line in lines if line.startswith(name))

        for _ in range(30):
            assert ask(pair, token.hostnames[0]).status == 200
        wait_until(lambda: count() == 30, what="all are counted")
        victim = status(pair)[1]["pid"]
        os.kill(victim, signal.SIGKILL)
        wait_until(lambda: len(serving(pair)) == 2 and victim not in serving(pair), timeout=60)
        for _ in range(10):
            assert ask(pair, token.hostnames[0]).status == 200
        wait_until(lambda: count() == 40, what="what the one that is gone had stays")


DASHBOARD = 'hostname = "admin.example.test"\noperators = ["anna"]'


def test_the_api_is_about_all(pair: Edge, tmp_path: Path) -> None:
    """Whichever process answers: each tunnel is there, counted once, and can be ended."""
    with apps(tmp_path, pair, *THREE) as tokens:
        made = json.loads(
            pair.command("service-token", "create", "ci", "--access", "dashboard", "--json")
        )
        name = f"{made['id']}:{made['secret']}".encode()
        fields = {"Authorization": f"Basic {base64.b64encode(name).decode()}"}

        def get(path: str, *, body: bytes | None = None) -> Any:
            response = ask(pair, "admin.example.test", f"/api/v1{path}", body=body, fields=fields)
            text = response.text  # type: ignore[attr-defined]
            assert text.startswith("{"), (path, response.status, text)
            return json.loads(text)

        host, path = "admin.example.test", "/api/v1/tunnels"
        wait_until(
            lambda: {ask(pair, host, path, fields=fields).status for _ in range(12)} == {200},
            what="all know the service token",
        )
        for _ in range(20):
            found = get("/tunnels")
            assert (found["total"], {one["token"] for one in found["items"]}) == (3, set(THREE))
            assert [one["token"] for one in get("/tunnels/app1")["sessions"]] == ["app1"]
        for _ in range(4):
            assert get("/tunnels/app2/kick", body=b"")["sessions"] == 1
            wait_until(lambda: get("/tunnels")["total"] == 3, timeout=30, what="it is back")
        assert ask(pair, tokens[2].hostnames[0]).status == 200
