"""One app and two edges, each a process that can be killed, stopped and frozen."""

from __future__ import annotations

import asyncio
import json
import shutil
import signal
import sys
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any

import pytest
from tests.e2e.harness import Process, Token, allowed, edge_command, spawn
from tests.e2e.ports import free_port

from asgi_tunnel import edges
from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

SHOP = "shop.example.test"


class KnownEdge:
    """One of several edges.

    Args:
        folder: Its own.
        address: HOST:PORT.
        others: Those of the others.
    """

    def __init__(self, folder: Path, address: str, others: list[str]) -> None:
        self.folder = folder
        self.address = address
        self.others = others
        self.process: Process | None = None

    @property
    def url(self) -> str:
        """As WELCOME names it."""
        return f"ws://{self.address}"

    @property
    def running(self) -> Process:
        """Its process."""
        assert self.process is not None
        return self.process

    def start(self) -> None:
        """Start it, or start it again."""
        command = [sys.executable, "-m", "tests.e2e.known_edge", str(self.folder), *self.others]
        self.process = spawn(command, self.folder)
        self.process.wait_for("listening on ")

    def send(self, number: int) -> None:
        """Send a signal."""
        self.running.popen.send_signal(number)

    async def get(self, path: str = "/", *, timeout: float = 30.0) -> tuple[int, bytes]:
        """Ask as a visitor; status 0 where there is no response."""
        host, _, port = self.address.rpartition(":")
        try:
            async with asyncio.timeout(timeout):
                reader, writer = await asyncio.open_connection(host, int(port))
                request = f"GET {path} HTTP/1.1\r\nHost: {SHOP}\r\nConnection: close\r\n\r\n"
                writer.write(request.encode())
                head, _, body = (await reader.read()).partition(b"\r\n\r\n")
                writer.close()
                with suppress(OSError):
                    await writer.wait_closed()
        except (OSError, TimeoutError):
            return 0, b""
        return (int(head.split()[1]), body) if head else (0, b"")


class World:
    """The edges, and the app's connector.

    Args:
        edges: All have the same tokens.
        token: Leads to the first one.
    """

    def __init__(self, edges: list[KnownEdge], token: Token) -> None:
        self.edges = edges
        self.token = token
        self.connector: Connector | None = None
        self.gate = asyncio.Event()  # what /slow waits for
        self.waits = 0  # of requests to it

    async def app(self, scope: Any, receive: Any, send: Any) -> None:
        """Serves /slow in two parts, and anything else at once."""
        is_slow = scope["path"] == "/slow"
        size = [(b"content-length", b"6" if is_slow else b"5")]
        await send({"type": "http.response.start", "status": 200, "headers": size})
        if is_slow:
            await send({"type": "http.response.body", "body": b"one", "more_body": True})
            self.waits += 1
            await self.gate.wait()
            await send({"type": "http.response.body", "body": b"two"})
            return
        await send({"type": "http.response.body", "body": b"hello"})

    async def connect(self, connections: int = 2) -> None:
        """Open the app's connections."""
        config = TunnelConfig.from_env({}, token=self.token.token, connections=connections, grace=2)
        assert config is not None
        self.connector = Connector(config, Origin(self.app))
        self.connector.start()
        await until(lambda: len(self.places()) == connections, what="the app is connected")

    def places(self) -> list[str]:
        """Where its connections are, by their numbers; those that are there."""
        assert self.connector is not None
        return [
            one["edge_url"]
            for one in self.connector.describe()["connections"]
            if one["state"] == "connected"
        ]

    def session(self, number: int) -> Any:
        """The session of a connection."""
        assert self.connector is not None
        return self.connector._slots[number].session


async def until(condition: Callable[[], object], *, timeout: float = 30.0, what: str) -> None:
    """Return when a condition holds."""
    deadline = time.monotonic() + timeout
    while not condition():
        assert time.monotonic() < deadline, f"not in {timeout:g} s: {what}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def world(folder: Path, count: int = 2) -> AsyncIterator[World]:
    """Edges that run, with one token for all of them."""
    addresses = [f"127.0.0.1:{free_port()}" for _ in range(count)]
    first = folder / "edge-0"
    where = ["--data", str(first), "--domain", "example.test", "--listen", addresses[0]]
    edge_command("init", *where, "--tls", "off")
    text = edge_command("token", "create", "shop", "--json", "--data", str(first))
    settings = (first / "edge.toml").read_text()
    found = []
    for number, address in enumerate(addresses):
        own = folder / f"edge-{number}"
        if number:
            shutil.copytree(first, own)
        own_settings = settings.replace(addresses[0], address)
        (own / "edge.toml").write_text(f'edge_address = "{address}"\n{own_settings}')
        found.append(KnownEdge(own, address, [one for one in addresses if one != address]))
    here = World(found, Token(**json.loads(text)))
    try:
        for one in found:
            await asyncio.to_thread(one.start)
        yield here
    finally:
        here.gate.set()
        if here.connector is not None:
            await here.connector.stop()
        for one in found:
            if one.process is not None and one.process.is_alive():
                one.send(signal.SIGCONT)
                one.process.kill()


async def ask_until(edge: KnownEdge, done: asyncio.Event) -> list[tuple[int, bytes]]:
    """Ask again and again, and return every answer."""
    answers = []
    while not done.is_set():
        answers.append(await edge.get())
        await asyncio.sleep(0.01)
    return answers


