"""Commands that ask a running edge, as an operator types them: ``tunnel``, ``top``, ``logs``."""

from __future__ import annotations

import asyncio
import http.client
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result
from jsonschema import Draft202012Validator
from tests.e2e.harness import Edge, Token, running_edge, wait_until

import asgi_tunnel
from asgi_tunnel_edge.cli import main as edge_cli
from asgi_tunnel_edge.control import CONTROL_FILE, ask
from asgi_tunnel_edge.observers.recent import MAX_LINES

SCHEMAS = Path(__file__).parents[3] / "docs/reference/schemas/edge"
SHOP, CART = "shop.example.test", "cart.example.test"

pytestmark = pytest.mark.e2e


class App:
    """Answers at once; ``/hold`` when ``released`` is set; ``/fail`` with 500."""

    def __init__(self) -> None:
        self.released = threading.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Serve one call."""
        if scope["type"] != "http":
            raise NotImplementedError  # no lifespan
        if scope["path"] == "/hold":
            await asyncio.to_thread(self.released.wait, 20)
        status = 500 if scope["path"] == "/fail" else 200
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})


@dataclass
class World:
    """An edge as processes, and an app in a thread of this one."""

    edge: Edge
    token: Token
    app: App

    def run(self, *words: str) -> Result:
        """Run a command."""
        return CliRunner().invoke(edge_cli, [*words, "--data", str(self.edge.folder)])

    def json(self, *words: str) -> Any:
        """What a command prints as JSON, as its schema has it."""
        done = self.run(*words, "--json")
        assert (done.exit_code, done.stderr) == (0, ""), done.output
        name = "-".join(words[:2]) if words[0] == "tunnel" else words[0]
        return checked(name, done.stdout)

    def get(self, path: str = "/", host: str = SHOP) -> int:
        """A visitor's request; return the status."""
        connection = http.client.HTTPConnection("127.0.0.1", self.edge.port, timeout=20)
        try:
            connection.request("GET", path, headers={"host": host})
            response = connection.getresponse()
            response.read()
            return response.status
        finally:
            connection.close()

    def sessions(self) -> dict[str, Any]:
        """What ``tunnel show`` says, by the session's id."""
        return {one["id"]: one for one in self.json("tunnel", "show", "shop")}

    def wait_attached(self, count: int = 2) -> dict[str, Any]:
        """Return the sessions once so many have a connection and take requests."""

        def is_there() -> bool:
            done = self.run("tunnel", "show", "shop", "--json")
            states = [one["state"] for one in json.loads(done.stdout)] if not done.exit_code else []
            return states == ["attached"] * count

        wait_until(is_there, what=f"{count} connections, and no other ones")
        return self.sessions()

    @contextmanager
    def held(self, path: str = "/hold") -> Iterator[list[int]]:
        """A request that is in progress in the block, whose status comes after it."""
        statuses: list[int] = []
        self.app.released.clear()
        before = self.json("tunnel", "list")[0]["in_flight"]
        thread = threading.Thread(target=lambda: statuses.append(self.get(path)))
        thread.start()
        try:
            wait_until(lambda: self.json("tunnel", "list")[0]["in_flight"] > before)
            yield statuses
        finally:
            self.app.released.set()
            thread.join()


