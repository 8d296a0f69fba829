"""Many apps in one process: `python -m tests.cluster.light TOKENS CONNECTIONS LINES`.

TOKENS is a file with one token a line. LINES gets a line each quarter of a second: the monotonic
time, how many apps have a connection, how many connections there are, and how many apps have
connections to more than one edge. Ends with its standard input.
"""

from __future__ import annotations

import asyncio
import os
import sys
import time
from pathlib import Path
from typing import TextIO

import uvloop
from tests.cluster.app import app

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector

AT_ONCE = 10
"""Apps that have no connection yet: a crowd's first arrival is no part of the test, and one process
that begins with thousands of handshakes replies to no PING of those that are done."""

EVERY = 0.25
"""Seconds between two lines."""


async def main(tokens: list[str], connections: int, lines: TextIO) -> None:
    """Keep the tunnels until standard input ends."""
    ended = asyncio.get_running_loop().run_in_executor(None, sys.stdin.read)
    connectors: list[Connector] = []
    writing = asyncio.get_running_loop().create_task(_write(connectors, lines))
    for token in tokens:
        environ = {**os.environ, "ASGI_TUNNEL_STATUS": "off", "ASGI_TUNNEL_TOKEN": token}
        config = TunnelConfig.from_env(environ, connections=connections)
        assert config is not None
        connectors.append(Connector(config, Origin(app)))
        connectors[-1].start()
        await _wait_for_room(connectors[-AT_ONCE:], connections)
    await ended
    writing.cancel()


async def _wait_for_room(newest: list[Connector], connections: int) -> None:
    while sum(len(_places(one)) < connections for one in newest) >= AT_ONCE:  # noqa: ASYNC110
        await asyncio.sleep(0.02)  # a connector tells nobody


async def _write(connectors: list[Connector], lines: TextIO) -> None:
    while True:
        places = [_places(one) for one in connectors]
        apps = sum(bool(some) for some in places)
        spread = sum(len(set(some)) > 1 for some in places)
        lines.write(f"{time.monotonic():.3f} {apps} {sum(map(len, places))} {spread}\n")
        lines.flush()
        await asyncio.sleep(EVERY)


def _places(connector: Connector) -> list[str]:
    """Return where an app's connections lead to."""
    return [
        slot._place or slot._status.edge
        for slot in connector._slots.values()
        if slot.session is not None and slot.session.is_attached
    ]


if __name__ == "__main__":
    with (
        Path(sys.argv[3]).open("w") as file,
        asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
    ):
        runner.run(main(Path(sys.argv[1]).read_text().split(), int(sys.argv[2]), file))
    os._exit(0)  # as a process that is killed: nobody waits for 10,000 closing handshakes
