"""Pumps one :class:`.protocol.connection.Connection`: its bytes, its events, its time.

A session outlives its transports: when one is lost, :attr:`Session.on_suspended` is told, and
:meth:`Session.attach` goes on with the next.  What a stream carries is left to its
:class:`.asgi.types.StreamHandler`.  Both sides use it: the connector dials, the edge accepts.

One writer for each session: frames collect during a turn of the event loop and leave together.
That batch, and the absence of a task or a future for each frame, is what makes the tunnel fast.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from typing import Any, Final

from .asgi.types import StreamHandler
from .errors import LocalProtocolError
from .pacing import BURST, Pacing
from .protocol.codes import DrainReason, GoawayCode, ResetCode
from .protocol.connection import Connection, State
from .protocol.events import (
    AskReceived,
    CloseReceived,
    DataReceived,
    DrainReceived,
    Event,
    HeadReceived,
    ReplyReceived,
    SessionTerminated,
    StreamOpened,
    StreamReset,
    StreamWritable,
    TrailersReceived,
    TransportSilent,
)
from .protocol.frames import Buffer, StreamKind
from .protocol.head import Fields, RequestHead, ResponseHead
from .protocol.output import size_of
from .transport import Transport

_log = logging.getLogger("asgi_tunnel.session")

_LATE = 1.0
"""Seconds a timer may be late; a later one means that this process slept or its loop was blocked,
and that what the peer sent meanwhile has to be read before the peer is judged."""


class Session:
    """One session between a connector and an edge.

    Large because each event of the core and each call of a stream's owner is a method of its own.

    Args:
        connection: The protocol core, after the handshake.
        session_id: Names the session when it resumes; a secret.
        on_stream: Makes the handler of a stream that the peer opened.
        name: For logs.
        pacing: When small exchanges leave at once; None for one that shares the process's budget.

    Attributes:
        on_suspended: Called when the transport is lost and the session may resume.
        on_drain: Called when the peer wants no new streams.
        on_end: Called once, when the session is over; the streams' handlers were told before.
        on_ask: Called with what the app's side wants (edge), or with what became of it; with the
            number of both.
        moved: Bytes sent and received so far.
        streamed: Bytes of bodies and messages so far, but for those that came with their end.
        takes_asks: Whether the edge takes ASK frames.
        tells_duration: Whether the peer says how long its app took, where it is asked.
        takes_visitor: Whether the peer understands the line that says who a visitor is.
        takes_inspect: Whether the peer has an inspector that may be asked over the tunnel.
    """

    def __init__(
        self,
        connection: Connection,
        *,
        session_id: str,
        on_stream: Callable[[Session, StreamOpened], StreamHandler] | None = None,
        name: str = "",
        pacing: Pacing | None = None,
    ) -> None:
        self.connection = connection
        self._streams = connection.streams  # asked directly where every exchange passes
        self.session_id = session_id
        self.name = name
        self.on_stream = on_stream
        self.on_suspended: Callable[[Session], None] | None = None
        self.on_drain: Callable[[Session, DrainReceived], None] | None = None
        self.on_end: Callable[[Session, SessionTerminated], None] | None = None
        self.on_ask: Callable[[Session, int, dict[str, Any]], None] | None = None
        self.handlers: dict[int, StreamHandler] = {}
        self._opening = 0  # the stream whose handler is being made; 0: it wants none any more
        self.moved = 0
        self.streamed = 0
        self.takes_asks = False
        self.tells_duration = False
        self.takes_visitor = False
        self.takes_inspect = False
        self._loop = asyncio.get_running_loop()
        self._time = self._loop.time
        self._transport: Transport | None = None
        self._is_flush_due = False
        self._is_reading_on = False
        self._pacing = Pacing() if pacing is None else pacing
        self._timer: asyncio.TimerHandle | None = None
        self._due = math.inf  # loop time of the deadline that the timer was set for

    # -- the transport -----------------------------------------------------------------------

    @property
    def is_attached(self) -> bool:
        """Whether a transport carries the session now."""
        return self._transport is not None

    @property
    def is_suspect(self) -> bool:
        """Whether the peer lets a PING wait: its transport may be dead."""
        return self.connection.is_suspect(self._time())

    @property
    def is_over(self) -> bool:
        """Whether the session has ended."""
        return self.connection.state is State.TERMINATED

    @property
    def can_open(self) -> bool:
        """Whether a stream may be started on it, as far as the peer's limits go (edge only)."""
        return self.connection.can_open

    @property
    def in_flight(self) -> int:
        """Streams in progress."""
        return len(self.handlers)

    @property
    def buffered(self) -> int:
        """Bytes kept for the peer, and bytes of a frame that is not complete."""
        transport = self._transport
        return self.connection.buffered + (0 if transport is None else transport.buffered)

    def attach(self, transport: Transport) -> None:
        """Go on over ``transport``, whose handshake is done; the caller starts it after."""
        old, self._transport = self._transport, transport
        if old is not None:
            old.abort()
        self._arm()
        self._schedule()

    def resume(self, transport: Transport, peer_received: int) -> bool:
        """Resume over a new transport; False, and the session over, when the counts do not fit."""
        fits = self.connection.resume(peer_received, self._time())
        if fits:
            self.attach(transport)
        self._dispatch()
        return fits

    def drop_transport(self) -> None:
        """Abort the transport: the session suspends, and may resume over another one."""
        if self._transport is not None:
            self._transport.abort()

    def data_received(self, data: bytes | memoryview) -> None:
        """Take bytes from the transport."""
        self.moved += len(data)
        connection = self.connection
        connection.receive_data(data, self._time())
        self._dispatch()
        if connection.is_behind:
            self._schedule_read_on()

    @property
    def is_behind(self) -> bool:
        """Whether frames that came are left for the next turns: the transport stops reading."""
        return self.connection.is_behind

    def note_overhead(self, units: int) -> None:
        """Count what the transport received without content."""
        self.connection.note_overhead(units, self._time())
        self._dispatch()

    def _read_on(self) -> None:
        """Take the next frames, and leave the rest for another turn."""
        self._is_reading_on = False
        self.connection.read_on(self._time())
        self._dispatch()
        self._schedule_read_on()

    def _schedule_read_on(self) -> None:
        if not self._is_reading_on and self.connection.is_behind:
            self._is_reading_on = True
            self._loop.call_soon(self._read_on)

    def transport_writable(self) -> None:
        """Go on sending."""
        self._schedule()

    def transport_lost(self, transport: Transport, error: Exception | None) -> None:
        """Keep the streams and wait for the next transport."""
        if transport is not self._transport:
            return
        self._transport = None
        if self.is_over:
            return
        _log.debug("= %s lost its transport: %s", self.name, error)
        self.connection.transport_lost(self._time())
        self._dispatch()
        if not self.is_over:
            self._arm()
            if self.on_suspended is not None:
                self.on_suspended(self)

    # -- streams -----------------------------------------------------------------------------

    def open_stream(
        self,
        kind: StreamKind,
        head: RequestHead,
        handler: StreamHandler,
        *,
        data: Buffer = b"",
        end: bool,
    ) -> int:
        """Start a stream (edge only); see :meth:`.protocol.streams.Streams.open_stream`."""
        stream_id = self._streams.open_stream(kind, head, now=self._time(), data=data, end=end)
        self.handlers[stream_id] = handler
        self._schedule_exchange(is_whole=end)
        return stream_id

    def send_head(self, stream_id: int, head: ResponseHead) -> bool:
        """Queue a response head; False when the caller should wait for ``on_writable``."""
        ok = self._streams.send_head(stream_id, head)
        if not self._is_flush_due:
            self._schedule()
        return ok

    def send_data(
        self,
        stream_id: int,
        data: Buffer,
        *,
        end: bool = False,
        text: bool = False,
        more: bool = False,
    ) -> bool:
        """Queue bytes; False when the caller should wait for ``on_writable``."""
        ok = self._streams.send_data(stream_id, data, end=end, text=text, more=more)
        if not end:
            self.streamed += len(data)
        if self._schedule_exchange(is_whole=end):
            self._pacing.note_interactive()
        return ok

    def send_trailers(self, stream_id: int, fields: Fields) -> None:
        """Queue trailers, which end this direction."""
        self.connection.send_trailers(stream_id, fields)
        self._schedule()

    def send_close(self, stream_id: int, code: int, reason: str = "") -> None:
        """Queue a WebSocket close, which ends this direction."""
        self.connection.send_close(stream_id, code, reason)
        self._schedule()

    def reset_stream(self, stream_id: int, code: ResetCode, reason: str = "") -> None:
        """End a stream at once; its handler is not called again."""
        self.handlers.pop(stream_id, None)
        if stream_id == self._opening:
            self._opening = 0
        self.connection.reset_stream(stream_id, code, reason)
        self._schedule()

    def consume(self, stream_id: int, flow_controlled_size: int) -> None:
        """Let the peer send ``flow_controlled_size`` more bytes on the stream."""
        self._streams.consume(stream_id, flow_controlled_size, self._time())
        if not self._is_flush_due and self.connection.has_output:
            self._schedule()

    def release(self, stream_id: int) -> None:
        """Forget the handler of a stream that is finished."""
        self.handlers.pop(stream_id, None)
        if stream_id == self._opening:
            self._opening = 0

    def replace_handler(self, stream_id: int, handler: StreamHandler) -> None:
        """Let another handler have what comes on a stream from now on, unless it is over."""
        if stream_id in self.handlers:
            self.handlers[stream_id] = handler

    # -- the whole session -------------------------------------------------------------------

    def drain(self, reason: DrainReason, *, delay: float = 0.0, grace: float = 0.0) -> None:
        """Ask the peer for no new streams."""
        self.connection.drain(reason, delay=delay, grace=grace)
        self._schedule()

    def ask(self, number: int, values: dict[str, Any]) -> None:
        """Ask the edge for something, or say what became of it; see :attr:`on_ask`."""
        self.connection.ask(number, values)
        self._schedule()

    def terminate(
        self, code: GoawayCode, reason: str = "", *, retry_after: float | None = None
    ) -> None:
        """End the session with a GOAWAY; every handler is told."""
        self.connection.terminate(code, reason, retry_after=retry_after)
        self._dispatch()

    def give_up_place(self) -> None:
        """End the session for a newer one of the same slot, whose HELLO did not name it."""
        self.connection.give_up_place(self._time())
        self._dispatch()

    # -- inside ------------------------------------------------------------------------------

    def _schedule(self) -> None:
        if not self._is_flush_due and self._transport is not None:
            self._is_flush_due = True
            self._loop.call_soon(self._flush)

    def _schedule_exchange(self, *, is_whole: bool) -> bool:
        """Send at the end of the turn, and small exchanges that are whole perhaps at once.

        Returns:
            Whether it has left at once.
        """
        if not self._is_flush_due:
            self._schedule()
        if not is_whole:
            return False
        frames = self.connection.queued_frames
        transport = self._transport
        if not self._pacing.is_urgent(frames) or transport is None or not transport.is_writable:
            return False
        data = self.connection.urgent_data_to_send()
        if not data:
            return False
        self._send(transport, data)
        self._pacing.sent_urgently(frames)
        return True

    def _send(self, transport: Transport, data: bytes) -> None:
        self.moved += len(data)
        transport.send(data)

    def _flush(self) -> None:
        self._is_flush_due = False
        connection, transport = self.connection, self._transport
        self._pacing.end_turn(connection.queued_frames)
        burst = BURST
        while transport is not None and transport.is_writable:
            if not burst:
                self._schedule()
                break
            burst -= 1
            pieces = connection.pieces_to_send(transport.room)
            if not pieces:
                break
            if len(pieces) == 1:
                self._send(transport, bytes(pieces[0]))
            else:
                self.moved += size_of(pieces)
                transport.send_large(pieces)
        self._dispatch()

    def _dispatch(self) -> None:
        """Hand the core's events to the handlers, then flush what they and the core queued."""
        connection = self.connection
        events = connection.events()
        if events:
            deliver = _DELIVER
            for event in events:
                deliver[type(event)](self, event)
        transport = self._transport
        if (
            not self._is_flush_due
            and transport is not None
            and transport.is_writable  # or else `transport_writable` is called when it is
            and connection.has_output
        ):
            self._schedule()

    def _on_head(self, event: HeadReceived) -> None:
        if event.end:
            self._pacing.note_interactive()
        handler = self.handlers.get(event.stream_id)
        if handler is not None:
            handler.on_head(event.head, event.data, event.end)

    def _on_data(self, event: DataReceived) -> None:
        stream_id, data, flow_controlled_size, end, text, more = event
        if not end:
            self.streamed += flow_controlled_size
        handler = self.handlers.get(stream_id)
        if handler is not None:
            handler.on_data(data, flow_controlled_size, end, text, more)
        else:
            self.consume(stream_id, flow_controlled_size)

    def _on_opened(self, event: StreamOpened) -> None:
        if self.on_stream is None:
            raise LocalProtocolError("a session without on_stream got a stream")
        self._opening = event.stream_id
        handler = self.on_stream(self, event)
        if self._opening:  # it was not refused at once
            self.handlers[event.stream_id] = handler

    def _on_writable(self, event: StreamWritable) -> None:
        handler = self.handlers.get(event.stream_id)
        if handler is not None:
            handler.on_writable()

    def _on_close(self, event: CloseReceived) -> None:
        handler = self.handlers.get(event.stream_id)
        if handler is not None:
            handler.on_close(event.code, event.reason)

    def _on_trailers(self, event: TrailersReceived) -> None:
        handler = self.handlers.get(event.stream_id)
        if handler is not None:
            handler.on_trailers(event.fields)

    def _on_reset(self, event: StreamReset) -> None:
        handler = self.handlers.pop(event.stream_id, None)
        if handler is not None:
            handler.on_reset(event.code, event.reason)

    def _on_drain(self, event: DrainReceived) -> None:
        if self.on_drain is not None:
            self.on_drain(self, event)

    def _on_ask(self, event: AskReceived | ReplyReceived) -> None:
        if self.on_ask is not None:
            self.on_ask(self, event.number, event.values)

    def _on_silent(self, event: TransportSilent) -> None:
        _log.debug("= %s heard nothing for %.1f s", self.name, event.seconds)
        if self._transport is not None:
            self._transport.abort()

    def _end(self, event: SessionTerminated) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        handlers = dict(self.handlers)
        self.handlers.clear()
        for stream_id, handler in handlers.items():
            if stream_id > event.last_stream_id:
                handler.on_reset(ResetCode.REFUSED, event.reason)
            else:
                handler.on_reset(ResetCode.SESSION_LOST, event.reason)
        transport, self._transport = self._transport, None
        if transport is not None:
            goaway = self.connection.data_to_send()
            if goaway:
                transport.send(goaway)
            transport.close()
        if self.on_end is not None:
            self.on_end(self, event)

    def _arm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        deadline = self.connection.next_deadline()
        self._due = math.inf if deadline is None else deadline
        self._timer = None if deadline is None else self._loop.call_at(deadline, self._on_timer)

    def _on_timer(self) -> None:
        # The timer itself is not asked: uvloop makes one that is due now a handle without when().
        due, self._due, self._timer = self._due, math.inf, None
        now = self._time()
        if now - due > _LATE:
            self._timer = self._loop.call_later(_LATE, self._on_timer)
            return
        self.connection.handle_deadline(now)
        self._dispatch()
        if not self.is_over:
            self._arm()


# One method for each event.  A ``match`` tries the classes in turn, 0.4 us each, which a small
# exchange pays twice.
_DELIVER: Final[dict[type[Event], Callable[[Session, Any], None]]] = {
    HeadReceived: Session._on_head,  # noqa: SLF001 - its own table
    DataReceived: Session._on_data,  # noqa: SLF001 - its own table
    StreamOpened: Session._on_opened,  # noqa: SLF001 - its own table
    StreamWritable: Session._on_writable,  # noqa: SLF001 - its own table
    CloseReceived: Session._on_close,  # noqa: SLF001 - its own table
    TrailersReceived: Session._on_trailers,  # noqa: SLF001 - its own table
    StreamReset: Session._on_reset,  # noqa: SLF001 - its own table
    DrainReceived: Session._on_drain,  # noqa: SLF001 - its own table
    AskReceived: Session._on_ask,  # noqa: SLF001 - its own table
    ReplyReceived: Session._on_ask,  # noqa: SLF001 - its own table
    TransportSilent: Session._on_silent,  # noqa: SLF001 - its own table
    SessionTerminated: Session._end,  # noqa: SLF001 - its own table
}
