"""Several serving processes of one edge: their start, crashes, reloads, upgrades and end."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import shutil
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest
from jsonschema import Draft202012Validator
from tests.e2e.harness import Edge, allowed, running_edge, wait_until

import asgi_tunnel_edge
from asgi_tunnel_edge.endpoints.health import HEALTH_PATH
from asgi_tunnel_edge.parent.generation import Generation, Starter
from asgi_tunnel_edge.parent.worker import State, Worker

SCHEMAS = Path(__file__).parents[3] / "docs/reference/schemas/edge"


class Parent(Starter):
    """Starts processes that only pretend, and holds times back."""

    def __init__(self) -> None:
        self.loop = cast(Any, self)
        self.started: list[int] = []
        self.due: list[tuple[float, Callable[[], None]]] = []
        self.has_room = True

    def start(self, generation: Generation, place: int) -> Worker:
        """Note it."""
        if not self.has_room:
            raise OSError(11, "Resource temporarily unavailable")
        self.started.append(place)
        pid = 100 + len(self.started)
        one = SimpleNamespace(place=place, pid=pid, state=State.STARTING, ready={})
        return cast(Worker, one)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> Any:
        """Keep it."""
        self.due.append((seconds, callback))
        return SimpleNamespace(cancel=lambda: None)


def serves(worker: Any, workers: int) -> Worker:
    """It says so."""
    worker.state, worker.started = State.SERVING, time.monotonic()
    worker.ready = {"workers": workers, "config": "text", "sockets": ["listen a"]}
    return cast(Worker, worker)


def test_the_order() -> None:
    """The first one says how many; the last one that serves makes it complete, once."""
    parent = Parent()
    one = Generation(parent, 1)
    one.begin()
    assert parent.started == [0]
    assert not one.on_ready(serves(one.workers[0], 3))
    assert (parent.started, one.config, one.is_steady) == ([0, 1, 2], "text", False)
    assert not one.on_ready(serves(one.workers[2], 3))
    assert one.on_ready(serves(one.workers[1], 3))
    assert not one.on_ready(one.workers[1])
    assert (one.pid, one.sockets) == (101, {"listen a"})


def test_one_that_ends() -> None:
    """It is replaced at once, then more and more slowly; a system without room is asked again."""
    parent = Parent()
    one = Generation(parent, 1)
    one.begin()
    one.on_ready(serves(one.workers[0], 1))
    waits = []
    for _ in range(3):
        worker = one.workers[0]
        one.lost(worker)
        one.replace(serves(worker, 1), -9)
        seconds, start = parent.due.pop()
        waits.append(seconds)
        start()
    assert waits == [0.0, 1.0, 2.0]
    parent.has_room = False
    one.lost(one.workers[0])
    one.fill()
    assert one.workers == {}
    assert one.first is None
    parent.has_room = True
    parent.due.pop()[1]()
    assert list(one.workers) == [0]


@pytest.fixture(scope="module")
def shared(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """An edge of two processes that its tests leave as they found it: serving."""
    with running_edge(tmp_path_factory.mktemp("workers"), first="workers = 2") as edge:
        wait_until(lambda: has_all(edge, 2), timeout=60, what="both serve")
        yield edge


def asked(edge: Edge, command: str) -> Any:
    """What a command says in JSON, as its schema has it."""
    found = json.loads(edge.command(command, "--json"))
    Draft202012Validator(json.loads((SCHEMAS / f"{command}.json").read_text())).validate(found)
    return found


def serving(edge: Edge) -> dict[int, int]:
    """The process ids of those that serve, by their place."""
    found = asked(edge, "status")["workers"]
    return {one["worker"]: one["pid"] for one in found if one["state"] == "serving"}


def has_all(edge: Edge, count: int) -> bool:
    """Whether all serve; there is no control socket before."""
    return (edge.folder / "edge.control").exists() and list(serving(edge)) == list(range(count))


def health(port: int) -> int:
    """The status of a page of the edge's own, on a new connection."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        connection.request("GET", HEALTH_PATH)
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@pytest.mark.e2e
def test_status(shared: Edge) -> None:
    """Both are there, with their places, on the same address."""
    found = asked(shared, "status")
    assert [one["worker"] for one in found["workers"]] == [0, 1]
    assert found["addresses"] == [f"127.0.0.1:{shared.port}"]
    assert {one["generation"] for one in found["workers"]} == {1}
    text = shared.command("status")
    for place, pid in serving(shared).items():
        assert f"serving {pid}, version" in text
        assert f"worker {place}, up for" in text


