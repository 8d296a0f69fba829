"""Takes the connections of other nodes: over a Unix socket, or over TCP with certificates.

On one machine the kernel says that the other process is of the same user. Between machines both
sides show a certificate of the cluster's CA, which names the edge.
"""

from __future__ import annotations

import asyncio
import logging
import ssl
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final

from asgi_tunnel.protocol.codes import GoawayCode, RefuseCode
from asgi_tunnel.protocol.connection import Role
from asgi_tunnel.protocol.handshake import (
    Hello,
    Refuse,
    Welcome,
    agree_version,
    encode_handshake,
)
from asgi_tunnel.session import Session
from asgi_tunnel.transport import WebSocketTransport

from .. import __version__
from ..address import networks_of
from ..cluster.tls import peer_edge
from ..descriptors import DescriptorWatch
from ..errors import CertificateError, PeerError
from ..listeners.accepting import ListeningSockets
from ..shares.ledger import ERRORS, Ledger
from ..shares.pool import FairPool
from .greeting import CARRY, PASSED, PEER, PEER_SETTINGS, PEER_TIMING, Greeting, peer_session
from .link import open_transport
from .sockets import is_same_user, listen_unix

if TYPE_CHECKING:
    import socket

    from asgi_tunnel.asgi.types import StreamHandler
    from asgi_tunnel.protocol.events import SessionTerminated, StreamOpened

    from ..bus import Node
    from .pump import Pumps
    from .relay import Relay

__all__ = ["PeerListener"]

_log = logging.getLogger("asgi_tunnel_edge.peers")

MAX_ARRIVING: Final = 256
"""Connections whose first frame has not come: more than there are nodes in most clusters."""

MAX_HANDSHAKES: Final = 256
"""Connections from other machines before the end of their TLS handshake; above it the oldest of the
address that has the most gives way. It may be anybody's: a node's is over in two round trips."""

HANDSHAKE_SHARES: Final = (128, 192, 256)
"""The same of one address (IPv6: of one /64), one /56 and one /48. Half for one address: all
processes of a machine dial again when this one was away."""

HANDSHAKE_TIMEOUT: Final = 2.0
"""Seconds for a handshake: the node that dials gives up after 1.5 s."""

Carried = Callable[[WebSocketTransport, Hello, bytes], None]
"""Gets a connection whose HELLO says that an app's follows, and what came behind it."""


