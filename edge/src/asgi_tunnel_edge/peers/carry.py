"""Lets a session resume that lives in another process of this edge.

An app that has lost its connection dials again, and any process may accept it. The one that has the
TLS passes the bytes of the connection, as they are, over a Unix socket to the one that has the
session. That one asks for a fresh session then, so nothing goes this way for long.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Final

from asgi_tunnel.protocol.codes import RefuseCode
from asgi_tunnel.protocol.handshake import Hello, Refuse, Welcome, encode_handshake

from .. import __version__
from ..errors import PeerError
from .greeting import CARRY, Greeting
from .link import hello_of, open_transport

if TYPE_CHECKING:
    from asgi_tunnel.transport import WebSocketTransport

    from ..admission.pending import PendingTunnel
    from ..admission.tunnels import TunnelAcceptor
    from ..bus import Node
    from .service import Peers

__all__ = ["Carrier", "tag_of"]

_log = logging.getLogger("asgi_tunnel_edge.peers")

CARRY_TIMEOUT: Final = 1.0
"""Seconds in which the other process says whether it has the session; the app waits meanwhile."""

TAG_SIZE: Final = 8
"""Characters of a node's id at the end of its sessions' ids: enough for those of one edge."""


def tag_of(node: Node) -> str:
    """Return what the ids of a node's sessions end with."""
    return f".{node.id[:TAG_SIZE]}"


class Carrier:
    """See the module; a ``SessionCarrier`` of ``admission``, and its other end.

    Args:
        own: This process.
        peers: Knows the others, and passes connections on.
        tunnels: Has the sessions.

    Attributes:
        carried: Connections that this process has passed on.
        taken: Those that it got, and whose session it has.
    """

    def __init__(self, own: Node, peers: Peers, tunnels: TunnelAcceptor) -> None:
        self._own = own
        self._find_process = peers.find_process
        self._tunnels = tunnels
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumps = peers.pumps
        self.carried = 0
        self.taken = 0

    def stop(self) -> None:
        """Ask for no more sessions: these apps dial again, elsewhere."""
        for task in self._tasks:
            task.cancel()

    # -- here is the connection ----------------------------------------------------------------

    def carry(self, pending: PendingTunnel, hello: Hello, otherwise: Callable[[], None]) -> bool:
        """See ``SessionCarrier``."""
        random, _, tag = hello.session.rpartition(".")
        node = self._find_process(tag) if random and len(tag) == TAG_SIZE else None
        if node is None or not self._pumps.has_room(len(self._tasks)):
            return False
        work = self._carry(pending, hello, node, otherwise)
        task = asyncio.get_running_loop().create_task(work, name="asgi-tunnel-edge carry")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _carry(
        self, pending: PendingTunnel, hello: Hello, node: Node, otherwise: Callable[[], None]
    ) -> None:
        facts = (hello.session, pending.token.id, pending.address, pending.secret_sha256)
        way: WebSocketTransport | None = None
        try:
            async with asyncio.timeout(CARRY_TIMEOUT):
                way = await self._ask(node, facts)
        except (PeerError, TimeoutError) as error:
            _log.debug("a session was not resumed at another process: %s", error)
        if way is None:
            if not pending.websocket.is_lost:
                otherwise()
            return
        if self._pumps.join(pending.websocket, way, encode_handshake(hello)):
            self.carried += 1

    async def _ask(self, node: Node, facts: Sequence[str]) -> WebSocketTransport:
        """Return a connection to the process that has a session.

        Raises:
            PeerError: It has not, or does not reply.
        """
        way = await open_transport(self._own, node, None)
        done: asyncio.Future[None] = asyncio.get_running_loop().create_future()

        def on_message(message: Hello | Welcome | Refuse, rest: bytes) -> None:
            if isinstance(message, Welcome) and not rest and not done.done():
                done.set_result(None)
            else:
                on_failed(message.reason if isinstance(message, Refuse) else "it says more")

        def on_failed(why: str) -> None:
            if not done.done():
                done.set_exception(PeerError(why))

        way.start(Greeting(way, on_message, on_failed))
        asked = hello_of(self._own, node, CARRY, services=tuple(facts))
        way.send(encode_handshake(asked))
        try:
            await done
        except BaseException:
            way.abort()
            raise
        return way

    # -- here is the session -------------------------------------------------------------------

    def arrived(self, websocket: WebSocketTransport, hello: Hello, rest: bytes) -> None:
        """Another process asks for a session, and will pass a connection on."""
        is_taken = len(hello.services) == 4 and not rest
        if is_taken:
            session_id, token_id, address, secret_sha256 = hello.services
            is_taken = self._tunnels.take_over(
                websocket, session_id, token_id, address=address, secret_sha256=secret_sha256
            )
        if is_taken:
            self.taken += 1
            welcome = Welcome(session=self._own.id, agent=f"asgi-tunnel-edge/{__version__}")
            websocket.send(encode_handshake(welcome))
        else:
            reason = "there is no such session"
            websocket.send(encode_handshake(Refuse(code=RefuseCode.HOSTNAME, reason=reason)))
            websocket.close()
