"""Two edges as an operator makes them: their commands, a database, a bus, and a visitor of each."""

from __future__ import annotations

import http.client
import json
import os
import signal
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from edge.tests.nats_server import MISSING, NatsServers, find_program

from .harness import Edge, edge_command, running_app, wait_until
from .ports import free_port

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

pytestmark = pytest.mark.e2e

APP = """\
async def app(scope, receive, send):
    if scope["type"] == "lifespan":
        while True:
            message = await receive()
            await send({"type": message["type"] + ".complete"})
            if message["type"] == "lifespan.shutdown":
                return
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"hello"})
"""


def status_of(edge: Edge, hostname: str) -> int:
    """What a visitor of one edge gets for a hostname."""
    connection = http.client.HTTPConnection("127.0.0.1", edge.port, timeout=20)
    try:
        connection.request("GET", "/", headers={"Host": hostname})
        response = connection.getresponse()
        response.read()
        return response.status
    finally:
        connection.close()


@pytest.fixture(params=["postgresql", "nats"])
def bus(request: pytest.FixtureRequest, postgres: PostgresServer) -> Iterator[tuple[str, str]]:
    """The URLs of a store and a bus."""
    store = postgres.create()
    if request.param == "postgresql":
        yield store, store
        return
    if find_program() is None:
        pytest.skip(MISSING)
    servers = NatsServers()
    servers.start()
    yield store, servers.url
    servers.remove()


def make_edges(folder: Path, store: str, bus: str) -> tuple[Edge, Edge]:
    """Two folders, as docs/howto/cluster.md has it: settings, `cluster init`, a copy, join."""
    one, other = folder / "a", folder / "b"
    where = ["--data", str(one), "--domain", "example.test", "--listen", "127.0.0.1:0"]
    edge_command("init", *where, "--tls", "off")
    settings = (one / "edge.toml").read_text()
    for edge, name in ((one, "a"), (other, "b")):
        edge.mkdir(exist_ok=True)
        shared = f'store = "{store}"\nbus = "{bus}"\n'
        own = f'node = "{name}"\npeer_listen = "127.0.0.1:{free_port()}"\n'
        (edge / "edge.toml").write_text(shared + own + settings)
    said = json.loads(edge_command("cluster", "init", "--json", "--data", str(one)))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ASGI_TUNNEL_EDGE_JOIN_SECRET", said["secret"])
        edge_command("cluster", "join", "--data", str(other))
    return Edge(one), Edge(other)


def test_two_edges(bus: tuple[str, str], tmp_path: Path) -> None:
    """A visitor of either edge gets the app of one; with the app's edge it goes, and comes back."""
    one, other = make_edges(tmp_path, *bus)
    (tmp_path / "hello.py").write_text(APP)
    with ExitStack() as stack:
        for edge in (one, other):
            edge.start()
            stack.callback(edge.stop)
        found = json.loads(one.command("cluster", "status", "--json"))
        assert [(edge["name"], edge["error"]) for edge in found["edges"]] == [
            ("a", None),
            ("b", None),
        ]
        token = one.create_token("shop")
        hostname = token.hostnames[0]
        wait_until(lambda: token.id in (other.folder / "snapshot.json").read_text())
        with running_app(tmp_path, token, "hello:app"):
            assert status_of(one, hostname) == 200
            assert status_of(other, hostname) == 200
            os.kill(one.running.popen.pid, signal.SIGKILL)
            one.running.popen.wait()
            one.start()
            wait_until(lambda: status_of(one, hostname) == 200)
            wait_until(lambda: status_of(other, hostname) == 200)
