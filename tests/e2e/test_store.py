"""Two edges with one store in PostgreSQL, as their operator starts them, and a server that dies."""

from __future__ import annotations

import json
import shutil
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from .browsing import APPS, ROOT, browse
from .harness import Edge, edge_command, running_app, wait_until

if TYPE_CHECKING:
    from edge.tests.postgres import PostgresServer

pytestmark = pytest.mark.e2e


@pytest.fixture
def edges(postgres: PostgresServer, tmp_path: Path) -> Iterator[list[Edge]]:
    """Two edges: the second one has the settings of the first one, and no file of tokens."""
    url, made = postgres.create(), []
    first = tmp_path / "first"
    where = ("--data", str(first), "--domain", "example.test", "--listen", "127.0.0.1:0")
    edge_command("init", *where, "--tls", "off")
    edge_command("store", "move", "--to", url, "--data", str(first))
    settings = (first / "edge.toml").read_text()
    (first / "edge.toml").write_text(f'store = "{url}"\n{settings}')
    (first / "edge.sqlite3").unlink()
    second = tmp_path / "second"
    shutil.copytree(first, second)
    with ExitStack() as stack:
        for folder in (first, second):
            edge = Edge(folder)
            edge.start()
            stack.callback(edge.stop)
            made.append(edge)
        yield made


def knows(edge: Edge, token_id: str) -> bool:
    """Whether a running edge has read a token from the store."""
    return token_id in (edge.folder / "snapshot.json").read_text()


def state(edge: Edge) -> bool:
    """Whether an edge says that it can read its database."""
    (worker,) = json.loads(edge.command("status", "--json"))["workers"]
    return bool(worker["is_database_read"])


def test_one_store(edges: list[Edge], tmp_path: Path) -> None:
    """What is changed at one edge holds at the other within a second."""
    first, second = edges
    token = first.create_token("shop")
    began = time.monotonic()
    wait_until(lambda: knows(second, token.id), what="the second edge knows the token")
    assert time.monotonic() - began < 5  # 0.3 s where nothing else runs
    app = f"{APPS}.starlette_app:served"
    with running_app(tmp_path, token, app, app_dir=ROOT) as process:
        with browse(first, token.hostnames[0]) as web:
            assert web.get("/about").status_code == 200
        # The command of the other machine: its edge has nothing to do with this app.
        second.command("token", "revoke", "shop")
        process.wait_for("revoked")


def test_without_the_server(edges: list[Edge], postgres: PostgresServer, tmp_path: Path) -> None:
    """Visitors and apps do not notice; an edge starts without it; changes arrive afterwards."""
    first, second = edges
    token = first.create_token("shop")
    wait_until(lambda: knows(second, token.id), what="the second edge knows the token")
    app = f"{APPS}.starlette_app:served"
    with running_app(tmp_path, token, app, app_dir=ROOT) as process:
        postgres.kill()
        wait_until(lambda: not state(first), what="the edge says that its database is away")
        assert "its database cannot be read" in first.command("status")
        first.running.wait_for("going on without it")
        with browse(first, token.hostnames[0]) as web:
            assert web.get("/about").status_code == 200
        # Both are started again while there is no database: the app comes back.
        for one in edges:
            one.stop()
            one.start()
            one.running.wait_for("started with the snapshot")
        process.wait_for("connected again")
        with browse(first, token.hostnames[0]) as web:
            assert web.get("/about").status_code == 200
        postgres.start()
        for one in edges:
            wait_until(lambda one=one: state(one), what="the edge reads it")  # type: ignore[misc]
        second.command("token", "revoke", "shop")
        process.wait_for("revoked")


def test_a_server_that_is_not_there(edges: list[Edge], tmp_path: Path) -> None:
    """An edge that knows nothing yet does not start, and says why at once."""
    edge = edges[0]
    edge.stop()
    (edge.folder / "snapshot.json").unlink()
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    file = edge.folder / "edge.toml"
    lines = file.read_text().splitlines()[1:]
    file.write_text("\n".join([f'store = "postgresql://edge@127.0.0.1:{port}/edge"', *lines]))
    with pytest.raises(AssertionError, match=r"ended with 1 .*[\s\S]*cannot be reached"):
        edge.start()
