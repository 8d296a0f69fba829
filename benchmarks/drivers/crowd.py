"""Many idle apps in one process: each keeps one tunnel, by the project's own connector."""

from __future__ import annotations

import argparse
import asyncio
import time
from pathlib import Path

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.asgi.types import Receive, Scope, Send
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector
from benchmarks.drivers.gate import main, report, wait_for_go

DIALING = 32
"""Tunnels that are being opened at one time: below the edge's bounds for handshakes."""

OPEN_TIMEOUT = 30.0
"""Seconds for one tunnel to open."""


async def _app(scope: Scope, receive: Receive, send: Send) -> None:
    """Is never asked anything."""


async def load(arguments: list[str]) -> None:
    """Open a tunnel for each token of a file, keep them idle, and say how many are still open."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--tokens", type=Path, required=True, help="one a line")
    parser.add_argument("--seconds", type=float, default=20.0)
    options = parser.parse_args(arguments)
    turn = asyncio.Semaphore(DIALING)

    async def open_one(token: str) -> Connector:
        config = TunnelConfig.from_env({}, token=token, connections=1)
        assert config is not None
        connector = Connector(config, Origin(_app))
        async with turn, asyncio.timeout(OPEN_TIMEOUT):
            connector.start()
            await connector.wait_connected()
        return connector

    tokens = options.tokens.read_text().split()
    connectors = await asyncio.gather(*(open_one(token) for token in tokens))
    await wait_for_go()
    cpu = time.process_time()
    await asyncio.sleep(options.seconds)
    figures = {
        "tunnels": sum(one.is_connected for one in connectors),
        "driver_cpu": time.process_time() - cpu,
    }
    await report(figures)
    for one in connectors:
        one.abort()


if __name__ == "__main__":
    main(load)
