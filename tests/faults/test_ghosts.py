"""Half-open connections are replaced, and nothing of them stays: seen from inside, both sides."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import anyio.to_thread
import pytest
from tests.e2e.harness import Edge as EdgeFolder
from tests.e2e.harness import edge_command

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.session import Session
from asgi_tunnel_edge.server import Edge
from asgi_tunnel_edge.settings.config import EdgeConfig

from .app import app
from .conftest import Row
from .proxy import FaultProxy, fault_proxy, through
from .visitors import Place
from .world import HOSTNAME, NAME, descriptors

pytestmark = pytest.mark.e2e


class Inside:
    """An edge and a connector in this process, with a line that breaks between them."""

    def __init__(self, edge: Edge, proxy: FaultProxy, connector: Connector) -> None:
        self.edge = edge
        self.proxy = proxy
        self.connector = connector
        self.place = Place(proxy.target, HOSTNAME)

    @property
    def sessions(self) -> list[Session]:
        """The connector's sessions."""
        found = [slot.session for slot in self.connector._slots.values()]
        return [one for one in found if one is not None]

    @property
    def is_whole(self) -> bool:
        """Whether both sides have the same sessions, all of them attached."""
        ends = [one for one in self.sessions if one.is_attached]
        entries = self.edge.directory.entries
        return (
            len(ends) == len(entries) == self.connector.config.connections
            and {one.session_id for one in ends} == {one.session.session_id for one in entries}
            and all(one.is_ready for one in entries)
        )

    async def get(self, path: str) -> int:
        """GET in a thread."""
        return (await anyio.to_thread.run_sync(lambda: self.place.get(path, timeout=20)))[0]

    def counts(self) -> dict[str, int]:
        """What must not grow."""
        return {
            "tasks": len(asyncio.all_tasks()),
            "descriptors": descriptors(os.getpid()),
            "streams": sum(one.in_flight for one in self.sessions)
            + sum(one.session.in_flight for one in self.edge.directory.entries),
            "visitors": len(self.edge.table.connections),
            "sessions": len(self.edge.directory.entries),
        }


async def until(condition: Callable[[], bool], what: str) -> None:
    """Return when it is true; fail when it is not in 20 s."""
    with anyio.move_on_after(20):
        while not condition():  # noqa: ASYNC110 - it looks at both sides, which tell nobody
            await anyio.sleep(0.01)
        return
    raise AssertionError(what)


@pytest.fixture
async def inside(tmp_path: Path) -> AsyncIterator[Inside]:
    """Both sides, connected."""
    folder = tmp_path / "edge"
    command = ["init", "--data", str(folder), "--tls", "off"]
    command += ["--domain", "example.test", "--listen", "127.0.0.1:0"]
    await anyio.to_thread.run_sync(edge_command, *command)
    edge = Edge(EdgeConfig.load(folder))
    await edge.start()
    token = await anyio.to_thread.run_sync(lambda: EdgeFolder(folder).create_token(NAME))
    with fault_proxy(edge.address.port) as proxy:
        config = TunnelConfig.from_env({}, token=through(proxy, token))
        assert config is not None
        connector = Connector(config, Origin(app))
        connector.start()
        found = Inside(edge, proxy, connector)
        try:
            await until(lambda: found.is_whole, "never connected")
            yield found
        finally:
            await connector.stop()
            await edge.stop()


async def test_half_open_replacements(inside: Inside, row: Row) -> None:
    """Of 20 connections that the edge still believes in, and their sessions, nothing is left."""
    assert await inside.get("/hello") == 200
    await until(lambda: not inside.edge.table.connections, "visitors stay")
    before = inside.counts()
    answers = []
    for turn in range(20):
        asked = asyncio.ensure_future(inside.get("/hello?wait=0.05"))
        await anyio.sleep(0.01)
        inside.proxy.black_hole()
        for session in inside.sessions:
            if turn % 2:
                session.terminate(GoawayCode.SHUTDOWN, "forgotten")
            else:
                session.drop_transport()
        inside.proxy.restore(tell=False)
        await until(lambda: inside.is_whole, f"turn {turn}: {inside.counts()}")
        answers.append(await asked)
    inside.proxy.restore()
    assert set(answers) == {200}
    await until(lambda: inside.counts() == before, f"{inside.counts()} instead of {before}")
    row("20 half-open replacements", **before)


async def test_edge_ends_with_its_streams(inside: Inside) -> None:
    """What waits for an app when the edge stops is answered 503, not cut."""
    inside.proxy.refuse()
    inside.proxy.cut()
    await until(lambda: not any(one.is_ready for one in inside.edge.directory.entries), "no cut")
    asked = asyncio.ensure_future(inside.get("/hello"))
    await until(lambda: bool(inside.edge.table.connections), "no visitor")
    await anyio.sleep(0.05)
    await inside.edge.stop()
    assert await asked == 503
