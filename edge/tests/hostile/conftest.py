"""One edge and one recording origin for all cases of a test process, and a neighbour."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.harness import Edge, Process, Token, running_app, running_edge, wait_until

from asgi_tunnel_edge.accounts import ServiceTokenRecord
from asgi_tunnel_edge.storage.access import AccessStore
from asgi_tunnel_edge.tokens import secret_digest

from .wire import HOST, PASS, PASS_ID, PASS_SECRET, Wire, request

_numbers = count(1)


DOOR = f"""
[access.suite]
methods = ["token"]
[hostnames."{HOST.decode()}"]
access = "suite"
"""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Leave the floods out unless they are asked for; tests of doors put up their own."""
    if not os.environ.get("HOSTILE_LONG"):
        skip = pytest.mark.skip(reason="a flood: `make hostile`")
        for item in items:
            if item.get_closest_marker("hostile_long") is not None:
                item.add_marker(skip)
    if PASS:
        items[:] = [item for item in items if item.path.name != "test_doors.py"]


@dataclass
class World:
    """An edge with an app behind it that writes down what it runs."""

    edge: Edge
    app: Process
    token: Token
    record: Path
    neighbour: Wire | None = None
    _seen: int = field(default=0, repr=False)  # bytes of the record that were read

    @property
    def port(self) -> int:
        """Where the edge listens."""
        return self.edge.port

    def wire(self, *, receive_buffer: int = 0) -> Wire:
        """A new connection."""
        return Wire(self.port, receive_buffer=receive_buffer)

    def events(self) -> list[dict[str, Any]]:
        """What the app has written down since the last call."""
        with self.record.open("rb") as file:
            file.seek(self._seen)
            data = file.read()
        data = data[: data.rfind(b"\n") + 1]
        self._seen += len(data)
        return [json.loads(line) for line in data.splitlines()]

    def wait_event(self, event: str, target: str, *, timeout: float = 30.0) -> dict[str, Any]:
        """Wait until the app has written this down, and return it."""
        found: list[dict[str, Any]] = []

        def look() -> bool:
            found.extend(
                one for one in self.events() if (one["event"], one["target"]) == (event, target)
            )
            return bool(found)

        wait_until(look, timeout=timeout, what=f"{event} of {target}")
        return found[0]

    def check_neighbour(self) -> list[dict[str, Any]]:
        """See that another visitor gets its own answer; return what the app did before that.

        The tunnel keeps the order of requests: what was relayed before the neighbour's request
        has been run, and written down, when its answer is here.
        """
        target = b"/neighbour/%d" % next(_numbers)
        data = request(b"GET", target)
        if self.neighbour is None:
            self.neighbour = self.wire()
        try:
            self.neighbour.send(data)
            answer = self.neighbour.answer()
        except ConnectionError:  # it was idle for longer than the edge keeps connections
            self.neighbour.sock.close()
            self.neighbour = self.wire()
            self.neighbour.send(data)
            answer = self.neighbour.answer()
        assert (answer.status, answer.body) == (200, target + b" 0")
        assert not self.neighbour.buffer
        return [one for one in self.events() if one["target"] != target.decode()]


def create_pass(edge: Edge) -> None:
    """Let the suite's service token pass the door; the edge knows it with the next token."""
    AccessStore(edge.folder / "edge.sqlite3").create_service_token(
        ServiceTokenRecord(
            id=PASS_ID,
            name="suite",
            secret_sha256=secret_digest(PASS_SECRET),
            policies=("suite",),
        )
    )


@contextmanager
def running_world(folder: Path, *, limits: str = "") -> Iterator[World]:
    """A world of its own; the edge's log must hold no traceback at the end."""
    record = folder / "record"
    record.touch()
    with running_edge(folder, limits=limits, settings=DOOR if PASS else "") as edge:
        if PASS:
            create_pass(edge)
        token = edge.create_token("shop")
        here = Path(__file__).parent
        with running_app(
            folder, token, "recorder:app", app_dir=here, env={"RECORD": str(record)}
        ) as app:
            world = World(edge, app, token, record)
            yield world
            if world.neighbour is not None:
                world.neighbour.sock.close()
        output = edge.running.output
    assert "Traceback" not in output, output


@pytest.fixture(scope="session")
def shared_world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge with the limits it has by default."""
    with running_world(tmp_path_factory.mktemp("hostile")) as one:
        yield one


@pytest.fixture
def world(shared_world: World) -> World:
    """The same, with nothing left to read of what came before."""
    shared_world.check_neighbour()
    return shared_world


HASTY_LIMITS = """
head_timeout = 1.0
keep_alive_timeout = 1.0
min_body_rate = 2000
body_grace = 1.0
max_body = 1000000
max_websocket_message = 100000
websocket_ping_interval = 1.0
hold_timeout = 0.5
resume_window = 0.5
max_connections_per_address = 1200
"""


@pytest.fixture(scope="session")
def shared_hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """An edge that loses its patience within two seconds."""
    with running_world(tmp_path_factory.mktemp("hasty"), limits=HASTY_LIMITS) as one:
        yield one


@pytest.fixture
def hasty(shared_hasty: World) -> World:
    """The same, with nothing left to read of what came before."""
    shared_hasty.check_neighbour()
    return shared_hasty
