"""Accepts connections on a port without TLS."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .accepting import ListeningSockets

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from ..descriptors import DescriptorWatch

__all__ = ["PlainAcceptor"]


class PlainAcceptor:
    """See the module.

    Args:
        make_protocol: Makes the protocol of a connection.
        sockets: Listening and non-blocking; they stay the caller's.
        watch: Hears that no descriptor was left.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        sockets: Sequence[socket.socket],
        *,
        watch: DescriptorWatch,
    ) -> None:
        self._make_protocol = make_protocol
        self._listening = ListeningSockets(sockets, self._connect, watch)
        self._loop = asyncio.get_running_loop()
        self._tasks: set[asyncio.Task[None]] = set()  # transports that are being made

    def start(self) -> None:
        """Accept from now on."""
        self._listening.start()

    def close(self) -> None:
        """Accept no more; may be called twice."""
        self._listening.close()

    def _connect(self, sock: socket.socket, address: str) -> None:
        task = self._loop.create_task(self._make_transport(sock))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _make_transport(self, sock: socket.socket) -> None:
        """Hand a connection to its protocol; cancelling it closes the connection."""
        try:
            await self._loop.connect_accepted_socket(self._make_protocol, sock)
        except OSError:  # the peer has gone
            sock.close()
        except asyncio.CancelledError:
            sock.close()
            raise