@pytest.mark.e2e
@pytest.mark.parametrize("place", [0, 1])
def test_a_crash(shared: Edge, place: int) -> None:
    """The other one serves on, all who connect are served, and another takes its place."""
    before = serving(shared)
    killed = time.monotonic()
    os.kill(before[place], signal.SIGKILL)
    while serving(shared).get(place, before[place]) == before[place]:
        assert health(shared.port) == 200
    took = time.monotonic() - killed
    after = serving(shared)
    assert after[1 - place] == before[1 - place]
    # Promised are 2 s; how loaded the machine is changes from one second to the next.
    assert took < allowed(5.0, killed)
    shared.running.wait_for(f"{before[place]}, worker {place}, was ended by SIGKILL; another")


@pytest.mark.e2e
def test_reload(shared: Edge) -> None:
    """All are replaced by as many as the settings say, with connects going on; none is refused."""
    before, generation = serving(shared), asked(shared, "status")["generation"]
    file = shared.folder / "edge.toml"
    text = file.read_text()
    for count in (3, 2):
        file.write_text(text.replace("workers = 2", f"workers = {count}"))
        changed = asked(shared, "reload")
        generation += 1
        assert (changed["generation"], changed["ok"]) == (generation, True)
        after = serving(shared)
        assert (list(after), set(after.values()) & set(before.values())) == ([*range(count)], set())
        before = after
        assert health(shared.port) == 200
    file.write_text(f"{text}\ncolour = 1\n")
    with contextlib.suppress(AssertionError):
        asked(shared, "reload")
    file.write_text(text)
    assert serving(shared) == before


@pytest.mark.e2e
def test_upgrade(shared: Edge) -> None:
    """New processes serve, and the parent goes on as another one with all of them."""
    before = serving(shared)
    assert asked(shared, "upgrade")["ok"]
    shared.running.wait_for("the parent goes on as version")
    after = serving(shared)
    assert len(after) == 2
    assert not set(before.values()) & set(after.values())
    os.kill(after[1], signal.SIGKILL)
    wait_until(lambda: serving(shared).get(1, after[1]) != after[1], timeout=30)
    assert serving(shared)[0] == after[0]


@pytest.mark.e2e
def test_one_cannot_start(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A generation of which one process ends before it serves is given up; the old one serves."""
    source = Path(asgi_tunnel_edge.__file__).parent
    shutil.copytree(source, tmp_path / "code" / source.name)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path / "code"))
    with running_edge(tmp_path, first="workers = 2") as edge:
        wait_until(lambda: has_all(edge, 2), timeout=60, what="both serve")
        before = serving(edge)
        server = tmp_path / "code" / source.name / "server.py"
        code = "if parent is not None and parent.worker:\n        raise SystemExit(7)\n    "
        text = server.read_text()
        server.write_text(text.replace("    raise_limit()\n", f"    {code}raise_limit()\n", 1))
        with pytest.raises(AssertionError, match="ended with 7 before it served"):
            edge.command("upgrade")
        assert serving(edge) == before
        wait_until(lambda: len(asked(edge, "status")["workers"]) == 2, what="the new ones are gone")
        assert health(edge.port) == 200
        edge.running.stop()
        assert not any(Path(f"/proc/{pid}").exists() for pid in before.values())
