"""One request to an inspector on its way: a stream's handler, read by a coroutine.

The window is given back as the reader takes bytes, so no more than one window of a response is kept
here, however fast the app's side sends.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Fields, RequestHead, ResponseHead
from asgi_tunnel.protocol.limits import WINDOW_FLOOR

from .errors import InspectionError

if TYPE_CHECKING:
    from ..route import Upstream

__all__ = ["InspectorStream"]

_LOST: Final = "the tunnel to the app was lost meanwhile"
_BROKEN: Final = "the app's side broke the tunnel's protocol"


class InspectorStream:
    """See the module; opened when it is made.

    Args:
        upstream: The session that carries it.
        head: Of the request; its last line says that it is for the inspector.
        body: Of the request, whole.

    Raises:
        HeadError: The head is too large for the wire.
    """

    def __init__(self, upstream: Upstream, head: RequestHead, body: bytes) -> None:
        self._upstream = upstream
        self._head: ResponseHead | None = None
        self._pieces: deque[tuple[bytes, int]] = deque()  # each with what it costs of the window
        self._is_whole = False  # the response has come to its end
        self._error: InspectionError | None = None
        self._news = asyncio.Event()
        self._id = upstream.open_stream(StreamKind.HTTP, head, self, data=body, end=True)
        self._is_open = True

    async def head(self) -> ResponseHead:
        """Return the head of the response. Cancelling it loses nothing.

        Raises:
            InspectionError: There will be none.
        """
        while self._head is None:
            await self._wait()
        return self._head

    async def read(self) -> bytes:
        """Return the next bytes of the response; none at its end. Cancelling it loses nothing.

        Raises:
            InspectionError: The response is not complete, and never will be.
        """
        while not self._pieces:
            if self._is_whole:
                return b""
            await self._wait()
        data, cost = self._pieces.popleft()
        if cost and self._is_open:
            self._upstream.consume(self._id, cost)
        return data

    def close(self) -> None:
        """Want no more; may be called twice, and after the end."""
        if not self._is_open:
            return
        self._is_open = False
        if self._is_whole:
            self._upstream.release(self._id)
            left = sum(cost for _, cost in self._pieces)
            if left:
                self._upstream.consume(self._id, left)
        else:
            self._upstream.reset_stream(self._id, ResetCode.CANCELLED, "nobody waits any more")

    async def _wait(self) -> None:
        if self._error is not None:
            raise self._error
        self._news.clear()
        await self._news.wait()

    # -- StreamHandler -----------------------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Keep the head of the response, but for interim ones."""
        if head.status < 200:
            return
        self._head = head
        # A small response that came whole is below the floor: no window waits for it.
        cost = 0 if end and len(data) <= WINDOW_FLOOR else len(data)
        self.on_data(data, cost, end, False, False)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Keep a piece of it until it is read."""
        if data:
            self._pieces.append((bytes(data), flow_controlled_size))
        self._is_whole = self._is_whole or end
        self._news.set()

    def on_trailers(self, fields: Fields) -> None:
        """End the response: an inspector's has no trailers that count."""
        self.on_data(b"", 0, True, False, False)

    def on_close(self, code: int, reason: str) -> None:
        """Not for HTTP: the app's side broke the protocol."""
        self._upstream.reset_stream(self._id, ResetCode.PROTOCOL_ERROR, "CLOSE on an exchange")
        self._end(InspectionError("broken", _BROKEN))

    def on_writable(self) -> None:
        """Do nothing: the request was sent whole."""

    def on_reset(self, code: int, reason: str) -> None:
        """Say why there is no more."""
        if code == ResetCode.REFUSED:
            self._end(InspectionError("off", "the app's side has no inspector that is on"))
        else:
            self._end(InspectionError("lost", _LOST))

    def _end(self, error: InspectionError) -> None:
        self._is_open = False
        self._error = error
        self._news.set()
