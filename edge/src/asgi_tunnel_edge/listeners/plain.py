"""Accepts connections on a port without TLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

__all__ = ["PlainAcceptor"]


class PlainAcceptor:
    """See the module.

    Args:
        make_protocol: Makes the protocol of a connection.
        sockets: Listening and non-blocking; they stay the caller's.
        backlog: Connections that the system keeps until they are accepted.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        sockets: Sequence[socket.socket],
        *,
        backlog: int,
    ) -> None:
        self._make_protocol = make_protocol
        self._sockets = sockets
        self._backlog = backlog
        self._servers: list[asyncio.Server] = []  # one a socket

    async def start(self) -> None:
        """Accept from now on."""
        loop = asyncio.get_running_loop()
        for sock in self._sockets:
            server = await loop.create_server(self._make_protocol, sock=sock, backlog=self._backlog)
            self._servers.append(server)

    def close(self) -> None:
        """Accept no more; may be called twice."""
        for server in self._servers:
            server.close()
