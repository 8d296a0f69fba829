"""Starlette's TestClient through a tunnel: each request of it is a visitor's connection.

What the wire does not carry is added in the process, as the TestClient does: the app's exception is
raised in the test, ``http.response.debug`` and the lifespan's state are handed over, and
``root_path`` is set. Everything else is what the edge sent.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import types
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any, Final

import anyio
import anyio.from_thread
import h11
import starlette.testclient
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.frames import CloseCode
from websockets.sync.client import ClientConnection, connect

from .world import TIMEOUT, App, Message, Visit, visitor_tls, world

original: Any = starlette.testclient
httpx: Any = original.httpx

LEAVE_TIMEOUT: Final = 2.0
"""Seconds for an app to return after its visitor has left; then it is cancelled, as the TestClient
does at once."""

PORTAL: Final = "start_blocking_portal"

_HANDSHAKE: Final = frozenset(
    {"connection", "date", "sec-websocket-accept", "sec-websocket-protocol", "server", "upgrade"}
)
"""Fields of a 101 that the server writes, not the app; and what the visitor's library writes."""

_OWN: Final = _HANDSHAKE | {
    *("host", "sec-websocket-key", "sec-websocket-version", "sec-websocket-extensions")
}


def _is_address(host: str) -> bool:
    return ":" in host or host.replace(".", "").isdigit()


class _Stream(httpx.SyncByteStream):  # type: ignore[misc]
    """The rest of a response; closing it is the visitor's leaving."""

    def __init__(self, chunks: Iterator[bytes], close: Callable[[], None]) -> None:
        self._chunks = chunks
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        return self._chunks

    def close(self) -> None:
        self._close()


class _Exchange:
    """One request and its response, on a connection of its own."""

    def __init__(self, transport: Transport, request: Any, visit: Visit) -> None:
        self._transport = transport
        self._request = request
        self._visit = visit
        self._stack = ExitStack()
        self._wire = h11.Connection(h11.CLIENT, max_incomplete_event_size=1 << 20)
        self._socket: socket.socket
        self._is_closed = False
        self.trailers: list[tuple[bytes, bytes]] = []

    def run(self) -> Any:
        """Send the request, read the head of the response."""
        url = self._request.url
        gate = world().gate(url.scheme)
        sock = self._stack.enter_context(gate.visit(self._visit))
        if url.scheme == "https":
            name = None if _is_address(url.host) else url.host
            sock = self._stack.enter_context(
                visitor_tls().wrap_socket(sock, server_hostname=name, suppress_ragged_eofs=False)
            )
        self._socket = sock
        try:
            self._send()
            head = self._head()
        except BaseException:
            self.close(check=False)
            raise
        if head is None or (self._visit.done.is_set() and not self._visit.has_responded):
            return self._without_response(head)
        stream = _Stream(self._body(), self.close)
        self._transport.open.add(self.close)
        return self._response(head, stream)

    def _response(self, head: h11.Response, stream: Any) -> Any:
        response = httpx.Response(
            head.status_code,
            headers=[(name.decode(), value.decode("latin-1")) for name, value in head.headers],
            stream=stream,
            request=self._request,
        )
        for message in self._visit.sent:
            if message["type"] == "http.response.start" and message.get("trailers"):
                response.extensions["http.response.trailers"] = self.trailers
            if message["type"] == "http.response.debug":
                info = message["info"]
                response.extensions["http.response.debug"] = info
                for key in ("template", "context"):
                    if key in info:
                        setattr(response, key, info[key])
        return response

    def _without_response(self, head: h11.Response | None) -> Any:
        """The app has ended before its response: the edge's 500 counts where a test wants it."""
        if self._transport.raise_server_exceptions or head is None:
            self.close(check=True)
            raise AssertionError("TestClient did not receive any response.")
        return self._response(head, _Stream(self._body(), self.close))

    def _send(self) -> None:
        request = self._request
        body = request.read()
        # A reader takes outer white space off; h11 does not send it.
        headers = [(name, value.strip(b" \t")) for name, value in request.headers.raw]
        event = h11.Request(method=request.method, target=request.url.raw_path, headers=headers)
        data = self._wire.send(event) or b""
        if body:
            data += self._wire.send(h11.Data(data=body)) or b""
        data += self._wire.send(h11.EndOfMessage()) or b""
        # An edge that refuses a body early stops reading it; its reply can be read all the same.
        with contextlib.suppress(ConnectionError):
            self._socket.sendall(data)

    def _next(self) -> Any:
        while (event := self._wire.next_event()) is h11.NEED_DATA:
            try:
                data = self._socket.recv(65536)
            except (ConnectionError, ssl.SSLEOFError):
                data = b""
            self._wire.receive_data(data)
        return event

    def _head(self) -> h11.Response | None:
        while True:
            try:
                event = self._next()
            except h11.RemoteProtocolError:
                return None
            if isinstance(event, h11.Response):
                return event
            if isinstance(event, h11.ConnectionClosed):
                return None

    def _body(self) -> Iterator[bytes]:
        while True:
            try:
                event = self._next()
            except h11.RemoteProtocolError:
                if self._visit.wait_done() and self._visit.error is not None:
                    break  # raised, or left out, below
                raise
            if isinstance(event, h11.Data):
                yield bytes(event.data)
            if isinstance(event, h11.EndOfMessage):
                self.trailers.extend(event.headers)
            if isinstance(event, h11.EndOfMessage | h11.ConnectionClosed):
                break
        if not self._visit.wait_done():
            raise AssertionError("the app does not return")
        self.close()

    def close(self, *, check: bool = True) -> None:
        """Leave; wait for the app's return; raise what it has raised."""
        if self._is_closed:
            return
        self._is_closed = True
        self._transport.open.discard(self.close)
        self._stack.close()
        has_left = not self._visit.done.is_set()
        if not self._visit.wait_done(LEAVE_TIMEOUT):
            self._visit.cancel()
        error = self._visit.error
        if has_left and not isinstance(error, Exception):
            return  # cancelled, as its visitor has left
        if check and error is not None and self._transport.raise_server_exceptions:
            raise error


