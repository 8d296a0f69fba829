"""What a visitor of a :class:`.edge.LocalEdge` sees: responses, bodies and WebSockets.

Each is the handler of one stream on the edge's side, and consumes only what its reader takes: a
visitor who does not read holds the app back.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterable, AsyncIterator
from dataclasses import dataclass, field
from typing import Any, Final

from ..asgi.inbox import Inbox
from ..errors import StreamResetError, TunnelError
from ..protocol.codes import ResetCode
from ..protocol.frames import Buffer, StreamKind
from ..protocol.head import Fields, RequestHead, ResponseHead
from ..session import Session

Body = bytes | AsyncIterable[bytes]

_LOST: Final[dict[int, tuple[int, str]]] = {
    ResetCode.SESSION_LOST: (1014, "the tunnel to the app was lost"),
    ResetCode.REFUSED: (1012, "the app restarts"),
}
_FAILED: Final = (1011, "the app failed")


class Headers(list[tuple[str, str]]):
    """Header fields: names lower-case, wire order and duplicates kept."""

    def get(self, name: str) -> str | None:
        """Return the first value of a field, or None."""
        return next((value for one, value in self if one == name.lower()), None)

    def get_all(self, name: str) -> list[str]:
        """Return all values of a field."""
        return [value for one, value in self if one == name.lower()]


@dataclass(frozen=True, slots=True, kw_only=True)
class Response:
    """A complete response."""

    status: int
    headers: Headers
    body: bytes
    trailers: Headers = field(default_factory=Headers)

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """Return what the body says."""
        return json.loads(self.body)


class WebSocketDeniedError(TunnelError):
    """The app refused the WebSocket.

    Attributes:
        status: Of the response, 403 when the app gave none.
        headers: Of the response.
        body: Of the response.
    """

    def __init__(self, status: int, headers: Headers, body: bytes) -> None:
        super().__init__(status, headers, body)
        self.status = status
        self.headers = headers
        self.body = body

    def __str__(self) -> str:
        return f"the app refused the WebSocket with status {self.status}"


class WebSocketClosedError(TunnelError):
    """The WebSocket is closed, and every message before was received.

    Attributes:
        code: As in RFC 6455.
        reason: May be empty.
    """

    def __init__(self, code: int, reason: str = "") -> None:
        super().__init__(code, reason)
        self.code = code
        self.reason = reason

    def __str__(self) -> str:
        return f"the WebSocket was closed with {self.code} {self.reason}".rstrip()


class ResponseStream:
    """A response whose body is read piece by piece: ``async for piece in response``.

    Attributes:
        status: Of the response.
        headers: Of the response.
        trailers: Complete when the body is.
        interim: Status and headers of each 1xx response before.
    """

    def __init__(self, session: Session) -> None:
        self.status = 0
        self.headers = Headers()
        self.trailers = Headers()
        self.interim: list[tuple[int, Headers]] = []
        self._session = session
        self._stream_id = 0
        self._inbox = Inbox()
        self._room = asyncio.Event()
        self._has_response = asyncio.Event()
        self._is_over = False
        self._error: Exception | None = None
        self._upload: asyncio.Task[None] | None = None

    async def ask(self, head: RequestHead, body: Body) -> None:
        """Send the request and return when the head of the response is there.

        Raises:
            StreamResetError: There will be none.
            Exception: What the iterator of the body raised.

        Cancelling it does not end the stream: :meth:`aclose` does.
        """
        data, is_whole = (body, True) if isinstance(body, bytes) else (b"", False)
        self._stream_id = self._session.open_stream(
            StreamKind.HTTP, head, self, data=data, end=is_whole
        )
        if not isinstance(body, bytes):
            self._upload = asyncio.get_running_loop().create_task(self._send(body))
        await self._has_response.wait()
        if self._error is not None:
            raise self._error

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        message, flow_controlled_size = await self._inbox.get()
        self._session.consume(self._stream_id, flow_controlled_size)
        if "body" in message:
            return bytes(message["body"])
        if self._error is not None:
            raise self._error
        raise StopAsyncIteration

    async def read(self) -> bytes:
        """Return the rest of the body.

        Raises:
            StreamResetError: The response was cut: what came of it is not the whole.
        """
        return b"".join([piece async for piece in self])

    async def aclose(self) -> None:
        """Leave: the app is told, unless the exchange is over."""
        if self._upload is not None:
            self._upload.cancel()
            await asyncio.wait([self._upload])
        if self._stream_id:
            self._session.reset_stream(self._stream_id, ResetCode.CANCELLED, "visitor left")
        self._lose(StreamResetError(ResetCode.CANCELLED, stream_id=self._stream_id, by_peer=False))

    async def _send(self, body: AsyncIterable[bytes]) -> None:
        try:
            async for piece in body:
                if piece and not self._session.send_data(self._stream_id, piece):
                    self._room.clear()
                    await self._room.wait()
            self._session.send_data(self._stream_id, b"", end=True)
        except Exception as error:  # noqa: BLE001 - the task's outer edge: the reader gets it
            self._session.reset_stream(self._stream_id, ResetCode.CANCELLED)
            self._lose(error)

    def _lose(self, error: Exception) -> None:
        """End with an error, unless the response is complete; what came before is still read."""
        if not self._is_over:
            self._error = error
            self._end()

    def _end(self) -> None:
        self._is_over = True
        if self._upload is not None:
            self._upload.cancel()
        self._inbox.put_last({})
        self._room.set()
        self._has_response.set()

    # -- StreamHandler -----------------------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Keep it."""
        headers = _read(head.fields)
        if head.status < 200:
            self.interim.append((head.status, headers))
            return
        self.status, self.headers = head.status, headers
        self._has_response.set()
        self.on_data(data, len(data), end, False, False)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Keep it for the reader."""
        if data:
            self._inbox.put({"body": data}, flow_controlled_size)
        if end:
            self._end()

    def on_trailers(self, fields: Fields) -> None:
        """Keep them; they end the response."""
        self.trailers = _read(fields)
        self._end()

    def on_close(self, code: int, reason: str) -> None:
        """Not for HTTP: the app's side broke the protocol."""
        self.on_reset(ResetCode.PROTOCOL_ERROR, "CLOSE on an exchange")

    def on_writable(self) -> None:
        """Let the upload go on."""
        self._room.set()

    def on_reset(self, code: int, reason: str) -> None:
        """Tell the reader, after what came before."""
        self._lose(_reset_error(code, self._stream_id))