def checked(name: str, text: str) -> Any:
    """A document, as its schema has it."""
    document = json.loads(text)
    Draft202012Validator(json.loads((SCHEMAS / f"{name}.json").read_text())).validate(document)
    return document


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One for all tests."""
    with running_edge(tmp_path_factory.mktemp("tunnel")) as edge:
        token = edge.create_token("shop", "--hostname", SHOP, "--hostname", CART)
        app = App()
        handle = asgi_tunnel.start_in_thread(app, token=token.token)
        assert handle is not None
        try:
            made = World(edge, token, app)
            made.wait_attached()
            yield made
        finally:
            app.released.set()
            handle.stop()


def test_nobody_is_connected(tmp_path: Path) -> None:
    """Where no edge runs, each command says so in one sentence, with exit code 3."""
    runner = CliRunner()
    words = ["--data", str(tmp_path / "edge")]
    made = runner.invoke(edge_cli, ["init", *words, "--domain", "a.test", "--tls", "off"])
    assert made.exit_code == 0
    for command in (["tunnel", "list"], ["tunnel", "kick", "shop"], ["top"], ["logs", "-f"]):
        done = runner.invoke(edge_cli, [*command, *words])
        assert (done.exit_code, done.stderr.count("\n")) == (3, 1)
        assert "; start it with `asgi-tunnel-edge run" in done.stderr


def test_list_and_show(world: World) -> None:
    """Who is connected, from where, with which software, and what it has carried."""
    assert world.get() == 200
    wait_until(lambda: world.json("tunnel", "list")[0]["round_trip"] is not None)
    (found,) = world.json("tunnel", "list")
    assert (found["token"], found["token_id"]) == ("shop", world.token.id)
    assert (found["attached"], found["waiting"], found["draining"]) == (2, 0, 0)
    assert found["hostnames"] == [CART, SHOP]
    assert found["addresses"] == ["127.0.0.1"]
    version = ".".join(map(str, sys.version_info[:3]))
    assert found["agents"] == [
        f"asgi-tunnel/{asgi_tunnel.__version__} python/{version} {sys.platform}"
    ]
    assert found["requests"] >= 1
    assert found["bytes"] > 200
    head, row = world.edge.command("tunnel", "list").splitlines()
    assert head.split()[:3] == ["TOKEN", "HOSTNAMES", "CONNECTIONS"]
    assert row.startswith(f"shop ({world.token.id})  {CART}, {SHOP}  2 ")
    sessions = world.sessions()
    assert [one["slot"] for one in sessions.values()] == [0, 1]
    first = next(iter(sessions))
    text = world.edge.command("tunnel", "show", first)
    assert text.startswith(f"Session {first} of shop ({world.token.id})\n")
    assert f"software    asgi-tunnel/{asgi_tunnel.__version__}" in text
    assert text.count("Session ") == 1


def test_who_is_not_there(world: World) -> None:
    """One sentence, which says where to look; of several names all are there or nothing is done."""
    before = world.sessions().keys()
    for words in (("show", "shop2"), ("kick", "shop", "shop2"), ("drain", "shop", "shop2")):
        done = world.run("tunnel", *words)
        assert (done.exit_code, done.stderr.count("\n")) == (2, 1)
        assert 'no app is connected with a token "shop2"' in done.stderr
        assert "see what is connected with `asgi-tunnel-edge tunnel list`" in done.stderr
        failed = world.run("tunnel", *words, "--json")
        assert checked("error", failed.stdout)["error"]["code"] == "tunnel_not_found"
    assert world.sessions().keys() == before


def test_kick(world: World) -> None:
    """The sessions end now, what is in flight too; the app is back by itself, on others."""
    before = world.sessions()
    one, other = before
    assert world.json("tunnel", "kick", one) == {"sessions": 1, "in_flight": 0}
    assert list(world.sessions()) == [other]
    done = world.run("tunnel", "kick", "shop")
    assert done.stdout.startswith("1 session ended")
    assert "token revoke" in done.stdout
    assert not world.wait_attached().keys() & {one, other}
    world.edge.running.wait_for("has ended: the edge's operator has ended it")
    assert world.get() == 200


def test_drain(world: World) -> None:
    """A request in progress is finished by the old session, and the fresh ones take what comes."""
    before = world.wait_attached().keys()
    with world.held() as statuses:
        assert world.json("tunnel", "drain", "shop") == {
            "sessions": 2,
            "drained": 2,
            "in_flight": 1,
        }

        def is_renewed() -> bool:
            sessions = world.sessions()
            fresh = [one for one in sessions if one not in before]
            old = [one for one in sessions if one in before]
            return len(fresh) == 2 and len(old) == 1 and sessions[old[0]]["state"] == "draining"

        wait_until(is_renewed, what="two fresh sessions beside the busy one")
        assert world.get() == 200
        assert statuses == []
        assert world.json("tunnel", "list")[0]["draining"] == 1
    assert statuses == [200]
    assert not world.wait_attached().keys() & before


def test_top(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rates of each hostname and class; a request that is in progress is in flight."""
    monkeypatch.setattr("asgi_tunnel_edge.commands.top.INTERVAL", 0.2)
    world.run("top", "--once")  # it is counted from now on, for a while
    stop = threading.Event()

    def visit() -> None:
        while not stop.is_set():
            world.get("/fail", CART)
            world.get("/", "nobody.example.test")

    visitor = threading.Thread(target=visit)
    with world.held():
        visitor.start()
        try:
            found = world.json("top", "--once")
        finally:
            stop.set()
            visitor.join()
    assert found["tunnels"] == 2
    assert found["in_flight"] >= 1
    assert found["connections"] >= 1
    assert found["tunnel_bytes_per_second"] > 0
    names = {one["hostname"]: one for one in found["hostnames"]}
    assert names.keys() == {CART, "-"}
    cart = names[CART]
    assert cart["requests_per_second"] == cart["statuses_per_second"]["5xx"] > 0
    assert cart["bytes_per_second"] == pytest.approx(5 * cart["requests_per_second"], rel=0.1)
    assert cart["p50"] is not None
    assert names["-"]["statuses_per_second"]["4xx"] > 0
    text = world.edge.command("top", "--once")
    assert "2 connections of apps" in text


