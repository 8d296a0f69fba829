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
from asgi_tunnel.transport import WebSocketCodec, WebSocketTransport

from .. import __version__
from ..errors import PeerError
from .greeting import CARRY, Greeting
from .link import hello_of, open_transport

if TYPE_CHECKING:
    from ..admission.pending import PendingTunnel
    from ..admission.tunnels import TunnelAcceptor
    from ..bus import Bus, Node

__all__ = ["Carrier", "tag_of"]

_log = logging.getLogger("asgi_tunnel_edge.peers")

MAX_CARRIED: Final = 1024
"""Connections that are passed on at one time; above it an app begins a fresh session."""

CARRY_TIMEOUT: Final = 1.0
"""Seconds in which the other process says whether it has the session; the app waits meanwhile."""

CARRY_BUFFER: Final = 64 * 1024
"""Bytes under way in one direction at which the other side is not read any more."""

_TAG: Final = 8


def tag_of(node: Node) -> str:
    """Return what the ids of a node's sessions end with."""
    return f".{node.id[:_TAG]}"


class Carrier:
    """See the module; a ``SessionCarrier`` of ``admission``, and its other end.

    Args:
        own: This process.
        bus: Knows the others.
        tunnels: Has the sessions.

    Attributes:
        carried: Connections that this process has passed on.
        taken: Those that it got, and whose session it has.
    """

    def __init__(self, own: Node, bus: Bus, tunnels: TunnelAcceptor) -> None:
        self._own = own
        self._bus = bus
        self._tunnels = tunnels
        self._tasks: set[asyncio.Task[None]] = set()
        self._pumps: set[_Pump] = set()
        self.carried = 0
        self.taken = 0

    def stop(self) -> None:
        """Let go of what is passed on: these apps dial again, elsewhere."""
        for task in self._tasks:
            task.cancel()
        for pump in list(self._pumps):
            pump.close()

    # -- here is the connection ----------------------------------------------------------------

    def carry(self, pending: PendingTunnel, hello: Hello, otherwise: Callable[[], None]) -> bool:
        """See ``SessionCarrier``."""
        node = self._node_of(hello.session)
        if node is None or len(self._pumps) + len(self._tasks) >= MAX_CARRIED:
            return False
        work = self._carry(pending, hello, node, otherwise)
        task = asyncio.get_running_loop().create_task(work, name="asgi-tunnel-edge carry")
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    def _node_of(self, session_id: str) -> Node | None:
        tag = session_id[-_TAG - 1 :]
        for node in self._bus.nodes:
            if node.edge == self._own.edge and node.unix and tag_of(node) == tag:
                return node
        return None

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
        self._join(pending.websocket, way, hello)

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

    def _join(self, app: WebSocketTransport, way: WebSocketTransport, hello: Hello) -> None:
        """Say HELLO there again, and pass on what follows, both ways."""
        outer, inner = app.detach(), way.detach()
        if outer is None or inner is None:
            for one, websocket in ((outer, app), (inner, way)):
                if one is not None:
                    one.abort()
                websocket.abort()
            return
        codec = WebSocketCodec(is_masking=True, is_private=True)
        inner.write(b"".join(codec.encode(encode_handshake(hello))))
        self.carried += 1
        from_app, from_session = _Pump(outer, inner, self._pumps), _Pump(inner, outer, self._pumps)
        for pump in (from_app, from_session):
            pump.start()

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


class _Pump(asyncio.Protocol):
    """Passes what one connection receives to another one, as it is.

    Args:
        source: Receives.
        sink: Sends.
        others: All of them, this one as long as its connection is there.
    """

    def __init__(
        self, source: asyncio.Transport, sink: asyncio.Transport, others: set[_Pump]
    ) -> None:
        self._source = source
        self._sink = sink
        self._others = others

    def start(self) -> None:
        """Take the connection from now on."""
        self._others.add(self)
        self._source.set_protocol(self)
        self._source.set_write_buffer_limits(high=CARRY_BUFFER)

    def close(self) -> None:
        """End the connection, behind what it still has to send."""
        self._source.close()

    def data_received(self, data: bytes) -> None:
        """Pass bytes on."""
        self._sink.write(data)

    def pause_writing(self) -> None:
        """This connection takes no more: do not read the other one."""
        self._sink.pause_reading()

    def resume_writing(self) -> None:
        """It takes more."""
        self._sink.resume_reading()

    def eof_received(self) -> bool:
        """Close: half a WebSocket is none."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Let the other one end, too."""
        self._others.discard(self)
        self._sink.close()
