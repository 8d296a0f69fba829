"""Many apps in one process that lose their edge: when each of their connections is back."""

from __future__ import annotations

import argparse
import asyncio
import logging
import time
from pathlib import Path

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.asgi.types import Receive, Scope, Send
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from benchmarks.drivers.gate import main, report, wait_for_go

DIALING = 32
"""Apps that are being started at one time: below the edge's bounds for handshakes."""

OPEN_TIMEOUT = 30.0
"""Seconds for one app's connections."""

BACK_TIMEOUT = 120.0
"""Seconds for all connections to be back."""


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Is never asked anything."""


class Times(logging.Handler):
    """Notes when connections are lost and back, from what the connectors log."""

    def __init__(self) -> None:
        super().__init__(logging.INFO)
        self.lost: list[float] = []
        self.back: list[float] = []

    @property
    def is_over(self) -> bool:
        """Whether some were lost, and all of them are back."""
        return 0 < len(self.lost) <= len(self.back)

    def emit(self, record: logging.LogRecord) -> None:
        """Note one line."""
        if record.msg.startswith("connected again"):
            self.back.append(record.created)
        elif record.msg.startswith("the connection to the edge was lost"):
            self.lost.append(record.created)


async def load(arguments: list[str]) -> None:
    """Open tunnels for each token of a file; then say when those that were lost are back."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=Path, required=True, help="one a line")
    parser.add_argument("--connections", type=int, default=1, help="of each app")
    options = parser.parse_args(arguments)
    times = Times()
    logger = logging.getLogger("asgi_tunnel.connector")
    logger.setLevel(logging.INFO)
    logger.addHandler(times)
    logger.propagate = False
    turn = asyncio.Semaphore(DIALING)
    wanted: int = options.connections

    def is_open(connector: Connector) -> bool:
        states = [one["state"] for one in connector.describe()["connections"]]
        return states == ["connected"] * len(states) and len(states) == wanted

    async def open_one(token: str) -> Connector:
        config = TunnelConfig.from_env({}, token=token, connections=options.connections)
        assert config is not None
        connector = Connector(config, Origin(_app))
        async with turn, asyncio.timeout(OPEN_TIMEOUT):
            connector.start()
            while not is_open(connector):  # noqa: ASYNC110 - they say nothing when all are there
                await asyncio.sleep(0.01)
        return connector

    tokens = options.tokens.read_text().split()
    cpu = time.process_time()
    connectors = await asyncio.gather(*(open_one(token) for token in tokens))
    dial_cpu = (time.process_time() - cpu) / len(tokens) / options.connections
    await wait_for_go()
    async with asyncio.timeout(BACK_TIMEOUT):
        while not times.is_over or not all(map(is_open, connectors)):  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.05)
    await report({"lost": times.lost, "back": times.back, "dial_cpu": dial_cpu})
    for one in connectors:
        one.abort()


if __name__ == "__main__":
    main(load)
