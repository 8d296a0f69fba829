"""A cut between two nodes, both of which go on: no request has two answers, no route is stale."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

from edge.tests.peers.app import App
from edge.tests.peers.client import Client
from edge.tests.peers.world import Nodes, nodes, until

from asgi_tunnel_edge.peers.listening import MAX_ARRIVING

STALE = 10.0
"""Seconds in which a node that is cut off is left out: 3 of silence and a look, on a free core."""


def cut_off(world: Nodes, acceptor: int) -> None:
    """Let nothing pass to a node any more, and nothing come from it, without a word."""
    listener = world.peers(acceptor).listener
    listener._arriving = MAX_ARRIVING  # nobody dials it anew
    for session in listener.sessions:
        wire: Any = session._transport
        wire._transport.pause_reading()
        wire._transport = Silent(wire._transport)


class Silent:
    """A socket whose cable was pulled."""

    def __init__(self, transport: asyncio.Transport) -> None:
        self._real = transport

    def write(self, data: bytes) -> None:
        """It goes nowhere."""

    def writelines(self, data: object) -> None:
        """It goes nowhere."""

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)


async def test_partition(tmp_path: Path) -> None:
    """While two nodes are cut off, each request has one outcome; then another node serves."""
    first, second = App(), App()
    async with nodes(tmp_path, 3) as world:
        await world[0].connect(first)
        async with Client(world[2]) as before:
            assert (await before.ask("GET", "/one")).status == 200
        clients = [Client(world[2]) for _ in range(8)]
        for one in clients:
            await one.__aenter__()
        cut_off(world, 0)
        began = time.monotonic()
        asking = [
            asyncio.create_task(one.ask("POST" if number % 2 else "GET", f"/{number}"))
            for number, one in enumerate(clients)
        ]
        await until(lambda: world.peers(2).forwarding.sent == 9)
        await world[1].connect(second)
        answers = [await one for one in asking]
        took = time.monotonic() - began
        statuses = {number: answer.status for number, answer in enumerate(answers)}
        assert all(statuses[number] == 200 for number in (0, 2, 4, 6)), statuses
        # A POST without a body may have begun at the node that was cut off.
        assert all(statuses[number] == 502 for number in (1, 3, 5, 7)), statuses
        assert sorted(second.paths) == ["/0", "/2", "/4", "/6"]
        assert took < STALE
        for one in clients:
            await one.__aexit__(None)
        # New requests go on at once, to the node that is there.
        async with Client(world[2]) as after:
            began = time.monotonic()
            assert (await after.ask("POST", "/after", b"x")).status == 200
            assert time.monotonic() - began < 1
        # What was sent to the node that was cut off has reached no app.
        assert first.paths == ["/one"]
