"""Marked routes of an app at another node: kept where a visitor comes in, delivered over there."""

from __future__ import annotations

import asyncio
from pathlib import Path

from edge.tests.live import SHOP
from edge.tests.peers.app import App
from edge.tests.peers.client import Client
from edge.tests.peers.world import nodes, until

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector


async def test_kept_and_delivered(tmp_path: Path) -> None:
    """A webhook is kept while the app is away, and reaches it at whatever node it comes back to."""
    app = App()
    inbox = {"enabled": True, "patience": 0.2}
    async with nodes(tmp_path, inbox=inbox) as world:
        token = world[0].token
        config = TunnelConfig(token=token, text=token.format(), grace=2.0)

        async def connect() -> None:
            world[0].connector = Connector(config, Origin(app), inbox=("POST /hook",))
            world[0].connector.start()
            await world[0].connector.wait_connected()

        await connect()
        async with Client(world[1]) as client:
            assert (await client.ask("GET", "/one")).status == 200
            route = world[1].edge.directory.find(SHOP)
            assert route is not None
            assert route.marks is not None
            answer = await client.ask("POST", "/hook", b"first")
            assert (answer.status, answer.body[:2]) == (200, b"5 ")
            await world[0].disconnect()
            assert (await client.ask("POST", "/hook", b"second")).status == 202
            await connect()
            await until(lambda: app.paths.count("/hook") == 2)
        assert app.paths == ["/one", "/hook", "/hook"]


async def test_marks_that_cannot_be_read(tmp_path: Path) -> None:
    """An app whose marks are no marks, and too long for an event, is connected all the same."""
    inbox = {"enabled": True, "patience": 0.2}
    async with nodes(tmp_path, inbox=inbox) as world:
        token = world[0].token
        config = TunnelConfig(token=token, text=token.format(), grace=2.0)
        strange = tuple("\x01" * 8 for _ in range(200))
        world[0].connector = Connector(config, Origin(App()), inbox=("POST /hook", *strange))
        world[0].connector.start()
        async with asyncio.timeout(10):
            await world[0].connector.wait_connected()
        assert (await world[1].get("/one")).status == 200
        route = world[1].edge.directory.find(SHOP)
        assert route is not None
        assert route.marks is not None
        assert route.marks.rules == ("POST /hook",)
