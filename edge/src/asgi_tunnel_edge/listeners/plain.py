"""Accepts connections that no TLS of ours comes before: those of a proxy in front, and port 80's.

The event loop's own server accepts, for it makes a transport at about half the cost, but uvloop's
takes one connection in a turn. So after some that came one behind the other there may be many more:
those that wait are taken here, all in the next turn.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Final

from .accepting import accept_all

if TYPE_CHECKING:
    import socket
    from collections.abc import Callable, Sequence

    from ..descriptors import DescriptorWatch

__all__ = ["PlainAcceptor"]

IN_A_ROW: Final = 8
"""Connections after which those that wait are looked for: a browser opens six for a page. Who comes
last waits for eight turns of the event loop, and not for one for each who came before."""

PAUSE: Final = 0.25
"""Seconds without one after which they are counted anew: longer than a turn in a flood."""


class PlainAcceptor:
    """See the module.

    Args:
        make_protocol: Makes the protocol of a connection.
        sockets: Bound and non-blocking; closed by :meth:`close`.
        backlog: Connections that the system keeps until they are accepted.
        watch: Hears that no descriptor was left.
    """

    def __init__(
        self,
        make_protocol: Callable[[], asyncio.Protocol],
        sockets: Sequence[socket.socket],
        *,
        backlog: int,
        watch: DescriptorWatch,
    ) -> None:
        self._make_protocol = make_protocol
        self._sockets = sockets
        self._backlog = backlog
        self._watch = watch
        self._loop = asyncio.get_running_loop()
        self._servers: list[asyncio.Server] = []  # one a socket
        self._in_a_row = 0
        self._last = 0.0  # when the last one came
        self._tasks: set[asyncio.Task[None]] = set()  # transports that are being made

    async def start(self) -> None:
        """Accept from now on."""
        for sock in self._sockets:
            server = await self._loop.create_server(
                self._accepted, sock=sock, backlog=self._backlog
            )
            self._servers.append(server)

    def close(self) -> None:
        """Accept no more; may be called twice."""
        self._sockets = ()
        for server in self._servers:
            server.close()

    def _accepted(self) -> asyncio.Protocol:
        now = self._loop.time()
        self._in_a_row = self._in_a_row + 1 if now - self._last < PAUSE else 1
        self._last = now
        if self._in_a_row == IN_A_ROW:
            self._loop.call_soon(self._look_for_more)
        return self._make_protocol()

    def _look_for_more(self) -> None:
        self._in_a_row = 0
        for sock in self._sockets:
            try:
                accept_all(sock, self._take)
            except OSError as error:  # no descriptor or no memory left; the server tries again
                self._watch.note(error)

    def _take(self, sock: socket.socket, address: str) -> None:
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