def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let connections look for their own edge often."""
    monkeypatch.setattr(edges, "LOOK_INTERVAL", 0.5)
    monkeypatch.setattr(edges, "DOWN", 1.0)


async def test_two_connections_go_to_two_edges(tmp_path: Path) -> None:
    """Each visitor gets its answer at the edge that it asks; the status shows which is which."""
    async with world(tmp_path) as here:
        await here.connect()
        assert here.places() == [one.url for one in here.edges]
        for one in here.edges:
            assert await one.get() == (200, b"hello")
        assert here.connector is not None
        assert here.connector.describe()["edges"] == [one.url for one in here.edges]


async def test_an_edge_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its connection goes to the other edge, which serves all the time, and comes back later."""
    soon(monkeypatch)
    async with world(tmp_path) as here:
        await here.connect()
        first, second = here.edges
        done = asyncio.Event()
        asking = asyncio.create_task(ask_until(second, done))
        began = time.monotonic()
        first.running.kill()
        await until(lambda: here.places() == [second.url] * 2, what="both are at the second")
        took = time.monotonic() - began
        assert took < allowed(2.0, began)
        await asyncio.to_thread(first.start)
        await until(lambda: here.places() == [first.url, second.url], what="it is back")
        assert await first.get() == (200, b"hello")
        done.set()
        answers = await asking
        assert answers
        assert set(answers) == {(200, b"hello")}


async def test_an_edge_stops(tmp_path: Path) -> None:
    """The app is at another edge before the first is gone, and what is in progress is finished."""
    async with world(tmp_path) as here:
        await here.connect()
        first, second = here.edges
        done = asyncio.Event()
        asking = asyncio.create_task(ask_until(second, done))
        slow = asyncio.create_task(first.get("/slow"))
        await until(lambda: here.waits, what="the slow one is in progress")
        old = here.session(0)
        first.send(signal.SIGTERM)
        await until(
            lambda: here.places() == [second.url] * 2 and here.session(0) is not old,
            what="both are at the second",
        )
        assert not old.is_over
        assert first.running.is_alive()
        here.gate.set()
        assert await slow == (200, b"onetwo")
        done.set()
        assert set(await asking) == {(200, b"hello")}
        await until(lambda: not first.running.is_alive(), what="it has ended")


async def test_a_cut_line_is_resumed_at_its_edge(tmp_path: Path) -> None:
    """Another edge would not know the session: what is in progress goes on where it was."""
    async with world(tmp_path) as here:
        await here.connect()
        first = here.edges[0]
        slow = asyncio.create_task(first.get("/slow"))
        await until(lambda: here.waits, what="the slow one is in progress")
        number = next(n for n in (0, 1) if here.session(n).in_flight)
        session = here.session(number)
        session.drop_transport()
        await until(lambda: here.session(number).is_attached, what="it is connected again")
        assert here.session(number) is session
        here.gate.set()
        assert await slow == (200, b"onetwo")


async def test_an_edge_is_frozen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Silence is noticed within 9 s, and 3 s later the connection is at another edge."""
    soon(monkeypatch)
    async with world(tmp_path) as here:
        await here.connect()
        first, second = here.edges
        began = time.monotonic()
        first.send(signal.SIGSTOP)
        await until(
            lambda: here.places() == [second.url] * 2, timeout=60, what="both are at the second"
        )
        assert time.monotonic() - began < allowed(14.0, began)
        assert await second.get() == (200, b"hello")
        first.send(signal.SIGCONT)
        await until(lambda: here.places() == [first.url, second.url], what="it is back")
        assert await first.get() == (200, b"hello")


async def test_the_app_is_cut_off(tmp_path: Path) -> None:
    """Where no edge replies it is the app's own network: sessions wait, and resume where they were.

    Two frozen edges look like that to an app.
    """
    async with world(tmp_path) as here:
        await here.connect()
        assert here.connector is not None
        slots = here.connector._slots.values()
        sessions = [here.session(number) for number in (0, 1)]
        slow = [asyncio.create_task(one.get("/slow")) for one in here.edges]
        await until(lambda: here.waits == 2, what="both are in progress")
        for one in here.edges:
            one.send(signal.SIGSTOP)
        assert [slot._tries for slot in slots] == [0, 0]
        await until(
            lambda: all(slot._tries for slot in slots), what="each has tried its edge in vain"
        )
        for one in here.edges:
            one.send(signal.SIGCONT)
        await until(lambda: all(one.is_attached for one in sessions), what="both are back")
        assert [here.session(number) for number in (0, 1)] == sessions
        here.gate.set()
        assert await asyncio.gather(*slow) == [(200, b"onetwo")] * 2


async def test_an_edge_refuses(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """An edge that does not know the token is left out, and said; the app is not offline."""
    async with world(tmp_path) as here:
        first, second = here.edges
        second.running.kill()
        edge_command("token", "revoke", "shop", "--data", str(second.folder))
        await asyncio.to_thread(second.start)
        await here.connect()
        assert here.places() == [first.url] * 2
        assert f"the edge at {second.url} refuses this app" in caplog.text
        assert await first.get() == (200, b"hello")


async def test_one_connection_follows_what_is_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With one connection, and three edges of which two are killed one after the other."""
    soon(monkeypatch)
    async with world(tmp_path, 3) as here:
        await here.connect(1)
        left = list(here.edges)
        for _ in range(2):
            (place,) = here.places()
            gone = next(one for one in left if one.url == place)
            left.remove(gone)
            gone.running.kill()
            await until(
                lambda: any(one.url in here.places() for one in left),
                what="it is elsewhere",
            )
        assert await left[0].get() == (200, b"hello")
