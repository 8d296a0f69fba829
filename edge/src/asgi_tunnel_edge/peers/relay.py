"""Serves what other nodes forward, from this node's own sessions: what the app's node does.

Each stream of a peer is joined to one of a session, frame for frame and both ways. The window of
the one is given back when the other has taken the bytes, so what is kept here for a reader that
stalls is an outbox and a window in each direction, whatever is sent.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from asgi_tunnel.asgi.origin import Idle
from asgi_tunnel.asgi.types import StreamHandler
from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.events import StreamOpened
from asgi_tunnel.protocol.frames import Buffer, StreamKind
from asgi_tunnel.protocol.head import (
    INSPECT,
    PEER,
    Fields,
    HeadError,
    ResponseHead,
    fit_lines,
)
from asgi_tunnel.protocol.limits import WINDOW_FLOOR

from .description import DESCRIBE, Description, Process, digest_of, encode_description
from .forwarded import GONE, STALE

if TYPE_CHECKING:
    from asgi_tunnel.session import Session

    from ..context import EdgeContext
    from ..directory import LocalDirectory
    from ..route import Route, SessionEntry

__all__ = ["Relay"]

PATIENCE: Final = 1.0
"""Seconds that a request which may be sent twice waits for a session that has lost its connection:
the node of the visitor may know another one."""

MAX_PROCESSES: Final = 64
"""Processes of one app that a description names: each is some 400 bytes of it."""

ACCEPTED: Final = ResponseHead(100, [(PEER, b"")])
"""Says that a session has a request whose body is to come; reaches no visitor."""

_SAFE: Final = frozenset({b"GET", b"HEAD", b"OPTIONS"})
_BUSY: Final = "this node has no memory left for it"
_SHORT: Final = "this node keeps too much for it"
_APP: Final = "the app takes no requests at the moment"
_JSON: Final = [(b"content-type", b"application/json")]
_HTTP: Final = StreamKind.HTTP
_WEBSOCKET: Final = StreamKind.WEBSOCKET


class Relay:
    """See the module.

    Args:
        context: Says whether there is memory left.
        directory: Has the sessions.

    Attributes:
        served: Streams that were given to a session.
        refused: Those for which there was none.
    """

    def __init__(self, context: EdgeContext, directory: LocalDirectory) -> None:
        self._context = context
        self._directory = directory
        self.served = 0
        self.refused = 0

    def serve(self, peer: Session, event: StreamOpened) -> StreamHandler:
        """Begin with a stream that another node has opened; return its handler."""
        head = event.head
        fields = head.fields
        if not fields or fields[-1][0] != PEER:
            return _end(peer, event, ResetCode.PROTOCOL_ERROR, "a stream without the line :peer")
        digest = fields.pop()[1]
        route = self._directory.find_route(head.hostname.decode("latin-1"))
        if head.target == DESCRIBE:
            return self._describe(peer, event, route)
        inspects = bool(fields) and fields[-1][0] == INSPECT
        session = _inspected(digest, route) if inspects else _ready(route)
        if session is None or route is None or self._context.is_ending:
            self.refused += 1
            return _end(peer, event, ResetCode.REFUSED, GONE)
        # The store of the visitor's node may be behind: nothing that an edge can read goes to an
        # app that speaks TLS itself, and no TLS to one that does not.
        is_sealed = event.kind is StreamKind.BYTES
        if not inspects and (digest != digest_of(route.policy) or is_sealed != route.is_end_to_end):
            self.refused += 1
            return _end(peer, event, ResetCode.REFUSED, STALE)
        if self._context.is_overloaded:
            self.refused += 1
            return _end(peer, event, ResetCode.REFUSED, _BUSY)
        return self._join(peer, event, session)

    def kept(self, peers: Iterable[Session]) -> dict[str, list[_FromApp]]:
        """Return what sends to other nodes, by the id of the token whose app it comes from."""
        found: dict[str, list[_FromApp]] = {}
        for peer in peers:
            for handler in peer.handlers.values():
                if isinstance(handler, _Direction) and isinstance(handler.other, _FromApp):
                    entry = self._directory.entry_of(handler.other.source)
                    if entry is not None:
                        found.setdefault(entry.token.id, []).append(handler.other)
        return found

    def _join(self, peer: Session, event: StreamOpened, session: Session) -> StreamHandler:
        head, kind = event.head, event.kind
        fields = fit_lines(
            head.fields, duration=session.tells_duration, visitor=session.takes_visitor
        )
        from_app = _FromApp(session, peer, event.stream_id)
        from_app.is_safe = kind is _HTTP and event.end and head.method in _SAFE
        from_app.gives_up = from_app.is_safe or kind is not _HTTP
        try:
            app_id = session.open_stream(
                kind, head._replace(fields=fields), from_app, data=event.data, end=event.end
            )
        except HeadError as error:
            return _end(peer, event, ResetCode.PROTOCOL_ERROR, str(error))
        self.served += 1
        from_peer = _Direction(peer, session, app_id)
        from_app.source_id, from_peer.source_id = app_id, event.stream_id
        from_app.other, from_peer.other = from_peer, from_app
        if event.end:
            from_peer.has_ended = True
        elif kind is _HTTP:
            peer.send_head(event.stream_id, ACCEPTED)
        if event.data and not (event.end and len(event.data) <= WINDOW_FLOOR):
            peer.consume(event.stream_id, len(event.data))
        return from_peer

    def _describe(self, peer: Session, event: StreamOpened, route: Route | None) -> StreamHandler:
        if route is None or not route.is_served:
            peer.send_head(event.stream_id, ResponseHead(404, []))
            peer.send_data(event.stream_id, b"", end=True)
        else:
            said = Description(
                policy=route.policy,
                marks=() if route.marks is None else route.marks.rules,
                is_ready=route.choose_here() is not None,
                processes=_processes(route),
            )
            reply = encode_description(said)
            peer.send_head(event.stream_id, ResponseHead(200, _JSON))
            peer.send_data(event.stream_id, reply, end=True)
        return _idle(peer, event.stream_id)


def _inspected(instance: bytes, route: Route | None) -> Session | None:
    """Return a session to the process whose inspector is asked."""
    if route is not None:
        wanted = instance.decode("latin-1")
        for entry in route.entries:
            if entry.instance == wanted and entry.is_ready and entry.session.takes_inspect:
                return entry.session
    return None


def _processes(route: Route) -> tuple[Process, ...]:
    found: dict[str, list[SessionEntry]] = {}
    for entry in route.entries:
        if entry.session.is_attached:
            found.setdefault(entry.instance, []).append(entry)
    return tuple(
        Process(
            instance=name,
            agent=mine[0].agent,
            since=min(one.since for one in mine),
            inspects=any(one.session.takes_inspect for one in mine),
        )
        for name, mine in list(found.items())[:MAX_PROCESSES]
    )


def _ready(route: Route | None) -> Session | None:
    return None if route is None else route.choose_here()


def _end(peer: Session, event: StreamOpened, code: ResetCode, reason: str) -> StreamHandler:
    peer.reset_stream(event.stream_id, code, reason)
    return _idle(peer, event.stream_id)


def _idle(peer: Session, stream_id: int) -> StreamHandler:
    """Return the handler of a stream that is over: it is forgotten once it was noted."""
    asyncio.get_running_loop().call_soon(peer.release, stream_id)
    return _IDLE


class _Direction:
    """What one session receives on a stream, and another one sends on one of its own.

    Args:
        source: Receives.
        sink: Sends.
        sink_id: Of its stream.

    Attributes:
        source_id: Of the stream of ``source``.
        other: The other direction.
        has_ended: Its end has passed.
    """

    __slots__ = ("_sink", "_sink_id", "_source", "_uncredited", "has_ended", "other", "source_id")

    def __init__(self, source: Session, sink: Session, sink_id: int) -> None:
        self._source = source
        self._sink = sink
        self._sink_id = sink_id
        self._uncredited = 0  # bytes whose window is given back when the sink has taken them
        self.source_id = 0
        self.has_ended = False
        self.other: _Direction = self

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """Pass a response's head on, and its first bytes in the same frame."""
        self._sink.send_head(self._sink_id, head)
        size = len(data)
        if size or end:
            # A small response that came whole is below the floor: no window waits for it.
            self.on_data(data, 0 if end and size <= WINDOW_FLOOR else size, end, False, False)

    def on_data(
        self, data: Buffer, flow_controlled_size: int, end: bool, text: bool, more: bool
    ) -> None:
        """Pass bytes on."""
        has_room = self._sink.send_data(self._sink_id, data, end=end, text=text, more=more)
        if end:
            self._uncredited += flow_controlled_size
            self._ended()
        elif has_room:
            self._source.consume(self.source_id, flow_controlled_size)
        else:
            self._uncredited += flow_controlled_size

    def on_trailers(self, fields: Fields) -> None:
        """Pass trailers on."""
        self._sink.send_trailers(self._sink_id, fields)
        self._ended()

    def on_close(self, code: int, reason: str) -> None:
        """Pass a WebSocket's close on."""
        self._sink.send_close(self._sink_id, code, reason)
        self._ended()

    def on_writable(self) -> None:
        """The source takes more: what the other direction has waited with."""
        self.other.credit()

    def credit(self) -> None:
        """Give back the window of what the sink has taken."""
        size, self._uncredited = self._uncredited, 0
        if size:
            self._source.consume(self.source_id, size)

    def on_reset(self, code: int, reason: str) -> None:
        """End the other half: the visitor, or the node that it came in at, is gone."""
        if code in (ResetCode.SESSION_LOST, ResetCode.REFUSED):
            code = ResetCode.CANCELLED
        self._sink.reset_stream(self._sink_id, _code(code), reason)

    def _ended(self) -> None:
        """Nothing follows, so nothing has to be held back; forget the stream behind both ends."""
        self.has_ended = True
        self.credit()
        if self.other.has_ended:
            self._source.release(self.source_id)
            self._sink.release(self._sink_id)