class PeerListener:
    """See the module.

    Args:
        own: This node.
        relay: Serves their streams.
        pumps: Pass on what is for other processes of this edge.

    Attributes:
        sessions: Of the nodes that have connected.
        on_carried: See :data:`Carried`; None: none are taken.
        find_process: Returns another process of this edge by its node's id; None: there are none.
    """

    def __init__(self, own: Node, relay: Relay, pumps: Pumps) -> None:
        self.pumps = pumps
        self.find_process: Callable[[str], Node | None] | None = None
        self._passing: set[asyncio.Task[None]] = set()
        self._own = own
        self._relay = relay
        self._servers: list[asyncio.Server] = []
        self._listening: list[ListeningSockets] = []
        self._sockets: list[socket.socket] = []
        self._handshakes: FairPool[_Handshake] = FairPool(
            MAX_HANDSHAKES, HANDSHAKE_SHARES, replaces_own=True
        )
        self._errors = Ledger(ERRORS)
        self._path: Path | None = None
        self._arriving = 0
        self.sessions: dict[Session, str] = {}
        self.on_carried: Carried | None = None

    async def listen_here(self, path: Path) -> None:
        """Take the processes of this machine.

        Raises:
            OSError: The folder cannot be written.
        """
        sock = listen_unix(path)
        self._path = path
        loop = asyncio.get_running_loop()
        self._servers.append(await loop.create_unix_server(lambda: _Arrival(self), sock=sock))

    async def listen_on(self, sockets: list[socket.socket], tls: ssl.SSLContext) -> None:
        """Take the nodes of other machines.

        Args:
            sockets: That listen.
            tls: Asks for a certificate of the cluster's CA.
        """
        for sock in sockets:
            sock.setblocking(False)
            watch = DescriptorWatch(sock.fileno())
            listening = ListeningSockets([sock], partial(self._accepted, tls), watch)
            self._listening.append(listening)
            self._sockets.append(sock)
            listening.start()

    def retire(self) -> None:
        """Take no more from other machines: another process accepts on the same sockets."""
        for listening in self._listening:
            listening.close()

    def close(self) -> None:
        """Take no more, and end those that are there; may be called twice."""
        self.retire()
        for server in self._servers:
            server.close()
        for sock in self._sockets:
            sock.close()
        self._listening.clear()
        self._servers.clear()
        self._sockets.clear()
        for handshake in self._handshakes:
            handshake.end()
        if self._path is not None:
            self._path.unlink(missing_ok=True)
            self._path = None
        for task in self._passing:
            task.cancel()
        for session in list(self.sessions):
            session.terminate(GoawayCode.SHUTDOWN, "this node ends")

    # -- for arrivals ------------------------------------------------------------------------

    def _accepted(self, tls: ssl.SSLContext, sock: socket.socket, address: str) -> None:
        """Begin with a connection from another machine, whoever it may be."""
        path = networks_of(address)
        if self._errors.wait(path, asyncio.get_running_loop().time()) > 0:
            sock.close()
            return
        handshake = _Handshake(self, sock, path)
        victim = self._handshakes.enter(handshake, path).victim
        if victim is not None:
            victim.end()
        handshake.start(tls)

    def shaken(self, handshake: _Handshake, error: Exception | None) -> None:
        """A handshake is over."""
        self._handshakes.leave(handshake)
        if error is not None:
            _log.debug("a TLS handshake of another edge failed: %s", error)
            self._errors.add(handshake.path, asyncio.get_running_loop().time())

    def arrived(self, transport: asyncio.Transport) -> None:
        """Read the first frame of a connection that may be a node's."""
        name = _name_of(transport)
        if name is None or self._arriving >= MAX_ARRIVING:
            transport.abort()
            return
        websocket = WebSocketTransport(is_masking=False)
        transport.set_protocol(websocket.as_protocol())
        websocket.connection_made(transport)
        self._arriving += 1

        def on_message(message: Hello | Welcome | Refuse, rest: bytes) -> None:
            self._arriving -= 1
            if isinstance(message, Hello):
                self._greet(websocket, message, rest, name)
            else:
                websocket.abort()

        def on_failed(why: str) -> None:
            self._arriving -= 1
            _log.debug("a connection was no node's: %s", why)

        websocket.start(Greeting(websocket, on_message, on_failed))

    def _greet(self, websocket: WebSocketTransport, hello: Hello, rest: bytes, name: str) -> None:
        refusal = self._refusal(hello, name)
        if refusal is None and hello.session != self._own.id:
            refusal = self._pass_on(websocket, hello, rest)
            if refusal is None:
                return
        if refusal is not None:
            websocket.send(encode_handshake(refusal))
            websocket.close()
            return
        if CARRY in hello.capabilities:
            if self.on_carried is None:
                websocket.abort()
            else:
                self.on_carried(websocket, hello, rest)
            return
        who = f"{hello.group}/{hello.slot}" if hello.group else f"worker {hello.slot}"
        session = peer_session(Role.CONNECTOR, hello.settings, name=f"from {who}")
        session.on_stream = self._on_stream
        session.on_end = self._on_end
        self.sessions[session] = who
        is_passed = not name and hello.group != self._own.edge
        welcome = Welcome(
            session=self._own.id,
            agent=f"asgi-tunnel-edge/{__version__}",
            capabilities=(PEER, PASSED) if is_passed else (PEER,),
            settings=PEER_SETTINGS,
            timing=PEER_TIMING,
        )
        websocket.send(encode_handshake(welcome))
        session.attach(websocket)
        if rest:
            session.data_received(rest)
        websocket.start(session)

    def _refusal(self, hello: Hello, name: str) -> Refuse | None:
        """Say why a connection is not taken; None: it is."""
        code, reason = RefuseCode.UNAUTHENTICATED, ""
        if agree_version(hello) is None:
            code = RefuseCode.VERSION
            reason = f"it speaks protocol {hello.oldest} to {hello.version}; upgrade that node"
        elif name and hello.group != name:
            reason = f"its certificate names {name}, and not {hello.group}"
        elif not {PEER, CARRY}.intersection(hello.capabilities):
            code, reason = RefuseCode.MALFORMED, "it does not say what it wants"
        return Refuse(code=code, reason=reason) if reason else None

    def _pass_on(self, websocket: WebSocketTransport, hello: Hello, rest: bytes) -> Refuse | None:
        """Let the process of this edge that was meant have a connection; or say why not."""
        node = None if self.find_process is None else self.find_process(hello.session)
        if node is None or rest or not self.pumps.has_room(len(self._passing)):
            reason = "the process that was meant is not there any longer"
            return Refuse(code=RefuseCode.OVERLOAD, reason=reason)

        async def pass_on() -> None:
            try:
                inner = await open_transport(self._own, node, None)
            except PeerError as error:
                refusal = Refuse(code=RefuseCode.OVERLOAD, reason=str(error))
                websocket.send(encode_handshake(refusal))
                websocket.close()
            else:
                self.pumps.join(websocket, inner, encode_handshake(hello))

        task = asyncio.get_running_loop().create_task(pass_on(), name="asgi-tunnel-edge pass")
        self._passing.add(task)
        task.add_done_callback(self._passing.discard)
        return None

    def _on_stream(self, session: Session, event: StreamOpened) -> StreamHandler:
        return self._relay.serve(session, event)

    def _on_end(self, session: Session, event: SessionTerminated) -> None:
        self.sessions.pop(session, None)


