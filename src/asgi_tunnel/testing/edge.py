"""An edge in memory: serves an app to visitors in the same event loop, through the real protocol.

Both sides of the tunnel are here: an edge's session that opens a stream for each visitor, and the
app's session with its :class:`Origin`.  They greet, resume and end as over a network.

Large because both ends are one object of a test: what happens at one is seen at the other.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from string import punctuation
from types import TracebackType
from typing import Any, Final, Literal, Self
from urllib.parse import quote

import anyio

from ..asgi.lifespan import Lifespan
from ..asgi.origin import Origin
from ..asgi.types import ASGIApp
from ..errors import StreamResetError
from ..identity import Visitor
from ..protocol.codes import DrainReason, GoawayCode, ResetCode
from ..protocol.connection import Connection, Role
from ..protocol.events import DrainReceived, SessionTerminated
from ..protocol.handshake import HandshakeReader, Hello, Refuse, Welcome, encode_handshake
from ..protocol.head import LINE_MARK, Arrival, Fields, RequestHead, add_visitor
from ..protocol.limits import Settings, Timing
from ..session import Session
from ..transport import Transport
from .link import MemoryLink, MemoryTransport
from .visitor import Body, Response, ResponseStream, WebSocket

HOLD_TIMEOUT: Final = 10.0
"""Seconds that visitors wait for an app that is away: the edge's own default."""

EDGE_URL: Final = "wss://edge.test"
"""What the app's scope names as the edge."""

MAX_TRIES: Final = 3
"""Sessions that a request is tried on when the app never started it."""

_POLL: Final = 0.005
"""Seconds between looks at what is still in progress while draining."""

_BODY_METHODS: Final = frozenset({"PATCH", "POST", "PUT"})

GivenHeaders = Mapping[str, str] | Iterable[tuple[str, str]]


