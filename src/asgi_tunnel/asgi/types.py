"""Types of ASGI, and the seam between the driver and whoever carries the streams."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any, Protocol

from ..protocol.codes import ResetCode
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
