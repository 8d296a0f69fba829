"""The origin: an app that streams are dispatched to, and the tasks that serve them."""

from __future__ import annotations

import asyncio
import contextvars
import logging
from collections.abc import Callable
from typing import Any, Final

from ..inspector.caller import CALLER, read_caller
from ..inspector.recorder import Recorder
from ..protocol.codes import ResetCode
from ..protocol.events import StreamOpened
from ..protocol.frames import Buffer, StreamKind
from ..protocol.head import (
    LINE_MARK,
    Fields,
    HeadError,
    RequestHead,
    ResponseHead,
    take_lines,
)
from .adapt import as_single_callable
from .http import HTTPExchange
from .lifespan import tunnelled
from .scope import HTTP_SPEC_VERSION, http_scope, websocket_scope
from .types import ASGIApp, DirectStream, Scope, ServeStream, StreamHandler, StreamLink
from .visitor import read_visitor
from .websocket import ANSWER_TIMEOUT, WebSocketExchange

_log = logging.getLogger("asgi_tunnel.asgi")

_HTTP: Final = StreamKind.HTTP
_WEBSOCKET: Final = StreamKind.WEBSOCKET

ServeBytes = Callable[[StreamLink, StreamOpened], StreamHandler | None]
"""Begins with a stream of bytes; returns its handler, or None when it has reset the stream."""

CANCEL_TIMEOUT = 2.0
"""Seconds a cancelled task is waited for."""

DISCONNECT_GRACE = 1.0
"""Seconds that an event stream's call gets to end after ``http.disconnect``."""


