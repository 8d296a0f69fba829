"""Relayed requests go to the app that the server calls, never past what is wrapped around it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest

from asgi_tunnel.outermost import SERVERS as SERVERS_KNOWN
from asgi_tunnel.outermost import find_outermost

from .e2e.browsing import APPS, ROOT, TIMEOUT, browse
from .e2e.harness import BIN, Edge, Process, running_edge, spawn
from .e2e.test_servers import own_port

pytestmark = pytest.mark.e2e

SERVERS = {
    "uvicorn": ("uvicorn", "--port", "0"),
    "uvicorn-no-lifespan": ("uvicorn", "--port", "0", "--lifespan", "off"),
    "hypercorn": ("hypercorn", "--bind", "127.0.0.1:0"),
    "granian": ("granian", "--interface", "asgi", "--port", "0"),
    "granian-no-lifespan": ("granian", "--interface", "asginl", "--port", "0"),
    "gunicorn-uvicorn": ("gunicorn", "--bind", "127.0.0.1:0", "-k", "uvicorn_worker.UvicornWorker"),
    "gunicorn": ("gunicorn", "--bind", "127.0.0.1:0", "-k", "asgi"),
    "daphne": ("daphne", "-p", "0"),
    "runner": ("asgi-tunnel", "run"),
}
WRAPPED = ["in_class", "in_closure", "late", "mounted", "silent", "spawning"]

REFUSED = {
    ("uvicorn", "spawning"),
    ("hypercorn", "spawning"),
    ("granian", "spawning"),
    ("gunicorn-uvicorn", "spawning"),
    ("gunicorn", "spawning"),
    # Without a lifespan the first request opens the tunnel, and granian calls the app from Rust.
    ("granian", "mounted"),
    ("granian", "silent"),
    *(("granian-no-lifespan", app) for app in WRAPPED),
}
"""Where it cannot be seen what the server calls: no tunnel, and a line that says so."""


@pytest.fixture(scope="module")
def edge(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Edge]:
    """One edge; a visitor does not wait for an app that has no tunnel."""
    with running_edge(tmp_path_factory.mktemp("edge"), limits="hold_timeout = 0.2") as edge:
        yield edge


@contextmanager
def served(
    edge: Edge, folder: Path, server: str, app: str
) -> Iterator[tuple[Process, httpx.Client]]:
    """An app under a server, and a visitor at its hostname."""
    token = edge.create_token(f"app-{uuid4().hex[:8]}")
    command, *options = SERVERS[server]
    env = {"ASGI_TUNNEL_TOKEN": token.token, "PYTHONPATH": str(ROOT)}
    process = spawn([str(BIN / command), *options, f"{APPS}.wrapped_app:{app}"], folder, env=env)
    try:
        with browse(edge, token.hostnames[0]) as visitor:
            yield process, visitor
    finally:
        process.stop()


CASES = [
    *(("uvicorn", app) for app in WRAPPED),
    *((server, "in_class") for server in SERVERS if server != "uvicorn"),
    ("hypercorn", "silent"),
    ("granian", "silent"),
    ("gunicorn", "late"),
    ("daphne", "in_closure"),
]
"""Each server and each wrapper; ``OUTERMOST_ALL=1`` tries all pairs."""

if os.environ.get("OUTERMOST_ALL"):
    CASES = [(server, app) for server in SERVERS for app in WRAPPED]


@pytest.mark.parametrize(("server", "app"), CASES)
def test_a_login_around_the_tunnel_is_never_passed_by(
    edge: Edge, tmp_path: Path, server: str, app: str
) -> None:
    """Who has no key never sees the page; who has one does, or the log says why not."""
    with served(edge, tmp_path, server, app) as (process, visitor):
        if server != "runner":  # where no lifespan comes, a local request opens the tunnel
            local = f"http://127.0.0.1:{own_port(process)}/"
            assert httpx.get(local, headers={"x-key": "k"}, timeout=TIMEOUT).text == "secret"
        if (server, app) in REFUSED:
            process.wait_for("no tunnel: Tunnel cannot see which app the server calls")
            assert visitor.get("/", headers={"x-key": "k"}).status_code == 503
        else:
            process.wait_for("is live")
            assert visitor.get("/").status_code == 401
            assert visitor.get("/", headers={"x-key": "k"}).text == "secret"


@pytest.mark.parametrize("server", ["gunicorn", "gunicorn-uvicorn", "daphne", "runner"])
def test_the_outermost_tunnel_is_open_under_every_server(
    edge: Edge, tmp_path: Path, server: str
) -> None:
    """``app = Tunnel(app)`` needs nothing else; the other servers: ``e2e/test_servers.py``."""
    with served(edge, tmp_path, server, "plain") as (process, visitor):
        process.wait_for("is live")
        assert visitor.get("/").text == "secret"
        assert process.output.count("is live") == 1


def test_the_outermost_server_counts() -> None:
    """An app that runs another app's lifespan, with a server's own code, is not passed by."""
    source = """
class Lifespan:
    def __init__(self, app):
        self.app = app

    def _run_lifespan(self, call):
        return call()
"""
    found: dict[str, Any] = {"__name__": "gunicorn.asgi.lifespan"}
    exec(source, found)  # noqa: S102 - a frame of that module's name
    outer, inner = found["Lifespan"]("outer"), found["Lifespan"]("inner")
    assert inner._run_lifespan(find_outermost) == "inner"
    assert outer._run_lifespan(lambda: inner._run_lifespan(find_outermost)) == "outer"


def test_only_servers_are_believed() -> None:
    """What drives a part of an app, as test clients and asgi-lifespan do, is no server."""
    assert {server.module.split(".")[0] for server in SERVERS_KNOWN} == {
        "granian",
        "gunicorn",
        "hypercorn",
        "uvicorn",
    }
