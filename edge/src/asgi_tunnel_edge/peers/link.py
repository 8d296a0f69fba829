"""The way from this node to another one: dialed when it is first needed, and kept.

A lost one is dialed again by who needs it next. What was on it follows the rules of every lost
session: nothing is sent twice that may not be.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Final, Protocol

from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.connection import Role
from asgi_tunnel.protocol.handshake import Hello, Refuse, Welcome, encode_handshake
from asgi_tunnel.transport import WebSocketTransport

from .. import __version__
from ..cluster.tls import server_name
from ..errors import PeerError
from ..settings.addresses import parse_listen
from .greeting import PASSED, PEER, PEER_SETTINGS, Greeting, peer_session
from .sockets import connect_unix, is_same_user

if TYPE_CHECKING:
    import ssl

    from asgi_tunnel.protocol.events import SessionTerminated
    from asgi_tunnel.session import Session

    from ..bus import Node

__all__ = ["DIAL_TIMEOUT", "LinkUser", "PeerLink", "hello_of", "name_of", "open_transport"]

_log = logging.getLogger("asgi_tunnel_edge.peers")

DIAL_TIMEOUT: Final = 1.5
"""Seconds to reach another node, TLS included: visitors wait meanwhile."""

REDIAL_AFTER: Final = 0.25
"""Seconds in which a node that could not be reached is not dialed again."""


DIRECT_AFTER: Final = 1.0
"""Seconds after which a connection that another process passes on is dialed again, and then twice
as many: that process may be leaving, and what is on it would end with it."""

DIRECT_TRIES: Final = 5
"""Such tries, 31 s: of processes that stay, the port gives any."""

IDLE_LOOK: Final = 0.5
"""Seconds between two looks whether nothing is in progress on a connection that has another in its
place."""


class LinkUser(Protocol):
    """Whoever has found a hostname at a node."""

    def forget(self, link: PeerLink) -> None:
        """The node is not there any longer."""


class PeerLink:
    """See the module.

    Args:
        own: This node.
        node: The other one.
        tls: For a node on another machine: this one's certificate, and the cluster's CA. None:
            there is no way to other machines.
        on_lost: Called when a connection that was ready is lost.

    Attributes:
        users: Those who have found a hostname at the node.
        since: When the connection became ready, in seconds since 1970; 0: it is not.
        why: Why it is not; empty: nobody has needed it.
    """

    def __init__(
        self,
        own: Node,
        node: Node,
        *,
        tls: ssl.SSLContext | None,
        on_lost: Callable[[PeerLink], None],
    ) -> None:
        self.node = node
        self.users: set[LinkUser] = set()
        self.since = 0.0
        self.why = ""
        self._own = own
        self._tls = tls
        self._on_lost = on_lost
        self._session: Session | None = None
        self._dialing: asyncio.Task[Session] | None = None
        self._failed_at = -REDIAL_AFTER
        self._is_closed = False
        self._replaced: set[Session] = set()  # with what was in progress on them
        self._tasks: set[asyncio.Task[None]] = set()  # which find direct ones

    @property
    def session(self) -> Session | None:
        """The connection; None while there is none."""
        return self._session

    @property
    def is_ready(self) -> bool:
        """Whether an exchange may begin on it now."""
        session = self._session
        return (
            session is not None
            and session.is_attached
            and session.connection.can_open
            and not session.is_suspect
        )

    @property
    def buffered(self) -> int:
        """Bytes that are kept for the node, on a connection that was replaced, too."""
        kept = sum(one.buffered for one in self._replaced)
        return kept if self._session is None else kept + self._session.buffered

    async def connect(self) -> Session:
        """Return the connection; all who ask meanwhile wait for the same. Cancelling it is safe.

        Raises:
            PeerError: The node cannot be reached.
        """
        session = self._session
        if session is not None:
            return session
        if self._dialing is None:
            loop = asyncio.get_running_loop()
            if self._is_closed or loop.time() - self._failed_at < REDIAL_AFTER:
                raise PeerError(self.why or "it is gone")
            self._dialing = loop.create_task(self._dial(), name="asgi-tunnel-edge peer")
            self._dialing.add_done_callback(self._dialed)
        return await asyncio.shield(self._dialing)

    def close(self) -> None:
        """End it for good."""
        self._is_closed = True
        if self._dialing is not None:
            self._dialing.cancel()
        for task in self._tasks:
            task.cancel()
        if self._session is not None:
            self._session.terminate(GoawayCode.SHUTDOWN, "this node ends, or the other one is gone")

    async def _dial(self) -> Session:
        try:
            async with asyncio.timeout(DIAL_TIMEOUT):
                websocket, welcome, rest = await self._greet()
        except TimeoutError:
            raise PeerError(f"it was not reached in {DIAL_TIMEOUT:g} s") from None
        session = self._attach(websocket, welcome, rest)
        if PASSED in welcome.capabilities:
            work = self._find_direct(session)
            task = asyncio.get_running_loop().create_task(work, name="asgi-tunnel-edge direct peer")
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return session

    def _attach(self, websocket: WebSocketTransport, welcome: Welcome, rest: bytes) -> Session:
        session = peer_session(Role.EDGE, welcome.settings, name=f"to {name_of(self.node)}")
        session.takes_visitor = session.tells_duration = True
        session.on_end = self._on_end
        session.attach(websocket)
        self._session, self.since, self.why = session, time.time(), ""
        if rest:
            session.data_received(rest)
        websocket.start(session)
        return session

    async def _find_direct(self, passed: Session) -> None:
        """Put a direct connection in the place of one that is passed on, and end that when idle.

        Cancelling it ends the other one.
        """
        for tries in range(DIRECT_TRIES):
            await asyncio.sleep(DIRECT_AFTER * 2**tries)
            if self._session is not passed:
                return
            try:
                async with asyncio.timeout(DIAL_TIMEOUT):
                    websocket, welcome, rest = await self._greet()
            except (PeerError, TimeoutError) as error:
                _log.debug("%s is not reached directly: %s", name_of(self.node), error)
                continue
            if self._session is passed and PASSED not in welcome.capabilities:
                break
            websocket.abort()
        else:
            return
        self._attach(websocket, welcome, rest)
        self._replaced.add(passed)
        try:
            while passed.in_flight:  # noqa: ASYNC110 - a look is cheap
                await asyncio.sleep(IDLE_LOOK)
        finally:
            passed.terminate(GoawayCode.NO_ERROR, "another connection is in its place")

    async def _greet(self) -> tuple[WebSocketTransport, Welcome, bytes]:
        websocket = await open_transport(self._own, self.node, self._tls)
        loop = asyncio.get_running_loop()
        done: asyncio.Future[tuple[Welcome, bytes]] = loop.create_future()

        def on_message(message: Hello | Welcome | Refuse, rest: bytes) -> None:
            if isinstance(message, Welcome) and message.session == self.node.id:
                if not done.done():
                    done.set_result((message, rest))
                    return
            elif isinstance(message, Refuse):
                on_failed(message.reason)
            else:
                on_failed("another process replies in its place")
            websocket.abort()

        def on_failed(why: str) -> None:
            if not done.done():
                done.set_exception(PeerError(why))

        websocket.start(Greeting(websocket, on_message, on_failed))
        websocket.send(encode_handshake(hello_of(self._own, self.node, PEER)))
        try:
            welcome, rest = await done
        except BaseException:
            websocket.abort()
            raise
        return websocket, welcome, rest

    def _dialed(self, task: asyncio.Task[Session]) -> None:
        self._dialing = None
        error = None if task.cancelled() else task.exception()
        if error is None:
            if not task.cancelled():
                _log.info("%s is connected", name_of(self.node))
            return
        if self.why != str(error):  # a node that is away is tried again and again
            _log.warning("%s cannot be reached: %s", name_of(self.node), error)
        self.why = str(error)
        self._failed_at = asyncio.get_running_loop().time()

    def _on_end(self, session: Session, event: SessionTerminated) -> None:
        self._replaced.discard(session)
        if session is not self._session:
            return
        self._session, self.since = None, 0.0
        self.why = event.reason or "the connection was lost"
        _log.info("%s is not connected any more: %s", name_of(self.node), self.why)
        self._on_lost(self)


async def open_transport(own: Node, node: Node, tls: ssl.SSLContext | None) -> WebSocketTransport:
    """Connect to another node. Cancelling it leaves nothing.

    Raises:
        PeerError: There is no way to it, or nobody is there.
    """
    websocket = WebSocketTransport(is_masking=True, is_private=True)
    loop = asyncio.get_running_loop()
    try:
        if node.edge == own.edge and node.unix:
            sock = connect_unix(Path(node.unix))
            if not is_same_user(sock):  # whoever can write to the bus may name any path
                sock.close()
                raise PeerError("its socket is another user's")
            await loop.create_unix_connection(websocket.as_protocol, sock=sock)
        elif node.peer and tls is not None:
            address = parse_listen(node.peer, setting="peer_address", file="")
            await loop.create_connection(
                websocket.as_protocol,
                address.host,
                address.port,
                ssl=tls,
                server_hostname=server_name(node.edge),
            )
        else:
            raise PeerError("it has said no address, or this node has no certificate for it")
    except OSError as error:
        raise PeerError(error.strerror or str(error)) from error
    return websocket


def hello_of(own: Node, node: Node, capability: str, *, services: tuple[str, ...] = ()) -> Hello:
    """Return what a node says first to another one.

    Args:
        own: The node.
        node: The other one.
        capability: What the connection is for.
        services: What :mod:`.carry` says of an app's connection.
    """
    return Hello(
        instance=own.id,
        group=own.edge,
        slot=own.worker,
        agent=f"asgi-tunnel-edge/{__version__}",
        session=node.id,
        services=services,
        capabilities=(capability,),
        settings=PEER_SETTINGS,
    )


def name_of(node: Node) -> str:
    """Return a node's name for logs."""
    return f"{node.edge}/{node.worker}" if node.edge else f"worker {node.worker}"