class Origin:
    """Serves streams with one app.

    Args:
        app: The outermost app, ASGI 3 or 2.
        state: The lifespan state, copied for each call; None when there is no lifespan.
        root_path: Put before each path.
        spec_version: Of HTTP; "2.4" makes sends after a disconnect raise.
        context: Copied for each call; by default the current one.

    Attributes:
        serve_bytes: Gets streams of bytes, those of end-to-end hostnames; None: they are refused.
        edge: The URL of the edge, which scopes name.
        recorder: Keeps what passes; None: nothing is kept.
        inspector: Serves requests for what was kept; None: they are refused.

    Each exchange has a task of its own in a copy of the context that the tunnel was started in:
    what it raises is logged and goes no further, and what it sets is not seen by another exchange.
    An app that has a ``serve_stream`` is asked first: it may need no call.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        state: dict[str, Any] | None = None,
        root_path: str = "",
        spec_version: str = HTTP_SPEC_VERSION,
        context: contextvars.Context | None = None,
    ) -> None:
        self._app = as_single_callable(app)
        self._state = state
        self._root_path = root_path.rstrip("/")
        self._spec_version = spec_version
        self._raises = spec_version >= "2.4"
        self._tasks: dict[HTTPExchange | WebSocketExchange, asyncio.Task[None]] = {}
        serve_stream = None if self._root_path else getattr(self._app, "serve_stream", None)
        self._serve_stream: ServeStream | None = serve_stream
        self._streams: set[DirectStream] = set()  # that the app serves itself
        self._streams_over: asyncio.Future[None] | None = None  # of who waits for their end
        self._context = tunnelled(context)
        self.serve_bytes: ServeBytes | None = None
        self.edge = ""
        self.recorder: Recorder | None = None
        self.inspector: ASGIApp | None = None

    @property
    def app(self) -> ASGIApp:
        """What streams are served with."""
        return self._app

    @property
    def in_flight(self) -> int:
        """Calls of the app that have not returned, background work included."""
        return len(self._tasks) + len(self._streams)

    def serve(self, link: StreamLink, event: StreamOpened) -> StreamHandler:
        """Start to serve a stream; return its handler."""
        return self._serve_directly(link, event) or self._call(link, event, False)

    def serve_end_to_end(self, link: StreamLink, event: StreamOpened) -> StreamHandler:
        """As :meth:`serve`, for what the edge has not seen and must not see."""
        return self._serve_directly(link, event) or self._call(link, event, True)

    def _serve_directly(self, link: StreamLink, event: StreamOpened) -> DirectStream | None:
        """Let the app serve a stream without a call, where it can and nobody records."""
        if (
            self._serve_stream is not None
            and (self.recorder is None or not self.recorder.is_on)
            and event.kind is _HTTP
            and event.end
            and not event.data
        ):
            stream = self._serve_stream(link, event, self)
            if stream is not None:
                self._streams.add(stream)
                return stream
        return None

    def call_app(self, link: StreamLink, event: StreamOpened) -> StreamHandler:
        """Serve a stream by a call of the app; return its handler."""
        return self._call(link, event, False)

    def _call(self, link: StreamLink, event: StreamOpened, is_end_to_end: bool) -> StreamHandler:
        exchange: HTTPExchange | WebSocketExchange
        fields = event.head.fields
        asks, visitor = False, None
        if fields and fields[-1][0].startswith(LINE_MARK):
            try:
                asks, line, inspect = take_lines(fields)
                visitor = read_visitor(line) if line else None
            except HeadError as error:
                # Not served without it: somebody who is known would look like nobody.
                link.reset_stream(event.stream_id, ResetCode.PROTOCOL_ERROR, str(error))
                return Idle()
            if inspect is not None:
                return self._inspect(link, event, inspect, is_end_to_end)
        recorder, kind = self.recorder, event.kind
        record = None
        if recorder is not None and (kind is _HTTP or kind is _WEBSOCKET):
            record = recorder.begin(event.head, kind is _WEBSOCKET, is_end_to_end, visitor)
        if kind is _HTTP:
            exchange = HTTPExchange(link, event, raises=self._raises, record=record)
            if asks:
                exchange.ask_duration()
            scope = self._http_scope(event.head, visitor)
        elif kind is _WEBSOCKET:
            exchange = WebSocketExchange(link, event, record=record)
            scope = self._websocket_scope(event.head, visitor)
        elif self.serve_bytes is not None:
            return self.serve_bytes(link, event) or Idle()
        else:
            link.reset_stream(event.stream_id, ResetCode.REFUSED, "no byte streams are served here")
            return Idle()
        self._start(exchange, self._app, scope)
        return exchange

    def _http_scope(self, head: RequestHead, visitor: dict[str, Any] | None) -> Scope:
        return http_scope(
            head,
            state=self._state,
            root_path=self._root_path,
            spec_version=self._spec_version,
            edge=self.edge,
            visitor=visitor,
        )

    def _websocket_scope(self, head: RequestHead, visitor: dict[str, Any] | None) -> Scope:
        return websocket_scope(
            head, state=self._state, root_path=self._root_path, edge=self.edge, visitor=visitor
        )

    def _inspect(
        self, link: StreamLink, event: StreamOpened, line: bytes, is_end_to_end: bool
    ) -> StreamHandler:
        """Serve a request of the edge for what was kept: docs/protocol.md section 5.3."""
        inspector = self.inspector
        if inspector is None or event.kind is not _HTTP or is_end_to_end:
            link.reset_stream(event.stream_id, ResetCode.REFUSED, "nothing is inspected here")
            return Idle()
        try:
            caller = read_caller(line)
        except HeadError as error:
            link.reset_stream(event.stream_id, ResetCode.PROTOCOL_ERROR, str(error))
            return Idle()
        exchange = HTTPExchange(link, event)
        scope = http_scope(event.head, state=None, root_path="")
        scope[CALLER] = caller
        self._start(exchange, inspector, scope)
        return exchange

    def replay(
        self, exchange: HTTPExchange | WebSocketExchange, head: RequestHead, replay_of: str
    ) -> asyncio.Task[None]:
        """Call the app for a request that no visitor has sent; return the call.

        Args:
            exchange: Drives it.
            head: Of the request.
            replay_of: The id of the exchange that is repeated; in the scope, so that an app knows.
        """
        if isinstance(exchange, HTTPExchange):
            scope = self._http_scope(head, None)
        else:
            scope = self._websocket_scope(head, None)
        scope["extensions"]["asgi_tunnel"]["replay_of"] = replay_of
        self._start(exchange, self._app, scope)
        return self._tasks[exchange]

    def _start(
        self, exchange: HTTPExchange | WebSocketExchange, app: ASGIApp, scope: Scope
    ) -> None:
        self._tasks[exchange] = asyncio.get_running_loop().create_task(
            self._run(exchange, app, scope), context=self._context.copy()
        )

    def ended(self, stream: DirectStream, status: int, note: str) -> None:
        """Forget a stream that the app has served itself."""
        self._streams.discard(stream)
        over = self._streams_over
        if over is not None and not self._streams and not over.done():
            over.set_result(None)

    async def finish(self, grace: float) -> None:
        """Wait for the calls in progress, then cancel those that are left.

        Args:
            grace: Seconds.  Cancelling this method cancels the calls at once.
        """
        try:
            loop = asyncio.get_running_loop()
            end = loop.time() + grace
            while (waiting := self._in_progress()) and (left := end - loop.time()) > 0:
                await asyncio.wait(waiting, timeout=left)
        finally:
            for stream in list(self._streams):
                stream.abort()
            tasks = list(self._tasks.values())
            for task in tasks:
                task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=CANCEL_TIMEOUT)

    def _in_progress(self) -> list[asyncio.Future[None]]:
        """Return what is done with what is in progress now."""
        waiting: list[asyncio.Future[None]] = list(self._tasks.values())
        if self._streams:
            self._streams_over = asyncio.get_running_loop().create_future()
            waiting.append(self._streams_over)
        return waiting

    def close_websockets(self, code: int, reason: str, *, patience: float = ANSWER_TIMEOUT) -> None:
        """Close every WebSocket: the app ends.  See :meth:`.WebSocketExchange.shut_down`."""
        for exchange in list(self._tasks):
            if isinstance(exchange, WebSocketExchange):
                exchange.shut_down(code, reason, patience)

    def end_event_streams(self) -> None:
        """End every event stream, which would not end by itself: the app ends."""
        loop = asyncio.get_running_loop()
        for exchange, task in list(self._tasks.items()):
            if isinstance(exchange, HTTPExchange) and exchange.shut_down():
                # It gets http.disconnect; an app that does not receive it sends for ever.
                loop.call_later(DISCONNECT_GRACE, task.cancel)
        for stream in list(self._streams):
            stream.shut_down()

    async def _run(
        self, exchange: HTTPExchange | WebSocketExchange, app: ASGIApp, scope: Scope
    ) -> None:
        """Serve one exchange.  Only a cancellation that somebody asked for goes further."""
        try:
            await exchange.run(app, scope)
        except asyncio.CancelledError:
            if self._tasks[exchange].cancelling():
                raise
            _log.error("the app raised CancelledError; only its own exchange ends")
        except Exception as error:  # noqa: BLE001 - the task's outer edge
            _log.exception("the app raised %s", type(error).__name__)
        finally:
            del self._tasks[exchange]


class Idle:
    """The handler of a stream that nobody serves."""

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Do nothing."""

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Do nothing."""

    def on_trailers(self, fields: Fields) -> None:
        """Do nothing."""

    def on_close(self, code: int, reason: str) -> None:
        """Do nothing."""

    def on_writable(self) -> None:
        """Do nothing."""

    def on_reset(self, code: int, reason: str) -> None:
        """Do nothing."""