def test_logs(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """The newest lines, with filters; and what comes meanwhile, to Ctrl-C."""
    for path in ("/one", "/fail", "/two"):
        world.get(path)
    world.get("/three", CART)
    done = world.run("logs", "-n", "3", "--hostname", SHOP)
    assert done.exit_code == 0
    assert [line.split('"')[1] for line in done.stdout.splitlines()] == [
        "GET /one",
        "GET /fail",
        "GET /two",
    ]
    assert "journalctl -u asgi-tunnel-edge" in done.stderr
    (failed,) = world.run("logs", "--status", "5xx", "-n", "1", "--json").stdout.splitlines()
    assert checked("logs", failed)["target"] == "/fail"
    wrong = world.run("logs", "--status", "6xx")
    assert (wrong.exit_code, wrong.stderr.count("\n")) == (2, 1)

    visits = [("/five", CART), ("/four", SHOP)]

    def step(_seconds: float) -> None:
        if not visits:
            raise KeyboardInterrupt
        world.get(*visits.pop())

    monkeypatch.setattr(time, "sleep", step)
    done = world.run("logs", "--follow", "-n", "0", "--hostname", CART, "--hostname", SHOP)
    assert done.exit_code == 0
    assert [line.split('"')[1] for line in done.stdout.splitlines()] == ["GET /four", "GET /five"]


def test_top_on_a_screen(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ctrl-C ends it well; so does an edge that is gone for a moment not end it."""
    looks = 0

    def sleep(_seconds: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 3:
            raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    done = world.run("top")
    assert (done.exit_code, done.stderr) == (0, "")
    assert done.stdout.count("connections of apps") == 2
    assert "\x1b" not in done.stdout  # it is no terminal


def test_a_reload_goes_on(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    """Sessions, log and traffic of two generations are seen together; the old one is drained."""
    monkeypatch.setattr("asgi_tunnel_edge.commands.top.INTERVAL", 0.2)
    with world.held() as statuses:
        file = world.edge.folder / "edge.toml"
        text = file.read_text()
        file.write_text(text.replace("[limits]\n", "[limits]\nmax_tunnels = 99\n", 1))
        world.edge.command("reload")
        sessions = world.sessions().values()
        assert len({one["pid"] for one in sessions}) == 2
        assert {one["state"] for one in sessions} == {"attached", "draining"}
        assert world.json("top", "--once")["generation"] == 2
        assert world.get("/new") == 200
        said = world.run("logs", "-n", str(MAX_LINES), "--hostname", SHOP).stdout
        assert '"GET /new"' in said
        assert '"GET /one"' in said
    assert statuses == [200]


def test_whose_the_control_socket_is(world: World) -> None:
    """T126: nobody but the edge's user, and root, can open it."""
    path = world.edge.folder / CONTROL_FILE
    assert path.stat().st_mode & 0o777 == 0o600
    assert world.edge.folder.stat().st_mode & 0o077 == 0
    if os.getuid():
        return  # to be somebody else takes root
    code = (
        "import os, socket; os.setgid(65534); os.setuid(65534); s = socket.socket(socket.AF_UNIX)\n"
        f"try: s.connect({str(path)!r})\n"
        "except PermissionError: raise SystemExit(7)\n"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 7


def test_nothing_that_is_asked_ends_the_edge(world: World) -> None:
    """T96: requests of any form, and clients that come and never read, leave it serving."""
    folder, pid = str(world.edge.folder), world.edge.running.pid
    for request in (
        {"command": "kick"},
        {"command": "kick", "names": [{}] * 1000, "to": "all"},
        {"command": "tunnels", "after": [1], "to": "all"},
        {"command": "tunnels", "to": {}},
        {"command": "log", "after": {"1": "x", str(pid): -5}, "to": "all"},
        {"command": "traffic", "to": -1},
        {"command": "status", "to": "all"},
        {"command": "nonsense", "to": "all"},
        {"command": "end", "to": "all"},
        {"command": "retire", "seconds": 0},
        {"command": "x" * 60_000, "to": [pid]},
    ):
        assert isinstance(ask(folder, request, 10), dict)
    assert world.edge.running.pid == pid
    assert world.get() == 200
