"""The first frames between two nodes: HELLO of the one that dials, WELCOME or REFUSE of the other.

They are the frames of a tunnel's handshake (docs/protocol.md section 12). The node that dials opens
streams, as an edge does; the other one serves them, as an app's side does.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from asgi_tunnel.errors import TunnelError
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.handshake import HandshakeReader, Hello, Refuse, Welcome
from asgi_tunnel.protocol.limits import MAX_HANDSHAKE_SIZE, STREAM_WINDOW, Settings, Timing
from asgi_tunnel.session import Session

if TYPE_CHECKING:
    from asgi_tunnel.transport import Transport, WebSocketTransport

__all__ = ["CARRY", "PASSED", "PEER", "PEER_SETTINGS", "PEER_TIMING", "Greeting", "peer_session"]

PEER: Final = "peer"
"""Capability of a HELLO that comes from another node."""

CARRY: Final = "carry"
"""The same, where what follows is the connection of an app (:mod:`.carry`)."""

PASSED: Final = "passed"
"""Capability of a WELCOME: another process of that edge has accepted the connection, and passes
on what is sent, as long as it lives."""

GREETING_TIMEOUT: Final = 1.0
"""Seconds for both frames: a healthy node replies within a round trip and a turn of its loop."""

PEER_SESSION_WINDOW: Final = 64 * 1024 * 1024
"""Bytes above the floors of all streams that one node keeps unread for another: the session window
of a tunnel four times, because it carries what many tunnels do."""

PEER_STREAMS: Final = 65_536
"""Streams between two nodes at one time, in one direction: those of four full tunnels."""

PEER_TIMING: Final = Timing(heartbeat_interval=0.5, heartbeat_timeout=1.5, resume_window=0.0)
"""A node that is frozen or cut off is lost after 1.5 s: what visitors had through it is back within
two. A PING that is lost twice on its way (0.2 and 0.4 s until it is sent again) fits in. Nothing
resumes: who dials again is there at once, and each exchange follows its own rule."""

PEER_SETTINGS: Final = Settings(
    stream_window=STREAM_WINDOW, session_window=PEER_SESSION_WINDOW, max_streams=PEER_STREAMS
)
"""What each node announces to the other."""


class Greeting:
    """A connection before its handshake is done; a transport's receiver.

    Args:
        websocket: The connection.
        on_message: Called once with the peer's frame and the bytes behind it.
        on_failed: Called once with a sentence instead, when there is none.
    """

    def __init__(
        self,
        websocket: WebSocketTransport,
        on_message: Callable[[Hello | Welcome | Refuse, bytes], None],
        on_failed: Callable[[str], None],
    ) -> None:
        self.is_behind = False
        self._websocket = websocket
        self._on_message = on_message
        self._on_failed = on_failed
        self._reader = HandshakeReader()
        self._is_over = False
        self._overhead = 0
        loop = asyncio.get_running_loop()
        self._timer = loop.call_later(GREETING_TIMEOUT, self.fail, "it does not reply")

    def data_received(self, data: bytes | memoryview) -> None:
        """Read the frame."""
        if self._is_over:
            return
        try:
            found = self._reader.feed(bytes(data))
        except TunnelError as error:
            self.fail(str(error))
            return
        if found is not None:
            self._is_over = True
            self._timer.cancel()
            self._on_message(*found)

    def note_overhead(self, units: int) -> None:
        """End it above what the frame needs that comes in messages of one byte."""
        self._overhead += units
        if self._overhead > 2 * MAX_HANDSHAKE_SIZE:
            self.fail("it sends too much without content")

    def transport_writable(self) -> None:
        """Nothing waits to be sent."""

    def transport_lost(self, transport: Transport, error: Exception | None) -> None:
        """The connection ended before the frame came."""
        self.fail(str(error) if error is not None else "it has closed the connection")

    def fail(self, why: str) -> None:
        """Give up; may be called at any time."""
        if not self._is_over:
            self._is_over = True
            self._timer.cancel()
            self._websocket.abort()
            self._on_failed(why)


def peer_session(role: Role, peer: Settings, *, name: str) -> Session:
    """Return the session between two nodes.

    Args:
        role: EDGE at the node that has dialed.
        peer: What the other one has announced.
        name: For logs.
    """
    connection = Connection(
        role,
        local=PEER_SETTINGS,
        peer=peer,
        timing=PEER_TIMING,
        now=asyncio.get_running_loop().time(),
    )
    return Session(connection, session_id="", name=name)
