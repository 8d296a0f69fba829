"""One connection of a visitor: requests in, responses out, one after the other.

Large because it holds one class, which says why.

Here is the connection's state and what moves it: bytes, an exchange's wishes, and clocks that run
out. :mod:`.reader` cuts heads, :mod:`.body` bodies; :mod:`.writer` writes; :mod:`.deadlines` keeps
the clocks; :mod:`..dispatch` decides who serves a request.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Final, cast

from asgi_tunnel.protocol.codes import ResetCode
from asgi_tunnel.protocol.overhead import Allowance

from ..admission.tunnels import TunnelAcceptor
from ..dispatch import OVERLOADED, is_tunnel
from ..errors import RequestError
from ..exchange.writer import Exchange
from ..guards.bans import BANNED
from ..identity.proxy_protocol import Preamble
from ..pages import Pages
from ..replies import Reply
from ..request import Request
from .arrival import ArrivalReader, SecureArrival
from .body import Body, ChunkedBody, LengthBody
from .deadlines import Clock, Deadlines
from .front import HTTP1Front
from .linger import Linger
from .reader import RequestReader
from .states import NEXT, State
from .visitor_socket import VisitorSocket
from .writer import HTTP1Writer, Line

BUFFER_LIMIT: Final = 64 * 1024
"""Bytes of pipelined requests or of a held body at which reading stops."""

_MISDIRECTED: Final = Reply(421, "the certificate of this connection is not for this name")

TURN_HEADS: Final = 32
"""Requests of one connection that are begun in one turn of the event loop: a read holds 6,000, and
one that the edge replies to itself is over at once."""

OVERHEAD_RATE: Final = 1000
"""Chunks smaller than their framing, or WebSocket frames without content, that one connection may
send a second: a tenth of a percent of a core."""

OVERHEAD_BURST: Final = 65_536
"""The same at once: a text of 64 KiB whose program sends each character alone."""

_ERRORS: Final = frozenset({400, 408, 414, 426, 431, 501, 505})
"""Replies that count as errors of an address: what no working client makes in numbers."""

_METHODS: Final = (b"allow", b"GET, HEAD, POST, PUT, PATCH, DELETE, OPTIONS")

# Aliases: docs/adr/0006-compiled-wheels.md.
_HEAD: Final = State.HEAD
_BODY: Final = State.BODY
_RESPONSE: Final = State.RESPONSE
_HELD: Final = State.HELD
_UPGRADED: Final = State.UPGRADED
_DRAIN: Final = State.DRAIN
_CLOSED: Final = State.CLOSED


class HTTP1Connection(Line):
    """One connection on a public listener.

    Large because it is the one place where all inputs of a connection meet its state: splitting it
    by input would share the state between the parts.

    Args:
        front: What all connections share.
        secure: What its TLS was made for; None: it speaks none.
        preamble: What a trusted balancer said of it.
    """

    __slots__ = (
        "_allowance",
        "_arrival",
        "_body",
        "_body_read",
        "_context",
        "_deadlines",
        "_exchange",
        "_front",
        "_is_half_closed",
        "_is_processing",
        "_linger",
        "_preamble",
        "_reader",
        "_received",
        "_secure",
        "_socket",
        "_state",
        "_writer",
        "address",
    )

    def __init__(
        self,
        front: HTTP1Front,
        *,
        secure: SecureArrival | None = None,
        preamble: Preamble | None = None,
    ) -> None:
        self._front = front
        self._context = context = front.context
        self._secure = secure
        self._preamble = preamble
        self._socket: VisitorSocket | None = None  # while there is a transport
        self._writer: HTTP1Writer | None = None  # from connection_made on
        self._arrival: ArrivalReader | None = None  # the same
        self._state = _HEAD
        self._reader = RequestReader(context.limits)
        self._deadlines = Deadlines(context.limits, context.now)
        self._exchange: Exchange | None = None
        self._body: Body | None = None  # of a request, while it comes
        self._body_read = 0  # bytes of all bodies
        self._received = 0  # bytes in all
        self._is_half_closed = False
        self._is_processing = False
        self._linger: Linger | None = None  # once all is said
        self._allowance: Allowance | None = None  # of chunks; made for the first small one
        self.address = ""

    def _enter(self, state: State) -> None:
        """Change the state; the only place that does."""
        assert state in NEXT[self._state], (self._state, state)
        self._state = state
        self._deadlines.enter(state)

    # -- asyncio -----------------------------------------------------------------------------

    def as_protocol(self) -> asyncio.Protocol:
        """Return this as what asyncio's signatures name: it has its methods, and no base class."""
        return cast(asyncio.Protocol, self)

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note who it is and start the clock."""
        # uvloop's transports are none of asyncio's classes, so this cannot be checked.
        transport = cast(asyncio.Transport, transport)
        self._socket = VisitorSocket(transport, self._deadlines, self._process)
        front = self._front
        self._arrival = arrival = ArrivalReader.of(
            transport,
            is_secure=self._secure is not None,
            proxies=front.proxies,
            preamble=self._preamble,
        )
        self.address = arrival.address
        if not self.address:
            # Reset before it could be asked: what it has sent is nobody's, and guards know nobody.
            self._enter(_DRAIN)
            transport.abort()
            return
        self._writer = HTTP1Writer(self, transport, self.resume_writing)
        self._deadlines.await_head()
        reply = front.table.enter(self)
        # One that speaks TLS was let in before its handshake.
        if reply is None and self._secure is None:
            reply = front.limiter.admit(self.address)
        if reply is not None:
            self._reply(reply)

    def connection_lost(self, exc: Exception | None) -> None:
        """End what is in progress."""
        self._socket = None
        if self._writer is not None:
            self._writer.outbox.close()
        self._front.table.leave(self)
        self._enter(_CLOSED)
        self._deadlines.stop()
        exchange, self._exchange = self._exchange, None
        if exchange is not None:
            exchange.abandon(ResetCode.CANCELLED, "visitor left", 499)
        self._writer = None  # they hold each other

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        self._received += len(data)
        state = self._state
        if state is _UPGRADED and self._exchange is not None and not self._reader.buffer:
            exchange = self._exchange
            rest = exchange.data_received(data)
            if self._socket is not None:
                if rest or exchange.overhead:
                    self._reader.feed(rest)
                    self._socket.yield_turn(exchange.overhead)
                else:
                    self._socket.yield_after(len(data))
        elif state is _DRAIN:
            if self._linger is not None and self._linger.drop(len(data)):
                self._abort()
            elif self._socket is not None:
                self._socket.yield_after(len(data))
        else:
            self._reader.feed(data)
            self._process()

    def eof_received(self) -> bool:
        """Keep the other half open: a visitor that sends no more may still read the response."""
        if self._state in (_RESPONSE, _HELD) and self._writer is not None:
            # Whether it has left or only half-closed cannot be told apart: a quick response is
            # sent, for a longer one the app hears that the visitor has gone.
            self._is_half_closed = True
            self._deadlines.half_closed(self._writer.outbox.taken)
            return True
        return False

    def pause_writing(self) -> None:
        """The visitor reads slower than the app writes."""
        if self._socket is not None and self._writer is not None:
            outbox = self._writer.outbox
            outbox.pause()
            self._deadlines.watch_writing(outbox.taken)

    def resume_writing(self) -> None:
        """Write on, and when nothing waits any more let the app go on."""
        self._deadlines.stop_writing()
        if self._socket is None or self._writer is None or not self._writer.outbox.resume():
            return
        if self._exchange is not None:
            self._exchange.writable()
        elif self._state is _HEAD:
            self.resume_request()  # requests that were sent without reading the responses

    # -- clocks that run out -----------------------------------------------------------------

    def check(self, now: float) -> None:
        """Called a few times a second: end what took too long."""
        if self._state is _UPGRADED and self._exchange is not None:
            self._exchange.check(now)
        while (clock := self._deadlines.expired(now, self._state)) is not None:
            _EXPIRED[clock](self)

    def on_request_due(self) -> None:
        """No head came, or half of one."""
        if self._reader.buffer:
            self._reply(Reply(408, "the request head took too long"))
        elif self._reader.heads:
            self._close()
        else:
            self._abort()

    def on_body_due(self) -> None:
        """Go on with a body that comes fast enough, end one that does not."""
        if self._socket is None or not self._socket.is_reading:
            return
        if self._deadlines.is_body_slow(self._body_read):
            self._fail(Reply(408, "the request body came too slowly"), ResetCode.TIMEOUT)
        else:
            self._deadlines.watch_body(self._body_read)

    def on_hold_due(self) -> None:
        """No app came."""
        if self._exchange is not None:
            self._exchange.time_out()

    def on_linger_due(self) -> None:
        """Close when the visitor has had its time, or go on while it still reads a response."""
        linger = self._linger
        if self._writer is None or self._socket is None or linger is None:
            self._abort()
        elif self._writer.outbox.size:
            if self._deadlines.write_due == math.inf:
                self._deadlines.watch_writing(self._writer.outbox.taken)
            self._deadlines.linger()
        elif linger.goes_on(self._context.now()):
            self._deadlines.linger()
        else:
            self._abort()

    def on_exchange_due(self) -> None:
        """Give up on an exchange that has had its ``max_time``."""
        if self._exchange is not None:
            status = 504 if self._body is None else 408
            self._fail(Reply(status, "the exchange took longer than it may"), ResetCode.TIMEOUT)

    def on_write_due(self) -> None:
        """Cut a visitor that takes too little of what is written for it."""
        if self._socket is None or self._writer is None:
            return
        taken = self._writer.outbox.taken
        if not self._deadlines.is_reader_slow(taken):
            self._deadlines.watch_writing(taken)
            return
        self._abandon(ResetCode.TIMEOUT, "visitor too slow")
        self.cut()

    def on_half_closed_due(self) -> None:
        """Give a half-closed visitor more time when it took more of its response."""
        taken = 0 if self._writer is None else self._writer.outbox.taken
        if self._deadlines.took_nothing(taken):
            self._abort()
        else:
            self._deadlines.half_closed(taken)

    def on_unread_due(self) -> None:
        """Close when a visitor that is not read has left.

        While a response is being written its socket fails in time, so nothing is looked at.
        """
        if self._socket is None or self._writer is None:
            return
        if not self._writer.is_paused and self._socket.is_peer_closed():
            self._abort()
        else:
            self._deadlines.watch_unread()

    # -- reading -----------------------------------------------------------------------------

    def _process(self) -> None:
        """Read requests and bodies as far as the buffer, the state and this turn allow."""
        sock = self._socket
        if self._is_processing or (sock is not None and sock.is_yielding):
            return
        self._is_processing = True
        reader, writer = self._reader, self._writer
        heads = TURN_HEADS
        try:
            while reader.buffer:
                if self._state is _HEAD:
                    if not heads:
                        self._yield_turn()
                        break
                    heads -= 1
                    if writer is not None and writer.is_paused:
                        self._pause_reading()  # it has not taken its last responses
                        break
                    request = reader.read_head(keeps_raw=self.is_proxy)
                    if request is None:
                        self._await_rest_of_head()
                        break
                    self._begin(request)
                elif self._state is _BODY and self._is_reading:
                    overhead = self._read_body()
                    if self._body is not None and (reader.buffer or overhead):
                        self._yield_turn(overhead)
                        break
                elif self._state is _UPGRADED and self._exchange is not None and self._is_reading:
                    exchange = self._exchange
                    rest = exchange.data_received(reader.take())
                    if rest or exchange.overhead:
                        reader.feed(rest)
                        self._yield_turn(exchange.overhead)
                        break
                else:
                    if self._state is _DRAIN:
                        reader.buffer = b""
                    elif len(reader.buffer) > BUFFER_LIMIT:
                        self._pause_reading()
                    break
        except RequestError as error:
            self._fail(Reply(error.status, error.why), ResetCode.PROTOCOL_ERROR)
        finally:
            self._is_processing = False

    def _await_rest_of_head(self) -> None:
        if not self._reader.buffer:
            return
        if self._context.is_overloaded:
            self._reply(OVERLOADED)
        elif self._reader.heads:
            self._deadlines.await_head()

    def _begin(self, request: Request) -> None:
        """Hand a request to whoever serves it, and make ready for its body."""
        arrival, writer, front = self._arrival, self._writer, self._front
        assert arrival is not None
        assert writer is not None
        if arrival.is_proxy:
            request = arrival.read(self._reader.raw_head, request)
            self.address = arrival.address
        writer.begin(request)
        self._deadlines.stop_state()
        if self._is_misdirected(request):
            self._reply(_MISDIRECTED, request)
            return
        tunnels = front.tunnels
        if tunnels is not None and request.websocket_key is not None and is_tunnel(request):
            self._hand_over(request, tunnels)
            return
        dispatcher = front.dispatcher
        visitor = arrival.visitor(dispatcher.guards.visitor_address)
        decision = dispatcher.dispatch(request, arrival.of_request(request), visitor, writer)
        if isinstance(decision, Reply):
            self._reply(decision, request)
            return
        exchange = self._exchange = decision
        if exchange.pace is not None:
            self._deadlines.pace = exchange.pace
        if exchange.max_time:
            self._deadlines.bound_exchange(exchange.max_time)
        if request.length == 0:
            self._enter(_RESPONSE)
        else:
            if request.length is None:
                self._body = ChunkedBody(exchange.max_body)
            else:
                self._body = LengthBody(request.length)
            self._enter(_BODY)
            self._deadlines.watch_body(self._body_read)
        exchange.start()

    def _is_misdirected(self, request: Request) -> bool:
        """Whether the certificate of this connection is for other names than the request's."""
        secure = self._secure
        if secure is None or secure.serves(request.hostname):
            return False
        return not self.is_proxy  # which may dial one name for all

    def _read_body(self) -> int:
        """Relay what is there of a body; return how many chunks were smaller than their framing."""
        body, exchange = self._body, self._exchange
        assert body is not None
        assert exchange is not None
        data = self._reader.take()
        pieces: list[bytes] = []
        end = body.feed(data, 0, pieces)
        if end < len(data):
            self._reader.buffer = data[end:]
        self._body_read += end
        overhead = body.take_overhead()
        if overhead:
            self._count_overhead(overhead)
        piece = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        if body.is_complete:
            self._body = None
            self._enter(_RESPONSE)
            exchange.send_body(piece, end=True)
        elif piece:
            exchange.send_body(piece, end=False)
        return overhead

    def _count_overhead(self, chunks: int) -> None:
        allowance = self._allowance
        if allowance is None:
            allowance = self._allowance = Allowance(OVERHEAD_RATE, OVERHEAD_BURST)
        if not allowance.take(chunks, self._context.now()):
            raise RequestError(400, "the body comes in too many chunks of a few bytes")

    def _hand_over(self, request: Request, tunnels: TunnelAcceptor) -> None:
        """Let an app's connection go to the tunnels' room; nothing will be heard of it here."""
        writer = self._writer
        assert writer is not None
        if self.is_proxy and self._front.dispatcher.guards.refuses(self.address):
            self._reply(BANNED, request)
            return
        refusal = tunnels.accept(self.address, writer.transport, request, self._reader.buffer)
        if refusal is not None:
            self._reply(refusal, request)
            return
        self._enter(_UPGRADED)
        writer.outbox.close()
        self._reader.buffer = b""
        self._front.table.leave(self)
        self._socket = self._writer = None

    @property
    def _is_reading(self) -> bool:
        return self._socket is not None and self._socket.is_reading

    def _yield_turn(self, overhead: int = 0) -> None:
        if self._socket is not None:
            self._socket.yield_turn(overhead)

    def _pause_reading(self) -> None:
        if self._socket is not None:
            self._socket.pause()

    # -- for the writer (Line) ---------------------------------------------------------------

    @property
    def pages(self) -> Pages:
        """See :class:`Line`."""
        return self._context.pages

    @property
    def can_keep_alive(self) -> bool:
        """See :class:`Line`."""
        return self._body is None and not self._context.is_stopping

    def pause_request(self) -> None:
        """See :class:`Line`."""
        self._pause_reading()
        self._deadlines.stop_state()  # it is the app that is slow

    def resume_request(self) -> None:
        """See :class:`Line`."""
        if self._state is _HELD:
            return
        if self._socket is not None and self._socket.resume() and self._state is _BODY:
            self._deadlines.watch_body(self._body_read)
        if self._reader.buffer:
            self._process()

    def hold(self) -> None:
        """See :class:`Line`."""
        self._enter(_HELD)
        self._deadlines.hold()

    def release(self) -> None:
        """See :class:`Line`."""
        if self._state is not _HELD:
            return
        exchange = self._exchange
        if exchange is not None and exchange.max_time:  # an app may have said it just now
            self._deadlines.bound_late(exchange.max_time)
        if self._body is None:
            self._enter(_RESPONSE)
        else:
            self._enter(_BODY)
            self._deadlines.watch_body(self._body_read)
        self.resume_request()

    def upgraded(self) -> None:
        """See :class:`Line`; what came behind the handshake is read once the channel resumes."""
        self._enter(_UPGRADED)

    def finished(self, *, keep_alive: bool) -> None:
        """See :class:`Line`: read the next request, or close."""
        self._exchange = None
        is_last = self._is_half_closed and not self._reader.buffer
        context = self._context
        # One that was promised to stay open before another process took over stays for a moment.
        if not keep_alive or is_last or (context.is_stopping and not context.is_replaced):
            self.close_soon()
            return
        self._enter(_HEAD)
        self._deadlines.await_next_request()
        if context.is_replaced:
            self._deadlines.bound_idle()
        self.resume_request()

    def close_soon(self) -> None:
        """See :class:`Line`: send the end of the stream, then read and drop what still comes."""
        sock, writer = self._socket, self._writer
        is_websocket = self._state is _UPGRADED
        self._exchange = None
        self._body = None
        self._reader.buffer = b""
        if self._state is _CLOSED:
            return
        self._enter(_DRAIN)
        if sock is None or writer is None:
            return
        writer.outbox.flush()
        self._linger = Linger(self._context.now(), is_websocket=is_websocket)
        self._deadlines.linger()
        if self._is_half_closed:  # nothing is left to wait for
            self._is_half_closed = False
            self._deadlines.stop_half_closed()
            sock.close()
        else:
            sock.end_stream()

    def cut(self) -> None:
        """See :class:`Line`: what was sent cannot look complete."""
        if self._socket is not None:
            self._socket.cut()

    def _close(self) -> None:
        """Close an idle connection."""
        if self._socket is not None and self._writer is not None:
            self._enter(_DRAIN)
            self._writer.outbox.flush()
            self._socket.close()

    def _abort(self) -> None:
        if self._socket is not None:
            self._socket.abort()

    # -- replies of the edge -----------------------------------------------------------------

    def _fail(self, reply: Reply, code: ResetCode) -> None:
        """The visitor broke a rule: reply and close, or cut a response that has begun."""
        exchange, writer = self._exchange, self._writer
        if exchange is None or exchange.is_over or writer is None:
            self._reply(reply)
            return
        has_started = writer.has_started
        exchange.abandon(code, reply.why, reply.status)  # which notes it
        if has_started:
            self.cut()  # a second status line would read as a part of the first response
        else:
            writer.reply(reply)
        if reply.status in _ERRORS and not self.is_proxy:
            self._front.limiter.note_error(self.address)

    def _abandon(self, code: ResetCode, why: str) -> None:
        if self._exchange is not None:
            self._exchange.abandon(code, why, 499)

    def _reply(self, reply: Reply, request: Request | None = None) -> None:
        """Reply in the place of an exchange, and note it.

        Args:
            reply: What to say.
            request: Of which; None when it could not be read.
        """
        if self._writer is None:
            return
        if reply.status == 405:
            reply = reply._replace(fields=[_METHODS])
        if request is None:
            self._writer.begin(None)
        is_whole = request is not None and request.length == 0
        keep_alive = is_whole and not reply.closes and not self._context.is_stopping
        request_id = self._context.next_request_id()
        self._writer.reply(reply, request_id=request_id, keep_alive=keep_alive)
        if reply.status in _ERRORS and not self.is_proxy:
            self._front.limiter.note_error(self.address)
        peer = b"" if self._arrival is None else self._arrival.peer
        self._context.note_reply(reply, request, peer, request_id)

    # -- as the table sees it (Tracked) ------------------------------------------------------

    @property
    def received(self) -> int:
        """See :class:`..connections.table.Tracked`."""
        return self._received

    @property
    def written(self) -> int:
        """See :class:`..connections.table.Tracked`."""
        return 0 if self._writer is None else self._writer.outbox.written

    @property
    def is_proxy(self) -> bool:
        """See :class:`..connections.table.Tracked`."""
        return self._arrival is not None and self._arrival.is_proxy

    @property
    def buffered(self) -> int:
        """Bytes kept for this visitor, in whichever direction."""
        size = len(self._reader.buffer)
        if self._exchange is not None:
            size += self._reader.head_size
        if self._socket is not None and self._writer is not None:
            size += self._writer.outbox.held
        return size

    @property
    def stall_deadline(self) -> float:
        """When a visitor who does not take what is written is judged; infinite for who does."""
        return self._deadlines.write_due

    @property
    def is_busy(self) -> bool:
        """See :class:`..connections.table.Tracked`."""
        if self._socket is None or self._writer is None:
            return False
        return self._state in (_BODY, _RESPONSE, _HELD) or self._writer.outbox.size > 0

    @property
    def is_idle(self) -> bool:
        """See :class:`..connections.table.Tracked`; half of a head is nothing in progress."""
        if self._socket is None or self._writer is None:
            return False
        if self._state is _HEAD:
            return self._writer.outbox.size == 0
        return self._state is _DRAIN

    def give_way(self) -> None:
        """See :class:`..connections.table.Tracked`."""
        if self._state is _HEAD:
            self._close()
        else:
            self._abort()

    def evict(self) -> None:
        """See :class:`..connections.table.Tracked`."""
        self._abandon(ResetCode.CANCELLED, "the edge had no memory left")
        self.cut()

    def shut_down(self) -> None:
        """See :class:`..connections.table.Tracked`."""
        if self._state is _HELD:
            self._deadlines.end_hold()  # seen at the next look
        elif self._state is _UPGRADED:
            if self._exchange is not None:
                self._exchange.shut_down()
        elif self._state is _HEAD and not self._reader.buffer:
            self._close()

    def retire(self) -> None:
        """See :class:`..connections.table.Tracked`."""
        if self._state is _HEAD and not self._reader.buffer:
            self._deadlines.bound_idle()

    @property
    def person(self) -> object:
        """See :class:`..connections.table.Tracked`."""
        return None if self._exchange is None else self._exchange.person

    def end(self) -> None:
        """See :class:`..connections.table.Tracked`."""
        if self._state is _DRAIN:
            self._abort()
        else:
            self.cut()


_EXPIRED: Final[dict[Clock, Callable[[HTTP1Connection], None]]] = {
    Clock.REQUEST: HTTP1Connection.on_request_due,
    Clock.BODY: HTTP1Connection.on_body_due,
    Clock.HOLD: HTTP1Connection.on_hold_due,
    Clock.LINGER: HTTP1Connection.on_linger_due,
    Clock.EXCHANGE: HTTP1Connection.on_exchange_due,
    Clock.WRITE: HTTP1Connection.on_write_due,
    Clock.HALF_CLOSED: HTTP1Connection.on_half_closed_due,
    Clock.UNREAD: HTTP1Connection.on_unread_due,
}
"""What the end of each clock does."""
