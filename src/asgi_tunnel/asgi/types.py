"""Types of ASGI, and the seam between the driver and whoever carries the streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from ..protocol.codes import ResetCode
from ..protocol.events import StreamOpened
from ..protocol.frames import Buffer
from ..protocol.head import Fields, ResponseHead

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]

ASGIApp = Callable[[Any, Any, Any], Awaitable[None]]
"""An ASGI 3 app.  ``Any``, because frameworks annotate the three arguments in their own ways."""


class StreamLink(Protocol):
    """What the driver asks of a session; see :class:`asgi_tunnel.session.Session`."""

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """Send the head of the response; False when the sender should wait."""

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """Send bytes; False when the sender should wait."""

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Send trailers."""

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Send a WebSocket close."""

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """End the stream at once."""

    def consume(self, stream_id: int, flow_controlled_size: int) -> None:
        """Let the peer send more."""

    def release(self, stream_id: int) -> None:
        """Forget the stream's handler."""


class StreamHandler(Protocol):
    """What the peer does on one stream.  No method may block, and none may raise."""

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """The head of the response (edge only)."""

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Bytes; give ``flow_controlled_size`` back with :meth:`StreamLink.consume`."""

    def on_trailers(self, fields: Fields) -> None:
        """Trailers, which end the peer's direction."""

    def on_close(self, code: int, reason: str) -> None:
        """A WebSocket close, which ends the peer's direction."""

    def on_writable(self) -> None:
        """A ``send_`` method that returned False may be called again."""

    def on_reset(self, code: int, reason: str) -> None:
        """The stream is over: reset by the peer, or lost with its session. The last call."""


class DirectStream(StreamHandler, Protocol):
    """A stream that an app serves itself, without an ASGI call."""

    def shut_down(self) -> None:
        """End an event stream because the app ends; do nothing with another one."""

    def abort(self) -> None:
        """End it now: the grace is over."""


class StreamOwner(Protocol):
    """What a :class:`DirectStream` tells whoever gave it the stream."""

    def call_app(self, link: StreamLink, event: StreamOpened) -> StreamHandler:
        """Serve a stream by an ASGI call after all, nothing was sent yet; ``ended`` comes next."""

    def ended(self, stream: DirectStream, status: int, note: str) -> None:
        """A stream is over, or was left to a call; said once, and never while it begins.

        Args:
            stream: The one.
            status: Of the response; 0: there was none.
            note: Empty, or that the response is not complete.
        """


ServeStream = Callable[[StreamLink, StreamOpened, StreamOwner], DirectStream | None]
"""``serve_stream`` of an app that has one: begins with an HTTP request that has no body; None: it
has to be called, as for every other stream."""