class _FromApp(_Direction):
    """The direction from the app to the visitor.

    Attributes:
        is_safe: The request may be sent twice, as long as no response has begun.
        gives_up: It does not wait for a session that is away longer than a new request would.
    """

    __slots__ = ("_has_head", "gives_up", "is_safe")

    def __init__(self, source: Session, sink: Session, sink_id: int) -> None:
        super().__init__(source, sink, sink_id)
        self.is_safe = self.gives_up = False
        self._has_head = False

    @property
    def source(self) -> Session:
        """The app's session."""
        return self._source

    @property
    def buffered(self) -> int:
        """Bytes that wait for the visitor's node, because its visitor takes them slowly."""
        return self._sink.connection.streams.queued_on(self._sink_id)

    def evict(self) -> None:
        """End both halves: memory is short."""
        self._source.reset_stream(self.source_id, ResetCode.CANCELLED)
        self._sink.reset_stream(self._sink_id, ResetCode.CANCELLED, _SHORT)

    def on_head(self, head: ResponseHead, data: Buffer, end: bool) -> None:
        """As above."""
        self._has_head = True
        super().on_head(head, data, end)

    def on_reset(self, code: int, reason: str) -> None:
        """End the other half; what an app refuses is not what this node refuses."""
        if code == ResetCode.REFUSED:
            reason = _APP
        self._sink.reset_stream(self._sink_id, _code(code), reason)

    def check_stalled(self, lost_for: float, hold: float) -> None:
        """Let the visitor's node find another session, or say that there is none."""
        if self._has_head or not self.gives_up:
            return
        if lost_for >= (min(PATIENCE, hold) if self.is_safe else hold):
            self._source.reset_stream(self.source_id, ResetCode.CANCELLED)
            reason = "the app has lost its connection"
            self._sink.reset_stream(self._sink_id, ResetCode.SESSION_LOST, reason)


_IDLE: Final = Idle()


def _code(code: int) -> ResetCode:
    try:
        return ResetCode(code)
    except ValueError:
        return ResetCode.INTERNAL_ERROR
