"""Many apps in one process: what an edge sees of a crowd that comes back."""

from __future__ import annotations

import asyncio
import sys

from tests.faults.app import app

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.config import TunnelConfig
from asgi_tunnel.connector import Connector


async def main(count: int) -> None:
    """Keep ``count`` tunnels until the process is ended."""
    config = TunnelConfig.from_env(connections=1)
    assert config is not None
    for _ in range(count):
        Connector(config, Origin(app)).start()
    await asyncio.Event().wait()


if __name__ == "__main__":
    asyncio.run(main(int(sys.argv[1])))