class _Handshake:
    """A connection from another machine before the end of its TLS handshake.

    Args:
        listener: Has accepted it.
        sock: Non-blocking.
        path: The groups of its address.
    """

    __slots__ = ("_has_begun", "_listener", "_sock", "_task", "path")

    def __init__(self, listener: PeerListener, sock: socket.socket, path: Sequence[str]) -> None:
        self.path = path
        self._listener = listener
        self._sock = sock
        self._has_begun = False
        self._task: asyncio.Task[None]

    def start(self, tls: ssl.SSLContext) -> None:
        """Begin."""
        loop = asyncio.get_running_loop()
        self._task = loop.create_task(self._run(tls), name="asgi-tunnel-edge peer handshake")

    def end(self) -> None:
        """Give it up; may be called at any time."""
        self._task.cancel()
        if not self._has_begun:
            self._sock.close()

    async def _run(self, tls: ssl.SSLContext) -> None:
        self._has_begun = True
        error: Exception | None = None
        try:
            await asyncio.get_running_loop().connect_accepted_socket(
                lambda: _Arrival(self._listener),
                self._sock,
                ssl=tls,
                ssl_handshake_timeout=HANDSHAKE_TIMEOUT,
            )
        except OSError as failed:  # of TLS, too
            error = failed
        finally:
            self._listener.shaken(self, error)


class _Arrival(asyncio.Protocol):
    """A connection that was just accepted."""

    def __init__(self, listener: PeerListener) -> None:
        self._listener = listener

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See who it is."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        self._listener.arrived(transport)  # type: ignore[arg-type]


def _name_of(transport: asyncio.Transport) -> str | None:
    """Return the edge in a certificate, empty for a process of this user; None: neither."""
    found = transport.get_extra_info("ssl_object")
    if found is None:
        sock = transport.get_extra_info("socket")
        return "" if sock is not None and is_same_user(sock) else None
    try:
        return peer_edge(found)
    except CertificateError as error:
        _log.warning("a connection of another edge was refused: %s", error)
        return None
