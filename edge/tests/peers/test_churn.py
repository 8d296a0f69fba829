"""Visitors while the app moves from node to node and connections between nodes are lost."""

from __future__ import annotations

import asyncio
import random
import time
from collections import Counter
from pathlib import Path

from edge.tests.peers.app import App
from edge.tests.peers.client import Client
from edge.tests.peers.test_relay import streams
from edge.tests.peers.world import Nodes, nodes, until

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector

SECONDS = 4.0


class Churn:
    """What goes on for some seconds.

    Attributes:
        outcomes: How often each method got each status.
    """

    def __init__(self, world: Nodes, app: App) -> None:
        self._world = world
        self._app = app
        self._end = time.monotonic() + SECONDS
        self.connector: Connector
        self.outcomes: Counter[tuple[str, int]] = Counter()

    @property
    def _goes_on(self) -> bool:
        return time.monotonic() < self._end

    async def join(self, number: int) -> Connector:
        """Connect the app to a node."""
        token = self._world[number].token
        settings = TunnelConfig(token=token, text=token.format(), connections=1, grace=1.0)
        connector = Connector(settings, Origin(self._app))
        connector.start()
        await connector.wait_connected()
        self.connector = connector
        return connector

    async def move(self) -> None:
        """Let the app go to the next node, now with a gap, now without one."""
        old, number = self.connector, 0
        while self._goes_on:
            await asyncio.sleep(0.3)
            number += 1
            if number % 2:
                await old.stop()
                old = await self.join(number % 3)
            else:
                before, old = old, await self.join(number % 3)
                await before.stop()

    async def lose(self) -> None:
        """Lose a connection between two nodes."""
        number = 0
        while self._goes_on:
            await asyncio.sleep(0.7)
            number += 1
            for session in list(self._world.peers(number % 3).listener.sessions)[:1]:
                session.drop_transport()

    async def visit(self, number: int) -> None:
        """Ask for small and large things, send some, and leave in the middle."""
        chance = random.Random(number)
        while self._goes_on:
            async with Client(self._world[chance.randrange(3)]) as client:
                for _ in range(4):
                    if not await self._ask(client, chance):
                        break

    async def _ask(self, client: Client, chance: random.Random) -> bool:
        kind = chance.randrange(4)
        if kind == 0:
            await client.send("GET", f"/size/{chance.randrange(1, 3_000_000)}")
            await asyncio.sleep(chance.random() / 100)
            return False  # it leaves
        if kind == 1:
            body = bytes(chance.randrange(1, 200_000))
            answer = await client.ask("POST", "/post", body, is_chunked=chance.random() < 0.5)
            self.outcomes["POST", answer.status] += 1
            if answer.status == 200:
                assert answer.body.split()[0] == str(len(body)).encode()
            return answer.status == 200
        answer = await client.ask("GET", "/get")
        self.outcomes["GET", answer.status] += 1
        return True


async def test_churn(tmp_path: Path) -> None:
    """No GET fails, a body arrives whole or not at all, and nothing of it all stays."""
    app = App()
    async with nodes(tmp_path, 3) as world:
        churn = Churn(world, app)
        await churn.join(0)
        visitors = [churn.visit(number) for number in range(6)]
        await asyncio.gather(churn.move(), churn.lose(), *visitors)
        await until(lambda: streams(world) == 0)
        for number, live in enumerate(world.lives):
            assert live.edge.directory.holds.waiting == 0
            for link in world.peers(number)._links.values():
                assert link.session is None or not link.session.connection.open_streams
        await churn.connector.stop()
    outcomes = churn.outcomes
    assert {status for method, status in outcomes if method == "GET"} == {200}
    # A connection that was lost in the middle: an app may have begun with it.
    assert {status for method, status in outcomes if method == "POST"} <= {200, 502}
    assert outcomes["POST", 502] * 10 < outcomes["POST", 200]