class Transport(httpx.BaseTransport):  # type: ignore[misc]
    """In the place of ``_TestClientTransport``, with its arguments."""

    def __init__(
        self,
        app: App,
        portal_factory: object,
        raise_server_exceptions: bool = True,
        root_path: str = "",
        *,
        client: tuple[str, int],
        app_state: dict[str, Any],
    ) -> None:
        self.app = app
        self.raise_server_exceptions = raise_server_exceptions
        self.root_path = root_path
        self.app_state = app_state
        self.open: set[Callable[[], None]] = set()

    def close(self) -> None:
        """Leave what is open."""
        while self.open:
            self.open.pop()()

    def handle_request(self, request: Any) -> Any:
        """Serve httpx."""
        overrides = {"state": self.app_state.copy(), "root_path": self.root_path}
        visit = Visit(self.app, overrides=overrides)
        if request.url.scheme in ("ws", "wss"):
            raise original._Upgrade(WebSocketSession(request, visit))
        visit.extensions["http.response.debug"] = {}
        return _Exchange(self, request, visit).run()


class WebSocketSession(original.WebSocketTestSession):  # type: ignore[misc]
    """A visitor's WebSocket."""

    def __init__(self, request: Any, visit: Visit) -> None:
        self._request = request
        self._visit = visit
        self._wire: ClientConnection
        self.accepted_subprotocol: str | None = None
        self.extra_headers: list[tuple[bytes, bytes]] | None = None

    def __enter__(self) -> WebSocketSession:
        with ExitStack() as stack:
            stack.callback(self._end)
            self._open(stack)
            response = self._wire.response
            assert response is not None
            self.accepted_subprotocol = self._wire.subprotocol
            self.extra_headers = [
                (name.lower().encode(), value.encode())
                for name, value in response.headers.raw_items()
                if name.lower() not in _HANDSHAKE
            ]
            self._exit_stack = stack.pop_all()
        return self

    def __exit__(self, *args: object) -> bool | None:
        return self._exit_stack.__exit__(*args)  # type: ignore[arg-type]

    def _open(self, stack: ExitStack) -> None:
        url = self._request.url
        sock = stack.enter_context(world().gate(url.scheme).visit(self._visit))
        headers = self._request.headers
        offered = headers.get("sec-websocket-protocol")
        try:
            connecting = connect(
                str(url),
                sock=sock,
                ssl=visitor_tls() if url.scheme == "wss" else None,
                additional_headers=[
                    (name, value) for name, value in headers.multi_items() if name not in _OWN
                ],
                subprotocols=[one.strip() for one in offered.split(",")] if offered else None,
                compression=None,
                user_agent_header=None,
                proxy=None,
                open_timeout=TIMEOUT,
                close_timeout=LEAVE_TIMEOUT,
                legacy=False,
            )
            self._wire = stack.enter_context(connecting)
        except InvalidStatus as refusal:
            self._refused(refusal)

    def _refused(self, refusal: InvalidStatus) -> None:
        self._visit.wait_done(LEAVE_TIMEOUT)
        for message in self._visit.sent:
            # The code of a close before the accept does not travel; the status does.
            if message["type"] == "websocket.close":
                assert refusal.response.status_code == 403
                self._raise_on_close(message)
        if self._visit.error is not None:
            raise self._visit.error
        raise original.WebSocketDenialResponse(
            status_code=refusal.response.status_code,
            headers=list(refusal.response.headers.raw_items()),
            content=bytes(refusal.response.body),
        )

    def _end(self) -> None:
        if not self._visit.wait_done(LEAVE_TIMEOUT):
            self._visit.cancel()
            return
        if self._visit.error is not None:
            raise self._visit.error

    def send(self, message: Message) -> None:
        """Send what the app gets as ``message``."""
        if message["type"] == "websocket.disconnect":
            self._leave(message.get("code", 1005), message.get("reason") or "")
            return
        text = message.get("text")
        try:
            self._wire.send(message["bytes"] if text is None else text)
        except ConnectionClosed:
            if self._visit.wait_done(LEAVE_TIMEOUT) and self._visit.error is not None:
                raise self._visit.error from None
            raise

    def _leave(self, code: int, reason: str) -> None:
        if code == CloseCode.ABNORMAL_CLOSURE:  # the connection ends without a close frame
            self._wire.socket.shutdown(socket.SHUT_RDWR)
        else:
            self._wire.close(code, reason)

    def receive(self) -> Message:
        """Return what the app sent."""
        try:
            data = self._wire.recv(TIMEOUT)
        except ConnectionClosed as closed:
            if self._visit.wait_done(LEAVE_TIMEOUT) and self._visit.error is not None:
                raise self._visit.error from None
            code = 1006 if closed.rcvd is None else closed.rcvd.code
            reason = "" if closed.rcvd is None else closed.rcvd.reason
            return {"type": "websocket.close", "code": code, "reason": reason}
        return {"type": "websocket.send", "text" if isinstance(data, str) else "bytes": data}


@contextlib.contextmanager
def _portal(backend: str = "asyncio", **options: Any) -> Iterator[anyio.from_thread.BlockingPortal]:
    """The loop on which apps are called, for their lifespan too."""
    if backend != "asyncio":
        raise RuntimeError("the tunnel runs on asyncio")
    yield world().portal


class _Anyio(types.ModuleType):
    """``anyio`` as ``starlette.testclient`` sees it."""

    from_thread = types.SimpleNamespace(**{**vars(anyio.from_thread), PORTAL: _portal})

    def __getattr__(self, name: str) -> Any:
        return getattr(anyio, name)


def pytest_configure() -> None:
    """Put the transport in the place of the other one, for every TestClient."""
    original._TestClientTransport = Transport
    original.anyio = _Anyio("anyio")
