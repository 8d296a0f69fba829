"""A tunnel in memory: an app on one side, visitors as the edge relays them on the other.

Both ends are real sessions over the real protocol core; only the transport is not a socket. All
of it happens in turns of one event loop, so :func:`until` and :func:`rest` need no clock.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from asgi_tunnel.asgi.origin import Origin
from asgi_tunnel.asgi.types import ASGIApp, Message, StreamHandler, StreamLink
from asgi_tunnel.protocol.codes import GoawayCode, ResetCode
from asgi_tunnel.protocol.connection import Connection, Role
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import Arrival, Fields, RequestHead, ResponseHead
from asgi_tunnel.protocol.limits import Settings, Timing
from asgi_tunnel.session import Session
from asgi_tunnel.transport import Receiver, Transport

TURNS: Final = 20_000
"""Turns of the loop in which something has to happen."""


async def until(condition: Callable[[], object], what: str = "") -> None:
    """Return when ``condition()`` is true; fail when it is not in ``TURNS`` turns of the loop."""
    for _ in range(TURNS):
        if condition():
            return
        await asyncio.sleep(0)
    raise AssertionError(what or "it never happened")


async def rest(turns: int = 50) -> None:
    """Let everything that can happen now happen."""
    for _ in range(turns):
        await asyncio.sleep(0)


class MemoryTransport:
    """One end of a pipe; implements :class:`asgi_tunnel.transport.Transport`.

    Attributes:
        is_writable: Set it to False for a network that takes nothing.
        peer: The other end.
    """

    def __init__(self) -> None:
        self.is_writable = True
        self.buffered = 0
        self.room = 128 * 1024
        self.peer: MemoryTransport
        self.sent = 0  # bytes
        self._receiver: Receiver | None = None
        self._loop = asyncio.get_running_loop()

    def start(self, receiver: Receiver) -> None:
        """Pass what arrives to ``receiver``."""
        self._receiver = receiver

    def send(self, data: bytes) -> None:
        """Deliver in the next turn."""
        if self._receiver is not None:
            self.sent += len(data)
            self._loop.call_soon(self.peer.deliver, data)

    def send_large(self, pieces: Sequence[Buffer]) -> None:
        """The same."""
        self.send(b"".join(pieces))

    def deliver(self, data: bytes) -> None:
        """Take what the other end sent."""
        if self._receiver is not None:
            self._receiver.data_received(data)

    def let(self, *, write: bool) -> None:
        """Open or close the network in this direction."""
        self.is_writable = write
        if write and self._receiver is not None:
            self._receiver.transport_writable()

    def close(self) -> None:
        """Be lost, at both ends, after what was sent."""
        self._loop.call_soon(self.peer.lose)
        self._loop.call_soon(self.lose)

    def abort(self) -> None:
        """Be lost at both ends."""
        self.close()

    def lose(self) -> None:
        """Tell the session, once."""
        receiver, self._receiver = self._receiver, None
        if receiver is not None:
            receiver.transport_lost(self, None)


@dataclass
class Visitor:
    """Plays the edge for one stream: sends for a visitor, keeps what the app answers."""

    tunnel: Tunnelled
    reads: bool = True  # take what comes, and give its cost back
    stream_id: int = 0
    interim: list[ResponseHead] = field(default_factory=list)
    status: int = 0
    fields: Fields = field(default_factory=list)
    pieces: list[bytes] = field(default_factory=list)
    messages: list[str | bytes] = field(default_factory=list)  # of a WebSocket
    trailers: Fields | None = None
    is_complete: bool = False
    closed: tuple[int, str] | None = None
    reset: tuple[int, str] | None = None
    owed: int = 0
    _partial: bytearray = field(default_factory=bytearray)

    # -- what the visitor does ---------------------------------------------------------------

    def send(self, data: bytes, *, end: bool = False) -> bool:
        """Send a piece of the request body; False when the tunnel takes no more."""
        return self.tunnel.edge.send_data(self.stream_id, data, end=end)

    def say(self, message: str | bytes) -> bool:
        """Send one WebSocket message."""
        is_text = isinstance(message, str)
        data = message.encode() if isinstance(message, str) else message
        return self.tunnel.edge.send_data(self.stream_id, data, text=is_text)

    def leave(self) -> None:
        """Be gone, as when the connection breaks during an exchange."""
        self.tunnel.edge.reset_stream(self.stream_id, ResetCode.CANCELLED)

    def close(self, code: int, reason: str = "") -> None:
        """Close the WebSocket, or be lost with 1006."""
        self.tunnel.edge.send_close(self.stream_id, code, reason)

    def read(self) -> None:
        """Take what was not taken yet, and what comes from now on."""
        self.reads = True
        owed, self.owed = self.owed, 0
        self.tunnel.edge.consume(self.stream_id, owed)

    # -- what the visitor sees ---------------------------------------------------------------

    @property
    def body(self) -> bytes:
        """The response's body so far."""
        return b"".join(self.pieces)

    def field(self, name: bytes) -> list[bytes]:
        """The values of a field, in order."""
        return [value for one, value in self.fields if one == name]

    @property
    def is_over(self) -> bool:
        """Whether the response is complete or given up."""
        return self.is_complete or self.reset is not None or self.closed is not None

    async def over(self) -> Visitor:
        """Wait for the end of the response."""
        await until(lambda: self.is_over, "the response never ended")
        return self

    async def started(self) -> Visitor:
        """Wait for the head of the response."""
        await until(lambda: self.status, "no response")
        return self

    # -- StreamHandler -----------------------------------------------------------------------

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Keep it."""
        if head.status < 200 and head.status != 101:
            self.interim.append(head)
            return
        assert not self.status, "a second head"
        self.status, self.fields = head
        if data or end:
            self.on_data(data, len(data), end, False, False)

    def on_data(self, data: Buffer, cost: int, end: bool, text: bool, more: bool) -> None:
        """Keep it, assembled for a WebSocket."""
        if self.status == 101:
            self._partial += data
            if not more:
                whole = bytes(self._partial)
                self._partial.clear()
                self.messages.append(whole.decode() if text else whole)
        elif data:
            self.pieces.append(bytes(data))
        if self.reads:
            self.tunnel.edge.consume(self.stream_id, cost)
        else:
            self.owed += cost
        self.is_complete = self.is_complete or end

    def on_trailers(self, fields: Fields) -> None:
        """Keep them."""
        self.trailers = fields
        self.is_complete = True

    def on_close(self, code: int, reason: str) -> None:
        """Keep code and reason."""
        self.closed = code, reason

    def on_writable(self) -> None:
        """Nobody waits for it here."""

    def on_reset(self, code: int, reason: str) -> None:
        """Keep code and reason."""
        self.reset = code, reason


class Tunnelled:
    """An app behind a tunnel in memory.

    Args:
        app: The app.
        state: The lifespan state.
        root_path: As :class:`Origin`.
        spec_version: Of ASGI HTTP.
        settings: What both ends receive.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        state: dict[str, Any] | None = None,
        root_path: str = "",
        spec_version: str = "2.3",
        settings: Settings | None = None,
    ) -> None:
        self.origin = Origin(app, state=state, root_path=root_path, spec_version=spec_version)
        settings = settings or Settings()
        # Sessions do not resume here: a lost transport ends them at once.
        timing = Timing(resume_window=0)
        now = asyncio.get_running_loop().time()

        def session(role: Role) -> Session:
            core = Connection(role, local=settings, peer=settings, timing=timing, now=now)
            return Session(core, session_id="in-memory", name=role.value)

        self.edge = session(Role.EDGE)
        self.connector = session(Role.CONNECTOR)
        self.connector.on_stream = self._serve
        self._calls = 0
        self.wires = MemoryTransport(), MemoryTransport()
        self.wires[0].peer, self.wires[1].peer = self.wires[1], self.wires[0]
        for one, wire in zip((self.edge, self.connector), self.wires, strict=True):
            wire.start(one)
            carrier: Transport = wire
            one.attach(carrier)

    def ask(
        self,
        method: str = "GET",
        target: str | bytes = "/",
        *fields: tuple[bytes, bytes],
        body: bytes | None = b"",
        reads: bool = True,
        **head: Any,
    ) -> Visitor:
        """Send a request; ``body`` None leaves it open for :meth:`Visitor.send`."""
        visitor = Visitor(self, reads=reads)
        request = request_head(method, target, *fields, **head)
        visitor.stream_id = self.edge.open_stream(
            StreamKind.HTTP, request, visitor, data=body or b"", end=body is not None
        )
        return visitor

    def connect(
        self,
        target: str | bytes = "/",
        *fields: tuple[bytes, bytes],
        reads: bool = True,
        **head: Any,
    ) -> Visitor:
        """Ask for a WebSocket."""
        visitor = Visitor(self, reads=reads)
        request = request_head("GET", target, *fields, **{"scheme": b"wss", **head})
        visitor.stream_id = self.edge.open_stream(StreamKind.WEBSOCKET, request, visitor, end=False)
        return visitor

    async def get(self, target: str | bytes = "/", **head: Any) -> Visitor:
        """Send a request without a body and wait for the end of its response."""
        return await self.ask("GET", target, **head).over()

    def cut(self) -> None:
        """Break the network; the sessions do not resume."""
        self.wires[0].abort()

    def end(self) -> None:
        """End the session with a GOAWAY of the edge."""
        self.edge.terminate(GoawayCode.SHUTDOWN, "the edge has stopped")

    async def returned(self) -> None:
        """Wait until the app has returned from every call."""
        asked = self.edge.connection.last_stream_id
        await until(
            lambda: self._calls >= asked and not self.origin.in_flight, "the app did not return"
        )

    def _serve(self, link: StreamLink, event: StreamOpened) -> StreamHandler:
        self._calls += 1
        return self.origin.serve(link, event)


