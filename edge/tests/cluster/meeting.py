"""Two edges that meet over TLS, in tests."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING

from asgi_tunnel_edge.cluster.tls import peer_edge, server_name

if TYPE_CHECKING:
    import ssl


async def meet(dials: ssl.SSLContext, accepts: ssl.SSLContext, *, means: str) -> tuple[str, str]:
    """Connect two edges; return whom each sees, first the one that dials."""
    seen: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def on_connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.closing(writer):
            seen.set_result(peer_edge(writer.get_extra_info("ssl_object")))
            writer.write(b"x")
            await writer.drain()

    server = await asyncio.start_server(on_connection, "127.0.0.1", 0, ssl=accepts)
    async with server:
        port = server.sockets[0].getsockname()[1]
        reader, writer = await asyncio.open_connection(
            "127.0.0.1", port, ssl=dials, server_hostname=server_name(means)
        )
        with contextlib.closing(writer):
            # With TLS 1.3 a refused certificate shows with the first byte that does not come.
            await reader.readexactly(1)
            return peer_edge(writer.get_extra_info("ssl_object")), await seen
