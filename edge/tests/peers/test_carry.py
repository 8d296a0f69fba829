"""An app that dials another process after its connection was lost goes on with its session."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from edge.tests.live import SHOP
from edge.tests.peers.app import MIB, App
from edge.tests.peers.client import Client
from edge.tests.peers.world import Nodes, nodes, until

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from asgi_tunnel.token import Token


class Wire:
    """Between an app and whichever process accepts it.

    Attributes:
        port: Of the process that accepts the next connection.
        dials: How many connections came.
    """

    def __init__(self) -> None:
        self.port = 0
        self.dials = 0
        self._writers: list[asyncio.StreamWriter] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Join a connection to the process."""
        self.dials += 1
        to_reader, to_writer = await asyncio.open_connection("127.0.0.1", self.port)
        self._writers += [writer, to_writer]
        await asyncio.gather(_pass(reader, to_writer), _pass(to_reader, writer))

    def cut(self) -> None:
        """Lose all connections."""
        for writer in self._writers:
            writer.transport.abort()
        self._writers.clear()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    try:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
    except OSError:
        pass
    writer.close()


@asynccontextmanager
async def wired(world: Nodes) -> AsyncIterator[Wire]:
    """Let the app of the first node dial through a wire."""
    wire = Wire()
    server = await asyncio.start_server(wire, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    live = world[0]
    wire.port = live.edge.address.port
    live.token = Token(edge=f"ws://127.0.0.1:{port}", id=live.token.id, secret=live.token.secret)
    try:
        yield wire
    finally:
        await live.disconnect()
        wire.cut()
        server.close()


async def connect(world: Nodes, app: App) -> None:
    """Open one connection of an app, through the wire."""
    live = world[0]
    settings = TunnelConfig(token=live.token, text=live.token.format(), connections=1, grace=2.0)
    live.connector = Connector(settings, Origin(app))
    live.connector.start()
    await live.connector.wait_connected()


async def test_resumes_across_processes(tmp_path: Path) -> None:
    """Responses in progress go on, and a direct session follows."""
    app = App()
    async with nodes(tmp_path) as world, wired(world) as wire:
        await connect(world, app)
        size = 40 * MIB
        async with Client(world[0]) as slow, Client(world[0]) as posting, Client(world[1]) as far:
            waits = asyncio.create_task(posting.ask("POST", "/slow", b"x" * 100_000))
            await slow.send("GET", f"/size/{size}")
            await until(lambda: len(app.paths) == 2)
            first = world[0].edge.directory.entries[0]
            for times, number in enumerate((1, 1, 0, 1), 1):  # there and back
                wire.port = world[number].edge.address.port
                wire.cut()
                await until(lambda times=times: first.resumed == times)  # type: ignore[misc]
            assert (await slow.answer()).body[-3:] == b"\xfd\xfe\xff"
            app.may_read.set()
            assert (await waits).status == 200
            assert len(app.paths) == 2
            # The session is where it was; a fresh one has come to the process that accepts now.
            await until(lambda: bool(world[1].edge.directory.entries))
            await until(lambda: not world[0].edge.directory.entries)
            assert (await far.ask("GET", "/here")).status == 200
            assert (await slow.ask("GET", "/there")).status == 200
        carriers = [live.edge.neighbours.carrier for live in world.lives]
        assert carriers[0] is not None
        assert carriers[1] is not None
        assert (carriers[1].carried, carriers[0].taken) == (3, 3)
        assert world.peers(1).forwarding.sent == 0
        assert world.peers(0).forwarding.sent == 1


async def test_process_is_gone(tmp_path: Path) -> None:
    """Where the other process has ended, or has no such session, a fresh one begins at once."""
    app = App()
    async with nodes(tmp_path) as world, wired(world) as wire:
        await connect(world, app)
        (first,) = world[0].edge.directory.entries
        wire.port = world[1].edge.address.port
        world[0].edge.directory.remove(first.session)  # it has been given up there
        wire.cut()
        await until(lambda: bool(world[1].edge.directory.entries))
        assert (await world[1].get("/one")).status == 200
        (second,) = world[1].edge.directory.entries
        wire.port = world[0].edge.address.port
        world.peers(1).listener.close()
        wire.cut()
        await until(lambda: bool(world[0].edge.directory.entries))
        assert (await world[0].get("/two")).status == 200
        assert second.resumed == 0
        assert world[0].edge.directory.find(SHOP) is not None
