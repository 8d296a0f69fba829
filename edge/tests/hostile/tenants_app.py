"""Fifty tenants in one process: each has its own token, its own app and its own connections.

Reads one token for each line from standard input and prints ``ready`` when all are live.
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector

PIECES = 4  # of an answer, so that an abort falls between two of them


def make_app(tenant: bytes) -> Any:
    """An app that says whose it is and repeats what it was asked, in several pieces."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        body = tenant + b" " + scope["headers"][0][1] + b" " + scope["raw_path"] + b"\n"
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for number in range(PIECES):
            if number % 2:
                await asyncio.sleep(0)
            await send({"type": "http.response.body", "body": body, "more_body": True})
        await send({"type": "http.response.body", "body": b""})

    return app


async def main() -> None:
    """Serve every tenant until the end of the process."""
    connectors = []
    for number, token in enumerate(sys.stdin.read().split()):
        config = TunnelConfig.from_env({}, token=token, connections=1)
        assert config is not None
        connector = Connector(config, Origin(make_app(b"tenant%d" % number)))
        connector.start()
        connectors.append(connector)
    for connector in connectors:
        await connector.wait_connected()
    print("ready", flush=True)  # noqa: T201 - for the test that started it
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main())
