"""An upstream inside the edge's own process: an ASGI app at the end of a tunnel in memory.

Two sessions of the protocol, joined by a pair of queues: what an exchange asks of it, flow control
and resets are those of every other tunnel, and nothing is written twice. It costs some 20 us more
for each request than a driver of its own would; these are the edge's pages, not an app's traffic.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from asgi_tunnel.asgi.lifespan import Lifespan
from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.asgi.types import ASGIApp, StreamHandler, StreamLink
from asgi_tunnel.protocol.codes import GoawayCode
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import Buffer
from asgi_tunnel.protocol.limits import Settings, Timing
from asgi_tunnel.session import Session

from ..route import Route, Upstream

__all__ = ["LocalApp", "LocalUpstream"]

ROOM: Final = 256 * 1024
"""Bytes under way in one direction at which a session sends no more until they are taken."""

_NAME: Final = "-"
"""What the access log has in place of a hostname."""


class LocalUpstream:
    """A driver of this process at the end of a tunnel in memory.

    Args:
        serve: Begins with a stream, as :meth:`asgi_tunnel.asgi.origin.Origin.serve`.

    Attributes:
        route: To it, for exchanges.
    """

    def __init__(self, serve: Callable[[StreamLink, StreamOpened], StreamHandler]) -> None:
        self._edge = _session(Role.EDGE)
        self._edge.takes_visitor = True
        self._app = _session(Role.CONNECTOR)
        self._app.on_stream = serve
        self.route = _LocalRoute(self._edge)

    def start(self) -> None:
        """Take requests from now on."""
        to_app, to_edge = _Pipe(), _Pipe()
        to_app.join(to_edge, self._app)
        to_edge.join(to_app, self._edge)
        self._app.attach(to_edge)
        self._edge.attach(to_app)

    def stop(self) -> None:
        """End what is in progress."""
        self._edge.terminate(GoawayCode.SHUTDOWN, "the edge has stopped")


class LocalApp:
    """One app of the edge's own.

    Args:
        app: ASGI 3.

    Attributes:
        route: To it, for exchanges.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._lifespan = Lifespan(app)
        self._origin = Origin(app, state=self._lifespan.state)
        self._upstream = LocalUpstream(self._origin.serve)
        self.route = self._upstream.route

    async def start(self) -> None:
        """Run the app's startup, then take requests.

        Raises:
            LifespanError: The app's startup failed.
        """
        await self._lifespan.startup()
        self._upstream.start()

    async def stop(self, grace: float = 0.0) -> None:
        """End the calls in progress within ``grace`` seconds, then the app.

        Cancelling it ends them at once.
        """
        await self._origin.finish(grace)
        self._upstream.stop()
        await self._lifespan.shutdown()


class _LocalRoute(Route):
    """Leads to one session that is always there, once it was started."""

    __slots__ = ("_session",)

    def __init__(self, session: Session) -> None:
        super().__init__(_NAME, "")
        self._session = session

    def choose(self, avoid: Upstream | None = None) -> Session | None:
        """Return the session, unless it is not ready or has just failed."""
        session = self._session
        is_ready = session.is_attached and session.connection.can_open
        return session if is_ready and session is not avoid else None


class _Pipe:
    """One direction between two sessions of one process; a transport of the sender."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._back: _Pipe | None = None
        self._receiver: Session | None = None
        self._size = 0

    def join(self, back: _Pipe, receiver: Session) -> None:
        """Say who receives, and which pipe leads back."""
        self._back, self._receiver = back, receiver

    @property
    def is_writable(self) -> bool:
        """Whether more should be sent now."""
        return self._receiver is not None and self._size < ROOM

    @property
    def room(self) -> int:
        """Bytes that should be sent at one time."""
        return ROOM

    @property
    def buffered(self) -> int:
        """Bytes under way."""
        return self._size

    def send(self, data: bytes) -> None:
        """Deliver bytes in the next iteration of the event loop: never inside the sender's call."""
        if self._receiver is not None:
            self._size += len(data)
            self._loop.call_soon(self._deliver, self._receiver, data)

    def send_large(self, pieces: Sequence[Buffer]) -> None:
        """Join and send them: nothing is copied for it later."""
        self.send(b"".join(pieces))

    def close(self) -> None:
        """Deliver what is under way, then be lost at both ends."""
        self._loop.call_soon(self.abort)

    def abort(self) -> None:
        """Be lost at both ends."""
        back, receiver = self._back, self._receiver
        self._back = self._receiver = None
        if back is None or receiver is None:
            return
        self._loop.call_soon(_lose, receiver, back)
        back.abort()

    def _deliver(self, receiver: Session, data: bytes) -> None:
        was_full = self._size >= ROOM
        self._size -= len(data)
        receiver.data_received(data)
        back = self._back
        if was_full and self._size < ROOM and back is not None:
            back.wake()

    def wake(self) -> None:
        """The other direction has room again: its sender is this one's receiver."""
        if self._receiver is not None:
            self._receiver.transport_writable()


def _lose(session: Session, transport: _Pipe) -> None:
    session.transport_lost(transport, None)


def _session(role: Role) -> Session:
    connection = Connection(
        role,
        local=Settings(),
        peer=Settings(),
        timing=Timing(),
        now=asyncio.get_running_loop().time(),
    )
    return Session(connection, session_id="", name=f"local {role.value}")