def request_head(
    method: str = "GET",
    target: str | bytes = "/",
    *fields: tuple[bytes, bytes],
    scheme: bytes = b"https",
    http_version: bytes = b"1.1",
    peer_host: bytes = b"192.0.2.7",
    peer_port: int = 50_000,
    **head: Any,
) -> RequestHead:
    """A head as the edge writes it."""
    standard = RequestHead(
        method=method.encode(),
        target=target.encode() if isinstance(target, str) else target,
        arrival=Arrival(scheme, http_version, peer_host, peer_port, b"192.0.2.1", 443),
        request_id=b"r1",
        hostname=b"shop.example.test",
        fields=[(b"host", b"shop.example.test"), *fields],
    )
    return standard._replace(**head)


class Answer:
    """An app that answers every request alike.

    Args:
        messages: What it sends.
    """

    def __init__(self, *messages: Message) -> None:
        self.messages = messages or (start(), body(b"hello"))

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Send the messages."""
        for message in self.messages:
            await send(dict(message))


class Recorder:
    """An app that keeps its scope, receives what is there, and answers.

    Attributes:
        scopes: One for each call.
        received: Every message, in order.
        errors: What ``send()`` raised.
    """

    def __init__(self, *messages: Message, receives: int = 0) -> None:
        self.scopes: list[Any] = []
        self.received: list[Message] = []
        self.errors: list[BaseException] = []
        self._messages = messages or (start(), body(b"hello"))
        self._receives = receives

    @property
    def scope(self) -> Any:
        """The scope of the last call."""
        return self.scopes[-1]

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Receive as often as told, then send; go on after an error."""
        self.scopes.append(scope)
        for _ in range(self._receives):
            self.received.append(await receive())
        for message in self._messages:
            try:
                await send(dict(message))
            except Exception as error:  # noqa: BLE001 - whatever send() raises is noted
                self.errors.append(error)


def start(status: Any = 200, *fields: tuple[bytes, bytes], **extra: Any) -> Message:
    """An ``http.response.start``."""
    return {"type": "http.response.start", "status": status, "headers": list(fields), **extra}


def body(data: Any = b"", *, more: bool = False, **extra: Any) -> Message:
    """An ``http.response.body``."""
    return {"type": "http.response.body", "body": data, "more_body": more, **extra}


ACCEPT: Final[Message] = {"type": "websocket.accept"}
CLOSE: Final[Message] = {"type": "websocket.close"}


def text(data: str) -> Message:
    """A ``websocket.send`` of text."""
    return {"type": "websocket.send", "text": data}