class LocalEdge:
    """Serves an app: ``async with LocalEdge(app) as edge: await edge.get("/")``.

    Large because it is the whole public interface of a test: each request method has its own line.

    Args:
        app: Any ASGI app.
        lifespan: "auto" runs it if the app has one, "on" requires one, "off" does not run it.
        state: What the lifespan state holds at first; what requests see when there is no lifespan.
        hostname: Under which visitors reach the app, over https.
        timing: Of heartbeats and of the resume window; the edge's own by default.
        grace: Seconds for requests in progress when the app restarts or ends: enough for a large
            body on a loaded CI machine. Nothing waits for it once they have ended.
        seed: Of the link's random cuts.

    Attributes:
        link: The line between app and edge.

    What the app raises is logged and answered with 500, as in production.
    """

    def __init__(  # noqa: PLR0913 - one argument for each setting
        self,
        app: ASGIApp,
        *,
        lifespan: Literal["auto", "on", "off"] = "auto",
        state: dict[str, Any] | None = None,
        hostname: str = "app.test",
        timing: Timing | None = None,
        grace: float = 10.0,
        seed: int = 0,
    ) -> None:
        self.link = MemoryLink(seed=seed)
        self._app = app
        self._lifespan = lifespan
        self._state = state
        self._hostname = hostname
        self._timing = timing or Timing()
        self._grace = grace
        self._origin: Origin
        self._life: Lifespan | None = None
        self._is_serving = False  # the app's side dials
        self._dialing: MemoryTransport | None = None  # between HELLO and WELCOME
        self._at_app: Session | None = None
        self._at_edge: Session | None = None
        self._drained: Session | None = None  # takes no new streams
        self._ready = asyncio.Event()  # the edge's session takes new streams
        self._sessions = 0
        self._requests = 0

    async def __aenter__(self) -> Self:
        self.link.on_up = self._dial
        await self._start_app()
        try:
            await self.wait_connected()
        except BaseException:
            await self._end(grace=0.0)
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self._end(grace=self._grace if error is None else 0.0)

    # -- visitors ----------------------------------------------------------------------------

    async def get(
        self, path: str, *, headers: GivenHeaders = (), visitor: Visitor | None = None
    ) -> Response:
        """Ask with GET; see :meth:`request`."""
        return await self.request("GET", path, headers=headers, visitor=visitor)

    async def post(
        self,
        path: str,
        body: Body = b"",
        *,
        headers: GivenHeaders = (),
        visitor: Visitor | None = None,
    ) -> Response:
        """Ask with POST; see :meth:`request`."""
        return await self.request("POST", path, headers=headers, body=body, visitor=visitor)

    async def request(
        self,
        method: str,
        path: str,
        *,
        headers: GivenHeaders = (),
        body: Body = b"",
        visitor: Visitor | None = None,
    ) -> Response:
        """Return the complete response to a request.

        Args:
            method: Upper-case.
            path: With the query, if there is one.
            headers: Beside ``host`` and ``content-length``.
            body: Bytes, or an async iterator of bytes, which is read as the app reads.
            visitor: Whom a door of the edge has let in; None: there is no door.

        Raises:
            ValueError: A header has a name that no visitor can send.
            StreamResetError: The exchange was lost or cut; the edge answers 502 or cuts.
            TimeoutError: The app was away for ``HOLD_TIMEOUT``; the edge answers 503.

        Cancelling it is a visitor who leaves.
        """
        async with self.stream(
            method, path, headers=headers, body=body, visitor=visitor
        ) as response:
            content = await response.read()
            return Response(
                status=response.status,
                headers=response.headers,
                body=content,
                trailers=response.trailers,
            )

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        path: str,
        *,
        headers: GivenHeaders = (),
        body: Body = b"",
        visitor: Visitor | None = None,
    ) -> AsyncIterator[ResponseStream]:
        """Give the response when its head is there; the body is read piece by piece.

        Arguments and errors as :meth:`request`.  Whoever leaves the block early is a visitor who
        leaves.
        """
        fields = _fields(headers)
        if isinstance(body, bytes) and (body or method in _BODY_METHODS):
            fields.append((b"content-length", b"%d" % len(body)))
        response = await self._ask(self._head(method, "https", path, fields, visitor), body)
        try:
            yield response
        finally:
            await response.aclose()

    @asynccontextmanager
    async def websocket(
        self,
        path: str,
        *,
        subprotocols: Sequence[str] = (),
        headers: GivenHeaders = (),
        visitor: Visitor | None = None,
    ) -> AsyncIterator[WebSocket]:
        """Open a WebSocket; it is closed with 1000 at the end of the block, by an error with 1006.

        Arguments as :meth:`request`.

        Raises:
            WebSocketDeniedError: The app refused it.
            StreamResetError: It was lost before the app had decided.
            TimeoutError: As :meth:`request`.
        """
        fields = _fields(headers)
        if subprotocols:
            fields.append((b"sec-websocket-protocol", ", ".join(subprotocols).encode()))
        socket = WebSocket(await self._session())
        try:
            await socket.ask(self._head("GET", "wss", path, fields, visitor))
        except BaseException:
            socket.leave()
            raise
        try:
            yield socket
        except BaseException:
            await socket.close(1006)
            raise
        await socket.close()

    @property
    def is_connected(self) -> bool:
        """Whether the edge gives new requests to the app, as far as it knows."""
        return self._ready.is_set()

    # -- faults ------------------------------------------------------------------------------

    async def wait_connected(self) -> None:
        """Return when the edge can give the app new requests.

        Raises:
            TimeoutError: That took longer than ``HOLD_TIMEOUT``.
        """
        with anyio.fail_after(HOLD_TIMEOUT):
            await self._ready.wait()

    async def restart_app(self) -> None:
        """Drain, run the app's shutdown and its startup, and connect anew.

        Requests in progress get ``grace``, WebSockets are closed with 1012, new requests wait.
        """
        now = asyncio.get_running_loop().time
        deadline = now() + self._grace
        if self._at_app is not None:
            self._at_app.drain(DrainReason.RESTART, grace=self._grace)
            with anyio.move_on_after(self._grace):
                while not self._is_idle:
                    self._origin.close_websockets(1012, "the app restarts")
                    self._origin.end_event_streams()
                    await anyio.sleep(_POLL)  # streams end in many ways; a look is cheap
        await self._stop_app(grace=max(deadline - now(), 0.0))
        await self._start_app()

    def expire(self) -> None:
        """Lose the connection for longer than the resume window: every stream ends.

        The app connects anew at once, unless the link was down already.
        """
        was_up = self.link.is_up
        self.link.cut()
        reason = f"the connection was lost for {self._timing.resume_window:g} seconds"
        for session in (self._at_edge, self._at_app):
            if session is not None:
                session.terminate(GoawayCode.NO_ERROR, reason)
        if was_up:
            self.link.restore()

    # -- the app -----------------------------------------------------------------------------

    async def _start_app(self) -> None:
        life = self._life = None
        state = self._state
        if self._lifespan != "off":
            life = Lifespan(self._app, required=self._lifespan == "on")
            life.state.update(self._state or {})
            state = life.state
            await life.startup()
        self._life = life
        self._origin = Origin(self._app, state=state)
        self._origin.edge = EDGE_URL
        self._is_serving = True
        self._dial()

    async def _stop_app(self, *, grace: float) -> None:
        """End the session, the calls in progress and the lifespan."""
        self._is_serving = False
        try:
            if self._at_app is not None:
                self._at_app.terminate(GoawayCode.SHUTDOWN, "the app has ended")
            await self._origin.finish(grace)
        finally:
            if self._life is not None:
                await self._life.shutdown()

    async def _end(self, *, grace: float) -> None:
        """End both sides and the line."""
        try:
            await self._stop_app(grace=grace)
        finally:
            if self._at_edge is not None:
                self._at_edge.terminate(GoawayCode.SHUTDOWN, "the edge has stopped")
            self.link.cut()

    @property
    def _is_idle(self) -> bool:
        """Whether the edge opens no new streams and has received the end of every other."""
        edge = self._at_edge
        return edge is None or (edge is self._drained and not edge.connection.open_streams)

    # -- the connection, at the app ----------------------------------------------------------

    def _dial(self) -> None:
        """Say HELLO over a new connection, if that is possible and of use."""
        session = self._at_app
        if not (self._is_serving and self.link.is_up) or self._dialing is not None:
            return
        if session is not None and session.is_attached:
            return
        here, there = self.link.connect()
        there.start(_Greeting(there, self._on_hello))
        here.start(_Greeting(here, self._on_welcome, self._on_dial_lost))
        self._dialing = here
        hello = Hello(
            instance="local",
            session="" if session is None else session.session_id,
            received=0 if session is None else session.connection.received_frames,
        )
        here.send(encode_handshake(hello))

    def _on_dial_lost(self, transport: MemoryTransport) -> None:
        if transport is self._dialing:
            self._dialing = None
            self._dial()

    def _on_welcome(
        self, transport: MemoryTransport, welcome: Hello | Welcome | Refuse, rest: bytes
    ) -> None:
        assert isinstance(welcome, Welcome)
        session = self._at_app
        if welcome.resumed:
            if session is None or not session.resume(transport, welcome.received):
                transport.abort()  # it has ended meanwhile; the next one starts anew
                return
        else:
            self._at_app = None  # first: its end must not dial
            if session is not None:
                session.terminate(GoawayCode.RESUME_FAILED, "the edge no longer has the session")
            session = self._at_app = self._new_session(
                Role.CONNECTOR, welcome.session, peer=welcome.settings
            )
            session.on_stream = self._origin.serve
            session.on_suspended = lambda _: self._dial()
            session.on_end = self._on_app_end
            session.attach(transport)
        self._dialing = None
        transport.start(session)
        if not self._is_serving:  # since HELLO; what the edge has opened goes to the next session
            session.terminate(GoawayCode.SHUTDOWN, "the app has ended")
        session.data_received(rest)

    def _on_app_end(self, session: Session, event: SessionTerminated) -> None:
        if session is self._at_app:
            self._at_app = None
            self._dial()

    # -- the connection, at the edge ---------------------------------------------------------

    def _on_hello(
        self, transport: MemoryTransport, hello: Hello | Welcome | Refuse, rest: bytes
    ) -> None:
        assert isinstance(hello, Hello)
        session = self._at_edge
        resumed = session is not None and session.session_id == hello.session
        if session is None or not resumed:
            if session is not None:
                session.give_up_place()
            self._sessions += 1
            session = self._new_session(Role.EDGE, f"local-{self._sessions}", peer=hello.settings)
            session.on_suspended = lambda _: self._ready.clear()
            session.on_drain = self._on_drain
            session.on_end = self._on_edge_end
            self._at_edge = session
        welcome = Welcome(
            session=session.session_id,
            resumed=resumed,
            received=session.connection.received_frames,
            hostnames=(self._hostname,),
            urls=(f"https://{self._hostname}",),
            timing=self._timing,
        )
        transport.send(encode_handshake(welcome))
        if not resumed:
            session.attach(transport)
        elif not session.resume(transport, hello.received):
            transport.abort()
            return
        transport.start(session)
        session.data_received(rest)
        if session is not self._drained:
            self._ready.set()

    def _on_drain(self, session: Session, event: DrainReceived) -> None:
        self._drained = session
        self._ready.clear()

    def _on_edge_end(self, session: Session, event: SessionTerminated) -> None:
        if session is self._at_edge:
            self._at_edge = None
            self._ready.clear()

    # -- for both ----------------------------------------------------------------------------

    def _new_session(self, role: Role, session_id: str, *, peer: Settings) -> Session:
        connection = Connection(
            role,
            local=Settings(),
            peer=peer,
            timing=self._timing,
            now=asyncio.get_running_loop().time(),
        )
        return Session(connection, session_id=session_id, name=f"{session_id} at the {role.value}")

    async def _ask(
        self, head: RequestHead, body: Body, *, tries: int = MAX_TRIES
    ) -> ResponseStream:
        response = ResponseStream(await self._session())
        try:
            await response.ask(head, body)
        except BaseException as error:
            await response.aclose()
            if (
                isinstance(error, StreamResetError)
                and error.code == ResetCode.REFUSED  # never started: another session may serve it
                and isinstance(body, bytes)
                and tries > 1
            ):
                return await self._ask(head, body, tries=tries - 1)
            raise
        return response

    async def _session(self) -> Session:
        """Return the edge's session, or wait for one."""
        while self._at_edge is None or not self._ready.is_set():
            await self.wait_connected()
        return self._at_edge

    def _head(
        self, method: str, scheme: str, path: str, fields: Fields, visitor: Visitor | None
    ) -> RequestHead:
        self._requests += 1
        if not any(name == b"host" for name, _ in fields):
            fields.insert(0, (b"host", self._hostname.encode()))
        head = RequestHead(
            method=method.encode(),
            target=quote(path, safe=punctuation).encode(),
            arrival=Arrival(scheme.encode(), b"1.1", b"192.0.2.1", 50_000, b"198.51.100.1", 443),
            request_id=b"local-%d" % self._requests,
            hostname=self._hostname.encode(),
            fields=fields,
        )
        return head if visitor is None else add_visitor(head, visitor.encode())


class _Greeting:
    """Receives the one frame that opens a connection at either side."""

    def __init__(
        self,
        transport: MemoryTransport,
        greeted: Callable[[MemoryTransport, Hello | Welcome | Refuse, bytes], None],
        lost: Callable[[MemoryTransport], None] = lambda _: None,
    ) -> None:
        self._transport = transport
        self._greeted = greeted
        self._lost = lost
        self._reader = HandshakeReader()
        self.is_behind = False

    def data_received(self, data: bytes | memoryview) -> None:
        found = self._reader.feed(bytes(data))
        if found is not None:
            self._greeted(self._transport, *found)

    def transport_writable(self) -> None:
        """HELLO and WELCOME are small."""

    def note_overhead(self, units: int) -> None:
        """There is none in memory."""

    def transport_lost(self, transport: Transport, error: Exception | None) -> None:
        self._lost(self._transport)


def _fields(headers: GivenHeaders) -> Fields:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    fields = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in pairs]
    for name, _ in fields:
        if name.startswith(LINE_MARK):
            raise ValueError(
                f"the header {name.decode()!r} begins with a colon: an edge refuses it"
            )
    return fields
