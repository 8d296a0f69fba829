"""The edge goes away and comes back: apps serve again without being touched."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector

from .browsing import APPS, ROOT, browse
from .harness import BIN, Edge, Process, Token, running_app, running_edge, spawn, wait_until

pytestmark = pytest.mark.e2e

SERVERS = {
    "uvicorn": ("starlette_app", ["--port", "0"]),
    "daphne": ("channels_app", ["-p", "0"]),
}


@dataclass
class App:
    """One app and its hostname."""

    token: Token
    process: Process


@dataclass
class World:
    """An edge and the same kind of app three times: alone, in a server, and in a thread."""

    edge: Edge
    apps: list[App]

    def check(self) -> None:
        """Every app answers through the edge; the first request may have to wait for it."""
        for app in self.apps:
            with browse(self.edge, app.token.hostnames[0]) as web:
                try:
                    answer = web.get("/about")
                except httpx.TimeoutException:
                    pytest.fail(f"not back in time:\n{app.process.output}")
                assert answer.status_code == 200, (answer.text, app.process.output)
            assert app.process.is_alive()
            assert "Traceback" not in app.process.output


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    """One of each; none is started again."""
    folder = tmp_path_factory.mktemp("world")
    limits = "hold_timeout = 30"
    with ExitStack() as stack:
        edge = stack.enter_context(running_edge(folder, limits=limits))
        token = edge.create_token("runner")
        module = f"{APPS}.starlette_app:served"
        process = stack.enter_context(running_app(folder, token, module, app_dir=ROOT))
        apps = [App(token, process)]
        for name, (app, options) in SERVERS.items():
            token = edge.create_token(name)
            path = f"{ROOT}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"
            env = {"ASGI_TUNNEL_TOKEN": token.token, "PYTHONPATH": path}
            command = [str(BIN / name), *options, f"{APPS}.{app}:served"]
            process = spawn(command, folder, env=env)
            stack.callback(process.stop)
            apps.append(App(token, process))
        for one in apps:
            one.process.wait_for("is live")
        yield World(edge, apps)


def test_edge_is_killed_and_restarted(world: World) -> None:
    """After SIGKILL of the edge and a new start on its port, all apps serve again."""
    world.check()
    connected = [one.process.output.count("connected again") for one in world.apps]
    world.edge.running.kill()
    world.edge.start()
    world.check()
    for one, before in zip(world.apps, connected, strict=True):
        one.process.wait_for("connected again", count=before + 1)
        assert "resumed" not in one.process.output  # that would be a second connection


def test_edge_is_stopped_and_restarted(world: World) -> None:
    """After SIGTERM of the edge and a new start on its port, all apps serve again."""
    world.check()
    assert world.edge.running.stop() == 0
    assert "Traceback" not in world.edge.running.output
    world.edge.start()
    world.check()


def test_edge_is_killed_twice_in_a_row(world: World) -> None:
    """Being thrown out while connecting again is nothing special."""
    world.edge.running.kill()
    world.edge.start()
    world.edge.running.kill()
    world.edge.start()
    world.check()


def test_app_starts_before_its_edge(tmp_path: Path) -> None:
    """An app whose edge is down says so, tries on, and is live soon after the edge is up."""
    with running_edge(tmp_path) as edge:
        token = edge.create_token("early")
        edge.running.kill()
        with running_app(
            tmp_path, token, f"{APPS}.starlette_app:app", app_dir=ROOT, ready="app: started"
        ) as app:
            wait_until(
                lambda: "next try in" in app.output, what=f"a sentence about it:\n{app.output}"
            )
            edge.start()
            app.wait_for("is live")
            with browse(edge, "early.example.test") as web:
                assert web.get("/about").status_code == 200
            assert app.stop() == 0
        assert "Traceback" not in app.output


async def test_an_app_that_ends_while_its_edge_restarts(tmp_path: Path) -> None:
    """What is in progress is lost with the edge; the app takes no session, and no visitor, anew."""
    begun: list[str] = []

    async def served(scope: Any, receive: Any, send: Any) -> None:
        begun.append(scope["path"])
        if scope["path"] == "/slow":
            await asyncio.sleep(60)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"hello"})

    with running_edge(tmp_path, limits="hold_timeout = 0.5") as edge:
        token = edge.create_token("shop")
        config = TunnelConfig.required(token=token.token, connections=1, grace=2)
        connector = Connector(config, Origin(served))
        connector.start()
        await connector.wait_connected()

        async def visit(path: str) -> int:
            async with httpx.AsyncClient(timeout=30) as client:
                url, fields = edge.url(token.hostnames[0], path), {"host": token.hostnames[0]}
                return (await client.get(url, headers=fields)).status_code

        slow = asyncio.ensure_future(visit("/slow"))
        while not begun:  # noqa: ASYNC110 - the loop's turns are what is waited for
            await asyncio.sleep(0.01)
        edge.running.kill()
        with suppress(httpx.HTTPError):
            await slow
        stopping = asyncio.ensure_future(connector.stop())
        await asyncio.to_thread(edge.start)
        while not stopping.done():
            assert await visit("/late") == 503
        await stopping
        assert not connector.is_connected
        assert begun == ["/slow"]