class WebSocket:
    """One WebSocket, as its visitor holds it.

    Attributes:
        subprotocol: What the app chose.
        headers: Of the app's acceptance.
        close_code: With which either side closed; None while it is open.
        close_reason: Its reason.
    """

    def __init__(self, session: Session) -> None:
        self.headers = Headers()
        self.close_code: int | None = None
        self.close_reason = ""
        self._session = session
        self._stream_id = 0
        self._inbox = Inbox()
        self._room = asyncio.Event()
        self._has_response = asyncio.Event()
        self._status = 0
        self._partial = bytearray()  # of a message, or of the body of a refusal
        self._error: Exception | None = None

    async def ask(self, head: RequestHead) -> None:
        """Ask for the WebSocket and return when the app has accepted it.

        Raises:
            WebSocketDeniedError: The app does not want it.
            StreamResetError: There is no response.
        """
        self._stream_id = self._session.open_stream(StreamKind.WEBSOCKET, head, self, end=False)
        await self._has_response.wait()
        if self._error is not None:
            raise self._error

    @property
    def subprotocol(self) -> str | None:
        """What the app chose of the subprotocols."""
        return self.headers.get("sec-websocket-protocol")

    async def send_text(self, text: str) -> None:
        """Send a message and return when there is room for the next.

        Raises:
            WebSocketClosedError: It is closed.
        """
        await self._send(text.encode(), is_text=True)

    async def send_bytes(self, data: bytes) -> None:
        """Send a message; as :meth:`send_text`."""
        await self._send(data, is_text=False)

    async def receive(self) -> str | bytes:
        """Return the next message.  Cancelling it loses nothing.

        Raises:
            WebSocketClosedError: It is closed, and nothing is left.
        """
        message, flow_controlled_size = await self._inbox.get()
        self._session.consume(self._stream_id, flow_controlled_size)
        if "data" in message:
            found: str | bytes = message["data"]
            return found
        raise self._closed_error()

    def __aiter__(self) -> AsyncIterator[str | bytes]:
        return self

    async def __anext__(self) -> str | bytes:
        try:
            return await self.receive()
        except WebSocketClosedError:
            raise StopAsyncIteration from None

    async def close(self, code: int = 1000, reason: str = "") -> None:
        """Close it; 1006 is to vanish without a word.  What has not been received is lost."""
        if self._end(code, reason, drop=True):
            self._session.send_close(self._stream_id, code, reason)

    def leave(self) -> None:
        """Be gone whatever state it is in."""
        self._end(1006, "", drop=True)
        if self._stream_id:
            self._session.reset_stream(self._stream_id, ResetCode.CANCELLED, "visitor left")

    async def _send(self, data: bytes, *, is_text: bool) -> None:
        if self.close_code is not None:
            raise self._closed_error()
        if not self._session.send_data(self._stream_id, data, text=is_text):
            self._room.clear()
            await self._room.wait()

    def _closed_error(self) -> WebSocketClosedError:
        return WebSocketClosedError(self.close_code or 1006, self.close_reason)

    def _end(self, code: int, reason: str, *, drop: bool = False) -> bool:
        """Note how it was closed; False when that is known already."""
        if self.close_code is not None:
            return False
        self.close_code, self.close_reason = code, reason
        self._session.consume(self._stream_id, self._inbox.put_last({}, drop=drop))
        self._room.set()
        self._has_response.set()
        return True

    # -- StreamHandler -----------------------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Take the app's decision."""
        self._status, self.headers = head.status, _read(head.fields)
        if head.status == 101:
            self._has_response.set()
        else:
            # A refusal ends this direction, as the edge does it.
            self._session.send_close(self._stream_id, 1006)
            self.on_data(data, len(data), end, False, False)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Assemble messages; the window of a fragment is given back as soon as it is kept."""
        if self.close_code is None:
            self._partial += data
        if self._status != 101:
            self._session.consume(self._stream_id, flow_controlled_size)
            if end:
                body = bytes(self._partial)
                self._error = WebSocketDeniedError(self._status, self.headers, body)
                self._end(1006, "")
        elif more or self.close_code is not None:
            self._session.consume(self._stream_id, flow_controlled_size)
        else:
            message = bytes(self._partial)
            self._partial.clear()
            self._inbox.put({"data": message.decode() if text else message}, flow_controlled_size)

    def on_trailers(self, fields: Fields) -> None:
        """Not for a WebSocket: the app's side broke the protocol."""
        self.on_reset(ResetCode.PROTOCOL_ERROR, "TRAILERS on a WebSocket")

    def on_close(self, code: int, reason: str) -> None:
        """Take the app's close and reply to it, or take the reply to our own."""
        if self._end(code, reason):
            self._session.send_close(self._stream_id, code, reason)
        self._session.release(self._stream_id)

    def on_writable(self) -> None:
        """Let senders go on."""
        self._room.set()

    def on_reset(self, code: int, reason: str) -> None:
        """Close as the edge does when the app or its tunnel is gone."""
        if self._status != 101:
            self._error = _reset_error(code, self._stream_id)
        self._end(*_LOST.get(code, _FAILED))


def _read(fields: Fields) -> Headers:
    return Headers((name.decode("latin-1"), value.decode("latin-1")) for name, value in fields)


def _reset_error(code: int, stream_id: int) -> StreamResetError:
    known = ResetCode(code) if code in set(ResetCode) else code
    return StreamResetError(known, stream_id=stream_id, by_peer=True)
